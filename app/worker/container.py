"""The container runner: a command in a container of the step's image, by whichever Docker engine is at hand."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from aiodocker import Docker, DockerError
from aiodocker.containers import DockerContainer
from aiodocker.stream import Stream

from app.worker.folders import SHOWN, Folders
from app.worker.logbook import Lines
from app.worker.mounts import HostMount
from app.worker.process import GRACE_SECONDS

log = structlog.get_logger("waymark.worker")

# The first process of a container takes no signal that it does not handle, so it only watches: it hands on SIGTERM,
# and ends everything when its input ends, which the worker holds and never writes to.
_WATCHED = """
exec 3<&0 </dev/null
/bin/sh -e -c "$1" &
command=$!
{ read -r _ <&3; kill -KILL -1; } >/dev/null 2>&1 &
exec 3<&-
trap 'kill -TERM -1' TERM
while :; do
    wait "$command"
    code=$?
    kill -0 "$command" 2>/dev/null || exit "$code"
done
"""
_STREAMS = {1: "STDOUT", 2: "STDERR"}
_HOME = "waymark.home"
_CONNECT_SECONDS = 5


class ContainerError(Exception):
    """The container cannot be had, so that the command cannot be run."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A Docker engine that answers."""

    docker: Docker

    async def clear(self, home: Path) -> None:
        """Removes the ended containers of workers that worked below a folder and are gone."""
        filters = {"label": [f"{_HOME}={home}"], "status": ["exited", "created"]}
        for container in await self.docker.containers.list(all=True, filters=filters):
            with suppress(DockerError):
                await container.delete()

    async def start(
        self,
        image: str,
        lines: Sequence[str],
        *,
        folders: Folders,
        environment: Mapping[str, str],
        mounts: Sequence[HostMount],
        said: Callable[[str, str], None],
    ) -> Container:
        """Starts the lines, one after the other, in a new container; the image is pulled if it is not there."""
        try:
            await self._pull(image, said)
            container = await self.docker.containers.create(_described(image, lines, folders, environment, mounts))
        except DockerError as error:
            raise ContainerError(f"image {image}: {error.message}") from error
        stream = container.attach(stdin=True, stdout=True, stderr=True, logs=True)
        try:
            # attached from here on: if the worker dies, the container ends
            await stream.write_in(b"")
            await container.start()
        except DockerError as error:
            await container.delete(force=True)
            raise ContainerError(f"image {image}: {error.message}") from error
        return Container(container, stream, said)

    async def _pull(self, image: str, said: Callable[[str, str], None]) -> None:
        try:
            await self.docker.images.inspect(image)
        except DockerError as error:
            if error.status != 404:
                raise
            said("STATUS", f"image {image}: pulling")
            async for step in self.docker.images.pull(image, stream=True):
                if "error" in step:
                    raise ContainerError(f"image {image}: {step['error']}") from error
            said("STATUS", f"image {image}: pulled")


@dataclass(frozen=True, slots=True)
class Container:
    """A command that runs in a container; what it writes is given line by line to `said`, with the stream's name."""

    container: DockerContainer
    stream: Stream
    said: Callable[[str, str], None]

    async def wait(self) -> int:
        """The exit code. The container is gone then."""
        try:
            await self._read()
            return int((await self.container.wait())["StatusCode"])
        finally:
            await self.stream.close()
            with suppress(DockerError):
                await self.container.delete(force=True)

    async def stop(self) -> None:
        """Asks it to end, and ends it if it has not within some seconds."""
        with suppress(DockerError):
            await self.container.kill(signal="SIGTERM")
            with suppress(TimeoutError):
                async with asyncio.timeout(GRACE_SECONDS):
                    await self.container.wait()
            await self.container.kill(signal="SIGKILL")

    async def _read(self) -> None:
        lines = {number: Lines(partial(self.said, name)) for number, name in _STREAMS.items()}
        while (message := await self.stream.read_out()) is not None:
            lines[message.stream].feed(message.data)
        for each in lines.values():
            each.end()


@asynccontextmanager
async def docker_engine() -> AsyncIterator[Engine | None]:
    """The Docker engine of DOCKER_HOST or of this machine, while it is needed; None where there is none."""
    try:
        docker = Docker()
    except (AssertionError, ValueError):
        # what aiodocker says when it finds no engine's socket
        yield None
        return
    async with docker:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                version = await docker.version()
        except (DockerError, OSError, TimeoutError) as error:
            log.warning("the Docker engine does not answer, so it is not used", error=str(error))
            yield None
        else:
            log.info("steps with an image run in containers", engine=version["Version"])
            yield Engine(docker)


def _described(
    image: str, lines: Sequence[str], folders: Folders, environment: Mapping[str, str], mounts: Sequence[HostMount]
) -> dict[str, Any]:
    own = [HostMount(folder, folders.as_seen(folder), False) for folder in (folders.repository, folders.inputs)]
    own += [
        HostMount(folders.outputs, folders.as_seen(folders.outputs), False),
        HostMount(folders.config, folders.as_seen(folders.config), True),
    ]
    return {
        "Image": image,
        "Entrypoint": ["/bin/sh", "-c", _WATCHED, "sh"],
        "Cmd": ["\n".join(lines)],
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "WorkingDir": f"{SHOWN}/repository",
        # who is not root would be left with files that he cannot delete
        **({"User": f"{os.geteuid()}:{os.getegid()}"} if os.geteuid() else {}),
        "Labels": {_HOME: str(folders.home.parent)},
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": {
            "Mounts": [
                {
                    "Type": "bind",
                    "Source": str(each.source),
                    "Target": each.destination,
                    "ReadOnly": each.read_only,
                }
                for each in [*own, *mounts]
            ]
        },
    }
