"""One execution from its claim to its end: inputs come, the command runs, outputs go."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from app.client.client import ApiError, Client, UnreachableError
from app.transfer.fetching import Fetcher
from app.worker.cache import InputCache
from app.worker.claimed import Claimed
from app.worker.container import Container, ContainerError, Engine
from app.worker.folders import SHOWN, Folders
from app.worker.inputs import InputError, Inputs
from app.worker.logbook import LINES_A_SECOND, Logbook
from app.worker.mounts import HostMount, MountRefusedError, allowed_mount
from app.worker.outputs import Outputs
from app.worker.process import Account, Command
from app.worker.sidecars import Fault

log = structlog.get_logger("waymark.worker")

_EXTEND = "mutation($input: ExtendLeaseInput!) { extendLease(input: $input) { execution { status } } }"
_FINISH = "mutation($input: FinishExecutionInput!) { finishExecution(input: $input) { execution { status } } }"
_HEARTBEATS_A_LEASE = 20


@dataclass(frozen=True, slots=True)
class Machine:
    """What the worker's machine offers to commands, as its operator allows."""

    #: What runs steps with an image; None: they run as processes too.
    engine: Engine | None
    processes: bool
    #: Whom processes run as, where that is not who the worker is.
    account: Account | None
    #: Where processes find programs.
    path: str
    #: The paths that steps may mount, or mount from.
    mounts: Sequence[Path]
    cache: InputCache | None


