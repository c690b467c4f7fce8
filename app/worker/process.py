"""The process runner: a command in a process group of its own. It isolates nothing from the machine."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_CHUNK = 64 * 1024
# Its input is a pipe that the worker holds and never writes to: when the worker is gone, however that came, the pipe
# ends, and with it the group. The lines run in a shell of their own, whose `wait` knows nothing of the watcher.
_WATCHED = """
exec 3<&0 </dev/null
{ read -r _ <&3; kill -KILL 0; } >/dev/null 2>&1 &
exec 3<&-
exec /bin/sh -e -c "$1"
"""
_GRACE_SECONDS = 10.0


Account = pwd.struct_passwd


def account_of(name: str | None) -> Account | None:
    """Whom commands run as; None: who the worker is. Root's run as `nobody` unless an account is named.

    ValueError says why it cannot be the one named.
    """
    if os.geteuid() != 0:
        if name not in (None, pwd.getpwuid(os.geteuid()).pw_name):
            raise ValueError(f"only root can run commands as {name}")
        return None
    try:
        return pwd.getpwnam(name or "nobody")
    except KeyError as error:
        raise ValueError(f"there is no account {name or 'nobody'}") from error


class Command:
    """A command that runs; what it writes is given line by line to `said`, with the stream's name."""

    def __init__(self, process: asyncio.subprocess.Process, said: Callable[[str, str], None]) -> None:
        self._process = process
        self._said = said
        self._ending = asyncio.Event()

    @classmethod
    async def start(
        cls,
        lines: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        account: Account | None,
        said: Callable[[str, str], None],
    ) -> Command:
        """Starts the lines, one after the other; the first that fails ends them."""
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", _WATCHED, "sh", "\n".join(lines)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )
        return cls(process, said)

    async def wait(self) -> int:
        """The exit code; minus the signal's number where one ended it. What it has left running is killed."""
        reading = [
            asyncio.create_task(self._read(stream, name))
            for stream, name in ((self._process.stdout, "STDOUT"), (self._process.stderr, "STDERR"))
            if stream is not None
        ]
        try:
            code = await self._process.wait()
        finally:
            self._signal(signal.SIGKILL)
        await asyncio.gather(*reading)
        return code

    async def stop(self) -> None:
        """Asks it to end, and ends it if it has not within some seconds."""
        self._signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_SECONDS):
                await self._process.wait()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _read(self, stream: asyncio.StreamReader, name: str) -> None:
        rest = b""
        while chunk := await stream.read(_CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._said(name, line.decode(errors="replace").rstrip("\r"))
            if len(rest) > _CHUNK:
                self._said(name, rest.decode(errors="replace"))
                rest = b""
        if rest:
            self._said(name, rest.decode(errors="replace"))
