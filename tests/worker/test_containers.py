"""Containers, by a real engine: Podman, which speaks Docker's API, and an image made of busybox."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.api.given import push_datum
from tests.conftest import LiveServer
from tests.worker.workers import create, said, start, until

_IMAGE = "localhost/waymark-test:1"
_COMMANDS = ("sh", "cat", "echo", "env", "id", "mkdir", "sleep", "sort", "tr", "cut")
_NEEDED = ("podman", "runc", "busybox")
# this may be a container itself, whose limits cannot be raised and whose network cannot be divided
_CONF = """
[containers]
default_ulimits = ["nofile=1000:1000", "nproc=1000:1000"]
netns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


@dataclass(frozen=True, slots=True)
class Podman:
    folder: Path

    @property
    def host(self) -> str:
        return f"unix://{self.folder}/socket"

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            self.command(*arguments), env=self.environment(), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def command(self, *arguments: str) -> list[str]:
        places = ["--root", str(self.folder / "root"), "--runroot", str(self.folder / "run")]
        return ["podman", *places, "--storage-driver", "vfs", *arguments]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "CONTAINERS_CONF": str(self.folder / "containers.conf")}


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    if missing := [name for name in _NEEDED if shutil.which(name) is None]:
        pytest.skip(f"no containers are run: {', '.join(missing)} (Debian's packages of these names) not installed")
    if os.geteuid() != 0:
        pytest.skip("no containers are run: this Podman needs root")
    engine = Podman(Path(tempfile.mkdtemp(prefix="waymark-podman-")))
    (engine.folder / "containers.conf").write_text(_CONF)
    try:
        _make_image(engine)
    except AssertionError as error:
        shutil.rmtree(engine.folder, ignore_errors=True)
        pytest.skip(f"no containers are run: Podman cannot run one here: {error}")
    service = subprocess.Popen(
        engine.command("system", "service", "--time", "0", engine.host), env=engine.environment()
    )
    try:
        deadline = time.monotonic() + 60
        while not (engine.folder / "socket").exists():
            assert time.monotonic() < deadline, "Podman did not come up"
            time.sleep(0.05)
        yield engine
    finally:
        service.terminate()
        service.wait(60)
        shutil.rmtree(engine.folder, ignore_errors=True)


def _make_image(engine: Podman) -> None:
    root = engine.folder / "image"
    (root / "bin").mkdir(parents=True)
    (root / "tmp").mkdir()
    shutil.copy(shutil.which("busybox") or "", root / "bin/busybox")
    for name in _COMMANDS:
        (root / "bin" / name).symlink_to("busybox")
    archive = engine.folder / "image.tar"
    with tarfile.open(archive, "w") as file:
        file.add(root, ".")
    engine.run("import", str(archive), _IMAGE)
    assert engine.run("run", "--rm", _IMAGE, "/bin/echo", "ready") == "ready\n"


@asynccontextmanager
async def _working(
    server: LiveServer, home: Path, podman: Podman, *arguments: str
) -> AsyncIterator[subprocess.Popen[bytes]]:
    token = await server.new_token("worker", "EXECUTE")
    process = start(server, home, token, *arguments, processes=False, DOCKER_HOST=podman.host)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 30)


async def test_a_step_with_an_image_runs_in_it_and_finds_its_files_below_valohai(
    server: LiveServer, home: Path, podman: Podman
) -> None:
    await push_datum(server, b"content", alias="train-images")
    (home / "shared").mkdir()
    (home / "shared/table").write_text("rows")
    script = [
        "cat /valohai/inputs/data/file.bin /mnt/table; echo",
        "echo wrong > /mnt/table || true",
        "pwd; id -u; env | cut -d= -f1 | sort | tr '\\n' ' '; echo",
        "cat $VH_CONFIG_DIR/inputs.json > /valohai/outputs/seen.json",
        "echo $GREETING >&2",
        """echo '{"loss": 0.5}'""",
        "sleep 0 & exit 3",
    ]
    without_image = await create(server, "echo none")
    execution = await create(
        server,
        *script,
        image=_IMAGE,
        inputs=[{"name": "data", "references": ["datum://train-images"]}],
        environment=[{"name": "GREETING", "value": "hello\nthere", "secret": True}],
        mounts=[{"source": str(home / "shared"), "destination": "/mnt", "readOnly": True}],
    )
    async with _working(server, home, podman, "--allow-mount", str(home)):
        found = await until(server, execution, "COMPLETE", "ERROR")
    assert (found["status"], found["exitCode"]) == ("ERROR", 3), found
    printed = said(found, "STDOUT")
    assert printed[:3] == ["contentrows", "/valohai/repository", "0"]
    assert not set(printed[3].split()) & {"WAYMARK_TOKEN", "DOCKER_HOST"}
    assert "hello there" in said(found, "STDERR")
    assert (home / "shared/table").read_text() == "rows"
    (output,) = found["outputs"]["nodes"]
    assert output["name"] == "seen.json"
    assert [each["code"] for each in found["warnings"]] == []
    assert podman.run("ps", "--all", "--quiet") == ""
    # who runs containers alone leaves what has no image to others
    waiting = await server.run("query($id: ID!) { execution(id: $id) { status } }", id=without_image)
    assert waiting["execution"]["status"] == "QUEUED"


async def test_stopping_and_time_limits_end_a_container(server: LiveServer, home: Path, podman: Podman) -> None:
    limited = await create(server, "sleep 100", image=_IMAGE, timeLimit=1)
    stopped = await create(server, "trap 'echo told; exit 0' TERM", "echo up", "sleep 100 & wait", image=_IMAGE)
    async with _working(server, home, podman, "--concurrency", "2"):
        found = await until(server, limited, "ERROR")
        assert any("time limit" in line for line in said(found, "STATUS"))
        async with asyncio.timeout(60):
            while "up" not in said(await until(server, stopped, "STARTED"), "STDOUT"):
                await asyncio.sleep(0.1)
        await server.run(
            "mutation($i: StopExecutionInput!) { stopExecution(input: $i) { execution { id } } }",
            i={"execution": stopped},
        )
        found = await until(server, stopped, "STOPPED")
        assert "told" in said(found, "STDOUT")
    assert podman.run("ps", "--all", "--quiet") == ""


async def test_an_image_that_cannot_be_had_is_told(server: LiveServer, home: Path, podman: Podman) -> None:
    execution = await create(server, "echo never", image="localhost/gone:1")
    async with _working(server, home, podman):
        found = await until(server, execution, "ERROR")
    assert found["exitCode"] is None
    assert any(line.startswith("image localhost/gone:1: ") for line in said(found, "STATUS"))


async def test_a_container_ends_with_its_worker_and_the_next_one_removes_it(
    server: LiveServer, home: Path, podman: Podman
) -> None:
    execution = await create(server, "echo up", "sleep 100", image=_IMAGE)
    async with _working(server, home, podman) as process:
        await until(server, execution, "STARTED")
        while not podman.run("ps", "--quiet"):
            await asyncio.sleep(0.1)
        process.kill()
        async with asyncio.timeout(60):
            while podman.run("ps", "--quiet"):
                await asyncio.sleep(0.1)
    assert podman.run("ps", "--all", "--quiet") != ""
    async with _working(server, home, podman):
        async with asyncio.timeout(60):
            while podman.run("ps", "--all", "--quiet"):
                await asyncio.sleep(0.1)
