"""The process runner: a command in a process group of its own. It isolates nothing from the machine."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from app.worker.logbook import Lines

_CHUNK = 64 * 1024
# Its input is a pipe that the worker holds and never writes to: when the worker is gone, however that came, the pipe
# ends, and with it the group. The lines run in a shell of their own, whose `wait` knows nothing of the watcher.
_WATCHED = """
exec 3<&0 </dev/null
{ read -r _ <&3; kill -KILL 0; } >/dev/null 2>&1 &
exec 3<&-
exec /bin/sh -e -c "$1"
"""
#: What a command gets between being asked to end and being ended.
GRACE_SECONDS = 10.0


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


async def may_run(account: Account, program: str) -> bool:
    """Whether another account can reach a program, which its folders may forbid."""
    asked = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", '[ -x "$1" ]', "sh", program),
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
        cwd="/",
    )
    return await asked.wait() == 0


class Command:
    """A command that runs; what it writes is given line by line to `said`, with the stream's name."""

    def __init__(self, process: asyncio.subprocess.Process, said: Callable[[str, str], None]) -> None:
        self._process = process
        self._said = said

    @classmethod
    async def start(
        cls,
        lines: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        account: Account | None,
        path: str,
        said: Callable[[str, str], None],
    ) -> Command:
        """Starts the lines, one after the other; the first that fails ends them. `path` is where programs are found."""
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", _WATCHED, "sh", "\n".join(lines)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder,
            env={"PATH": path, "LANG": "C.UTF-8", "HOME": str(folder), **environment},
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
            async with asyncio.timeout(GRACE_SECONDS):
                await self._process.wait()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _read(self, stream: asyncio.StreamReader, name: str) -> None:
        lines = Lines(partial(self._said, name))
        while piece := await stream.read(_CHUNK):
            lines.feed(piece)
        lines.end()