@dataclass
class Run:
    """One attempt. When its lease is lost, it is dropped where it stands: another worker has it, or nobody."""

    client: Client
    fetcher: Fetcher
    claimed: Claimed
    machine: Machine
    #: Below which it gets a folder of its own.
    home: Path
    warnings: list[Fault] = field(default_factory=list)
    _command: Command | Container | None = None
    _stopping: bool = False

    def __post_init__(self) -> None:
        execution = self.claimed.execution
        in_container = self.machine.engine is not None and execution["image"] is not None
        own = self.home / f"{execution['id']}-{execution['attempt']}"
        self.folders = Folders(own, self.machine.account, in_container)

    async def run(self) -> None:
        execution = self.claimed.execution
        logbook = Logbook(self.client, execution["id"], self.claimed.lease, self.claimed.last_line)
        work = asyncio.create_task(self._work(logbook))
        beside = [asyncio.create_task(self._keep_lease()), asyncio.create_task(logbook.run())]
        try:
            # what runs beside ends only when the lease is lost
            done, _ = await asyncio.wait([work, *beside], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except* ApiError as errors:
            if any(error.code != "LEASE_LOST" for error in _all(errors)):
                raise
            log.warning("the lease was lost; what ran is ended", execution=execution["number"])
        finally:
            for task in [work, *beside]:
                task.cancel()
            await asyncio.gather(work, *beside, return_exceptions=True)
            await asyncio.to_thread(shutil.rmtree, self.folders.home, ignore_errors=True)

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(self.claimed.lease_seconds / _HEARTBEATS_A_LEASE)
            await self._beat()

    async def _beat(self) -> None:
        try:
            data = await self.client.execute(_EXTEND, {"input": self.claimed.belongs()})
        except UnreachableError:
            # the lease outlives some heartbeats that are not heard
            return
        if data["extendLease"]["execution"]["status"] == "STOPPING" and not self._stopping:
            self._stopping = True
            if self._command is not None:
                await self._command.stop()

    async def _work(self, logbook: Logbook) -> None:
        exit_code: int | None = None
        inputs = Inputs(self.client, self.fetcher, self.machine.cache, self.claimed, self.folders, logbook)
        outputs = Outputs(self.client, self.claimed, self.folders, logbook, self.warnings)
        try:
            await asyncio.to_thread(self.folders.make)
            described = await inputs.fetch()
            await asyncio.to_thread(self.folders.write_config, self.claimed.execution, described)
            if not self._stopping:
                exit_code = await self._run_command(logbook, outputs)
            await outputs.keep_all()
        except (InputError, ContainerError) as error:
            logbook.status(str(error))
        if logbook.limited:
            message = f"more than {LINES_A_SECOND} lines came in a second; some were left out of the log"
            self.warnings.append(Fault("LOG_LIMITED", message, ""))
        await logbook.close()
        await self._finish(exit_code)

    async def _run_command(self, logbook: Logbook, outputs: Outputs) -> int:
        execution = self.claimed.execution
        mounts = await asyncio.to_thread(self._offer_mounts, logbook)
        environment = self.folders.environment(execution, self.claimed.environment)
        if self.machine.engine is not None and self.folders.in_container:
            self._command = await self.machine.engine.start(
                execution["image"],
                execution["command"],
                folders=self.folders,
                environment=environment,
                mounts=mounts,
                said=logbook.say,
            )
        else:
            if execution["image"] is not None:
                logbook.status(f"image {execution['image']}: not used, as this worker has no Docker engine")
            self._command = await Command.start(
                execution["command"],
                folder=self.folders.repository,
                environment=environment,
                account=self.machine.account,
                path=self.machine.path,
                said=logbook.say,
            )
        code = await self._end_of(self._command, logbook, outputs)
        logbook.status(f"the command returned {code}")
        return code

    async def _end_of(self, command: Command | Container, logbook: Logbook, outputs: Outputs) -> int:
        """What the command returns; not 0 if it ran longer than it may. Finished outputs are stored meanwhile."""
        limit = self.claimed.execution["timeLimit"]
        in_time = True
        ending = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            ended = group.create_task(command.wait())
            group.create_task(outputs.keep_finished(ending))
            await asyncio.wait([ended], timeout=limit)
            if not ended.done():
                in_time = False
                logbook.status(f"it ran longer than its time limit of {limit} s, and is ended")
                await command.stop()
            code = await ended
            ending.set()
        return code if in_time else code or 1

    def _offer_mounts(self, logbook: Logbook) -> list[HostMount]:
        """What the step mounts, as far as this worker offers it; for a process it is in place then. Blocking."""
        offered = []
        for mount in self.claimed.execution["mounts"]:
            try:
                allowed = allowed_mount(mount, self.machine.mounts)
                if not self.folders.in_container:
                    self._link(allowed)
            except MountRefusedError as error:
                message = f"mount {mount['source']} at {mount['destination']} ignored: {error}"
                self.warnings.append(Fault("MOUNT_IGNORED", message, ""))
                logbook.status(message)
                continue
            offered.append(allowed)
            writable = " (read-only was asked for, which a process cannot be held to)"
            note = writable if allowed.read_only and not self.folders.in_container else ""
            logbook.status(f"mount {allowed.source} at {allowed.destination}: nothing on it is versioned{note}")
        return offered

    def _link(self, mount: HostMount) -> None:
        """Puts a mount where a process finds it."""
        if mount.destination == str(mount.source):
            return
        link = self.folders.home / mount.destination.removeprefix(f"{SHOWN}/")
        inside = mount.destination.startswith(f"{SHOWN}/") and ".." not in link.parts
        if not inside or not link.resolve().is_relative_to(self.folders.home) or link.exists():
            raise MountRefusedError(
                f"a process can have it at {mount.source} itself, or at a place below {SHOWN} that is free"
            )
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(mount.source)

    async def _finish(self, exit_code: int | None) -> None:
        warnings: list[dict[str, Any]] = [
            {"code": each.code, "message": each.message, "file": each.file or None, "key": each.key}
            for each in self.warnings
        ]
        while True:
            try:
                await self.client.execute(
                    _FINISH, {"input": {**self.claimed.belongs(), "exitCode": exit_code, "warnings": warnings}}
                )
            except UnreachableError:
                await asyncio.sleep(1)
            else:
                return


def _all(errors: BaseExceptionGroup[ApiError]) -> Iterator[ApiError]:
    """The errors of a group and of the groups in it."""
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _all(error)
        else:
            yield error
