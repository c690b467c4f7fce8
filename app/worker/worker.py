"""The worker: claims executions and runs them, several at once if it is told to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from app.client.client import ApiError, Client, UnreachableError
from app.transfer.fetching import Fetcher, FetchLimits
from app.transfer.guard import NetworkGuard
from app.worker.claimed import Claimed
from app.worker.run import Machine, Run

log = structlog.get_logger("waymark.worker")

_CLAIM = """mutation($input: ClaimExecutionInput!) { claimExecution(input: $input) { lease leaseSeconds lastLine
    environment { name value } addresses { input position url }
    execution { id number title step image command parameters timeLimit attempt project { id slug }
        mounts { source destination type readOnly } } } }"""
_IDLE_SECONDS = 1.0
_AWAY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker of a server, until it is told to end."""

    client: Client
    name: str
    labels: Sequence[str]
    concurrency: int
    #: Below which each execution gets a folder of its own.
    home: Path
    machine: Machine
    guard: NetworkGuard
    limits: FetchLimits

    async def run(self, ending: asyncio.Event) -> None:
        """Takes executions until `ending` is set; those under way then go on to their ends."""
        async with Fetcher(self.guard, self.limits) as fetcher, asyncio.TaskGroup() as under_way:
            places = asyncio.Semaphore(self.concurrency)
            while not ending.is_set():
                await places.acquire()
                claimed = await self._claim()
                if isinstance(claimed, Claimed):
                    task = under_way.create_task(self._run(fetcher, claimed))
                    task.add_done_callback(lambda _: places.release())
                    continue
                places.release()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(claimed):
                        await ending.wait()

    async def _claim(self) -> Claimed | float:
        """An execution; or the seconds to wait before asking again."""
        try:
            wanted = {"worker": self.name, "labels": list(self.labels), "imageOnly": not self.machine.processes}
            data = await self.client.execute(_CLAIM, {"input": wanted})
        except UnreachableError as error:
            log.warning("the server cannot be reached; it is tried again", error=str(error))
            return _AWAY_SECONDS
        except ApiError as error:
            if error.code not in ("STORE_UNAVAILABLE", "INTERNAL", "LIMIT_EXCEEDED"):
                raise
            log.warning("the server has trouble; it is tried again", error=error.message)
            return _AWAY_SECONDS
        found = data["claimExecution"]
        if found["execution"] is None:
            return _IDLE_SECONDS
        return Claimed(
            execution=found["execution"],
            lease=found["lease"],
            lease_seconds=found["leaseSeconds"],
            last_line=found["lastLine"],
            environment={each["name"]: each["value"] for each in found["environment"]},
            addresses={(each["input"], each["position"]): each["url"] for each in found["addresses"]},
        )

    async def _run(self, fetcher: Fetcher, claimed: Claimed) -> None:
        execution = claimed.execution
        log.info("running", execution=execution["number"], project=execution["project"]["slug"])
        try:
            await Run(self.client, fetcher, claimed, self.machine, self.home).run()
        except Exception:
            # its lease will end, and the execution goes to the next who asks; the others go on
            log.exception("an execution was dropped", execution=execution["number"])
            return
        log.info("done", execution=execution["number"])
