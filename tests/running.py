"""`waymark serve` and other commands as processes of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

_ROOM = 4 * 1024**3


@contextmanager
def home_folder(name: str) -> Iterator[Path]:
    """A folder for PostgreSQL: not pytest's own, as it runs as another account, which must reach it.

    In memory where there is room, as it makes three hundred files a database.
    """
    memory = Path("/dev") / "shm"
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > _ROOM
    with tempfile.TemporaryDirectory(prefix=f"waymark-{name}-", dir=memory if has_room else None) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WAYMARK_")}
    return {**kept, "WAYMARK_DATA_DIR": str(data_dir), "WAYMARK_PORT": "0", "WAYMARK_LOCAL_WORKER": "0", **more}


def waymark(data_dir: Path, *arguments: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        env={**environment(data_dir, **more), "PYTHONPATH": str(Path(__file__).parents[1])},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def start(data_dir: Path, **more: str) -> subprocess.Popen[bytes]:
    """Starts a server; it may not answer yet."""
    # a killed server leaves its address behind
    (data_dir / "address").unlink(missing_ok=True)
    return subprocess.Popen([sys.executable, "-m", "app", "serve"], env=environment(data_dir, **more))


@contextmanager
def serving(data_dir: Path, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers; it is stopped at the end, unless it ended before."""
    process = start(data_dir, **more)
    try:
        wait_until_ready(process, data_dir)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def wait_until_ready(process: subprocess.Popen[bytes], data_dir: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended at once"
        try:
            netloc = urlsplit((data_dir / "address").read_text().strip()).netloc
            with closing(HTTPConnection(netloc, timeout=1)) as connection:
                connection.request("GET", "/readyz")
                with connection.getresponse() as response:
                    if response.status == 200:
                        return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError("the server did not become ready")


def children_of(pid: int) -> list[int]:
    """The ids of a process's children, from the kernel."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found
