"""The log of one attempt: lines are numbered here, sent in batches, and limited in how many a second may come."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Callable
from typing import Any

from app.client.client import ApiError, Client, UnreachableError

LINES_A_SECOND = 50
_LONGEST_LINE = 16 * 1024
_BATCH = 500
_INTERVAL = 0.3
_MOST_PAUSE = 10.0

_APPEND = "mutation($input: AppendLogsInput!) { appendLogs(input: $input) { execution { id } } }"


class Logbook:
    """What the execution says reaches the server in order, each line once, also when the server is away for a while."""

    def __init__(self, client: Client, execution: str, lease: str, last_line: int) -> None:
        self._client = client
        self._belongs = {"execution": execution, "lease": lease}
        self._next = last_line + 1
        self._waiting: list[dict[str, Any]] = []
        self._second = 0.0
        self._in_second = 0
        self._left_out = 0
        #: Whether lines had to be left out.
        self.limited = False

    def status(self, message: str) -> None:
        """A line of Waymark's own."""
        self._add("STATUS", message)

    def say(self, stream: str, line: str) -> None:
        """A line that the command wrote; more than so many a second are left out, and counted. STATUS lines are not."""
        if stream == "STATUS":
            self.status(line)
            return
        now = time.monotonic()
        if now - self._second >= 1:
            self._tell_left_out()
            self._second, self._in_second = now, 0
        self._in_second += 1
        if self._in_second > LINES_A_SECOND:
            self._left_out += 1
            self.limited = True
            return
        self._add(stream, line)

    def _tell_left_out(self) -> None:
        if self._left_out:
            self.status(f"{self._left_out} lines were left out: more than {LINES_A_SECOND} came in a second")
            self._left_out = 0

    def _add(self, stream: str, message: str) -> None:
        at = dt.datetime.now(dt.UTC).isoformat()
        line = {"sequence": self._next, "at": at, "stream": stream, "message": message[:_LONGEST_LINE]}
        self._next += 1
        self._waiting.append(line)

    async def run(self) -> None:
        """Sends what there is, for ever; LEASE_LOST ends it."""
        while True:
            await asyncio.sleep(_INTERVAL)
            await self.flush()

    async def flush(self) -> None:
        pause = 0.5
        while self._waiting:
            batch = self._waiting[:_BATCH]
            try:
                await self._client.execute(_APPEND, {"input": {**self._belongs, "lines": batch}})
            except (ApiError, UnreachableError) as error:
                if isinstance(error, ApiError) and error.code not in ("STORE_UNAVAILABLE", "INTERNAL"):
                    raise
                await asyncio.sleep(pause)
                pause = min(pause * 2, _MOST_PAUSE)
            else:
                del self._waiting[: len(batch)]

    async def close(self) -> None:
        """Sends the rest."""
        self._tell_left_out()
        await self.flush()


class Lines:
    """Makes lines of what comes in pieces, for a log."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._say(line.decode(errors="replace").rstrip("\r"))
        if len(self._rest) > _LONGEST_LINE:
            self.end()

    def end(self) -> None:
        if self._rest:
            self._say(self._rest.decode(errors="replace"))
        self._rest = b""


def size_in_words(size: int) -> str:
    """Such as 28.9 kB."""
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"
