"""One execution from its claim to its end: inputs come, the command runs, outputs go."""

from __future__ import annotations

import asyncio
import mimetypes
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog

from app.client.client import ApiError, Client, UnreachableError
from app.client.transfers import patiently, send_parts
from app.transfer.fetching import Fetcher, FetchError
from app.transfer.hashing import Digests, Hasher, hash_file
from app.worker.folders import SHOWN, Folders
from app.worker.logbook import LINES_A_SECOND, Logbook
from app.worker.process import Command
from app.worker.sidecars import Description, Fault, read_sidecars

log = structlog.get_logger("waymark.worker")

_INPUTS = """query($id: ID!, $after: String) { execution(id: $id) { inputs { name keepDirectories
    files(first: 100, after: $after) { pageInfo { hasNextPage endCursor } nodes { reference filename
        datum { id name size origin tags properties storageUri downloadUrl checksums { md5 sha1 sha256 } } } } } } }"""
_EXTEND = "mutation($input: ExtendLeaseInput!) { extendLease(input: $input) { execution { status } } }"
_FINISH = "mutation($input: FinishExecutionInput!) { finishExecution(input: $input) { execution { status } } }"
_REQUEST = "mutation($input: RequestUploadInput!) { requestUpload(input: $input) { upload { id } } }"
_COMPLETE = "mutation($input: CompleteUploadInput!) { completeUpload(input: $input) { datum { id } } }"
_REPORT = "mutation($input: ReportInputsInput!) { reportInputs(input: $input) { execution { id } } }"
_FOUND_AT_ONCE = 500
_HEARTBEATS_A_LEASE = 20
_ATTEMPTS = 3


class InputError(Exception):
    """An input cannot be had, so that the command cannot be run."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What claimExecution gave."""

    execution: dict[str, Any]
    lease: str
    lease_seconds: int
    last_line: int
    environment: dict[str, str]
    #: Addresses with credentials, by input and place.
    addresses: Mapping[tuple[str, int], str]


@dataclass
class Run:
    """One attempt. When its lease is lost, it is dropped where it stands: another worker has it, or nobody."""

    client: Client
    fetcher: Fetcher
    claimed: Claimed
    folders: Folders
    warnings: list[Fault] = field(default_factory=list)
    _command: Command | None = None
    _stopping: bool = False

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
        except ApiError as error:
            if error.code != "LEASE_LOST":
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
            data = await self.client.execute(_EXTEND, {"input": self._belongs()})
        except UnreachableError:
            # the lease outlives some heartbeats that are not heard
            return
        if data["extendLease"]["execution"]["status"] == "STOPPING" and not self._stopping:
            self._stopping = True
            if self._command is not None:
                await self._command.stop()

    async def _work(self, logbook: Logbook) -> None:
        exit_code: int | None = None
        try:
            await asyncio.to_thread(self.folders.make)
            inputs = await self._fetch_inputs(logbook)
            await asyncio.to_thread(self.folders.write_config, self.claimed.execution, inputs)
            if not self._stopping:
                exit_code = await self._run_command(logbook)
            await self._keep_outputs(logbook)
        except InputError as error:
            logbook.status(str(error))
        if logbook.limited:
            message = f"more than {LINES_A_SECOND} lines came in a second; some were left out of the log"
            self.warnings.append(Fault("LOG_LIMITED", message, ""))
        await logbook.close()
        await self._finish(exit_code)

    async def _run_command(self, logbook: Logbook) -> int:
        environment = self.folders.environment(self.claimed.execution, self.claimed.environment)
        self._command = await Command.start(
            self.claimed.execution["command"],
            folder=self.folders.repository,
            environment=environment,
            account=self.folders.account,
            said=logbook.output,
        )
        limit = self.claimed.execution["timeLimit"]
        async with asyncio.TaskGroup() as group:
            ended = group.create_task(self._command.wait())
            await asyncio.wait([ended], timeout=limit)
            in_time = ended.done()
            if not in_time:
                logbook.status(f"it ran longer than its time limit of {limit} s, and is ended")
                await self._command.stop()
        code = ended.result()
        logbook.status(f"the command returned {code}")
        return code if in_time else code or 1

    async def _finish(self, exit_code: int | None) -> None:
        warnings = [
            {"code": each.code, "message": each.message, "file": each.file or None, "key": each.key}
            for each in self.warnings
        ]
        while True:
            try:
                await self.client.execute(
                    _FINISH, {"input": {**self._belongs(), "exitCode": exit_code, "warnings": warnings}}
                )
            except UnreachableError:
                await asyncio.sleep(1)
            else:
                return

    def _belongs(self) -> dict[str, str]:
        return {"execution": self.claimed.execution["id"], "lease": self.claimed.lease}

    async def _fetch_inputs(self, logbook: Logbook) -> dict[str, Any]:
        """Brings every file of every input; what inputs.json says of them."""
        described: dict[str, Any] = {}
        after, more = None, True
        places: dict[str, int] = {}
        while more:
            # links are short-lived, so a page is used before the next is asked for
            data = await self.client.execute(_INPUTS, {"id": self.claimed.execution["id"], "after": after})
            more, after = False, None
            found: list[dict[str, Any]] = []
            for each in data["execution"]["inputs"]:
                files = described.setdefault(each["name"], {"files": []})["files"]
                for file in each["files"]["nodes"]:
                    place = places.get(each["name"], 0)
                    places[each["name"]] = place + 1
                    files.append(await self._fetch_input(logbook, each, file, place))
                    found.append({"input": each["name"], "position": place, **files[-1]["checksums"]})
                page = each["files"]["pageInfo"]
                if page["hasNextPage"]:
                    more, after = True, page["endCursor"]
            for start in range(0, len(found), _FOUND_AT_ONCE):
                report = {**self._belongs(), "files": found[start : start + _FOUND_AT_ONCE]}
                await self.client.execute(_REPORT, {"input": report})
        return described

    async def _fetch_input(
        self, logbook: Logbook, spec: Mapping[str, Any], file: Mapping[str, Any], place: int
    ) -> dict[str, Any]:
        datum = file["datum"]
        name = file["filename"] or _name_of(file["reference"], datum, spec["keepDirectories"])
        path = self.folders.inputs / spec["name"] / name
        shown = f"{SHOWN}/inputs/{spec['name']}/{name}"
        if not path.is_relative_to(self.folders.inputs) or ".." in PurePosixPath(name).parts:
            raise InputError(f"{shown} would be outside of its folder")
        if path.exists():
            raise InputError(f"{shown} is the name of two files; keep their directories, or give them names")
        path.parent.mkdir(parents=True, exist_ok=True)
        address = self.claimed.addresses.get((spec["name"], place), file["reference"])
        size, digests = await self._fetch(shown, path, address, datum)
        logbook.status(f"{shown}: downloaded, {_in_words(size)}")
        for algorithm in ("md5", "sha1", "sha256"):
            logbook.status(f"{shown}: {algorithm} sum: {getattr(digests, algorithm)}")
        return {
            "name": name,
            "path": str(path),
            "size": size,
            "uri": f"datum://{datum['id']}" if datum else file["reference"],
            "storage_uri": datum and datum["storageUri"],
            "datum_id": datum and datum["id"],
            "checksums": {"md5": digests.md5, "sha1": digests.sha1, "sha256": digests.sha256},
            "metadata": [datum["properties"]] if datum and datum["properties"] else [],
        }

    async def _fetch(
        self, shown: str, path: Path, address: str, datum: Mapping[str, Any] | None
    ) -> tuple[int, Digests]:
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self._chunks(address, datum) as chunks:
                    size, digests = await _keep(path, chunks)
            except (ApiError, UnreachableError, FetchError) as error:
                if attempt == _ATTEMPTS or (isinstance(error, FetchError)):
                    raise InputError(f"{shown}: {error}") from error
                await asyncio.sleep(2.0 ** (attempt - 1))
                continue
            for algorithm, announced in (datum["checksums"] if datum else {}).items():
                if announced not in (None, getattr(digests, algorithm)):
                    raise InputError(f"{shown}: its {algorithm} is {getattr(digests, algorithm)}; expected {announced}")
            return size, digests

    @asynccontextmanager
    async def _chunks(self, address: str, datum: Mapping[str, Any] | None) -> AsyncIterator[AsyncIterator[bytes]]:
        if datum is None:
            async with self.fetcher.open(address) as fetched:
                yield fetched.chunks
        elif datum["downloadUrl"] is None:
            raise InputError(f"datum {datum['id']} cannot be had any more")
        else:
            async with self.client.get(datum["downloadUrl"]) as chunks:
                yield chunks

    async def _keep_outputs(self, logbook: Logbook) -> None:
        """Sends everything below the outputs folder, with what its sidecars say."""
        found = await asyncio.to_thread(read_sidecars, self.folders.outputs)
        self.warnings += found.faults
        for name, description in found.outputs.items():
            await self._keep_output(logbook, name, description)

    async def _keep_output(self, logbook: Logbook, name: str, description: Description) -> None:
        path = self.folders.outputs / name
        size, digests = await asyncio.to_thread(hash_file, path)
        announced = {
            "project": self.claimed.execution["project"]["id"],
            "name": name,
            "size": str(size),
            "mediaType": mimetypes.guess_type(name)[0],
            "md5": digests.md5,
            "sha1": digests.sha1,
            "sha256": digests.sha256,
            **self._belongs(),
        }
        described = {"tags": description.tags, "properties": description.properties}
        try:
            requested = await self.client.execute(_REQUEST, {"input": {**announced, **described}})
        except ApiError as error:
            if error.code != "BAD_USER_INPUT":
                raise
            # what the sidecar says is refused, and the file is kept without it
            self.warnings.append(Fault("SIDECAR_INVALID", f"{name}: {error.message}", name))
            requested = await self.client.execute(_REQUEST, {"input": announced})
        upload = requested["requestUpload"]["upload"]["id"]
        with path.open("rb") as file:
            await send_parts(self.client, upload, file, lambda _: None)
        completion = {"upload": upload, "lease": self.claimed.lease}
        alias = {"alias": description.alias} if description.alias is not None else {}
        try:
            await patiently(lambda: self.client.execute(_COMPLETE, {"input": {**completion, **alias}}))
        except ApiError as error:
            if error.code != "BAD_USER_INPUT" or not alias:
                raise
            self.warnings.append(Fault("SIDECAR_INVALID", f"{name}: {error.message}", name, "valohai.alias"))
            await patiently(lambda: self.client.execute(_COMPLETE, {"input": completion}))
        logbook.status(f"{SHOWN}/outputs/{name}: uploaded, {_in_words(size)}")


def _name_of(reference: str, datum: Mapping[str, Any] | None, keep: str) -> str:
    """What a file is called among its input's: the end of its path, or more of it if directories are kept."""
    if datum is None:
        return unquote(PurePosixPath(urlsplit(reference).path).name) or "file"
    path = str(datum["name"])
    if datum["origin"] == "ADOPTED" and datum["storageUri"]:
        path = str(datum["storageUri"]).partition("://")[2].partition("/")[2]
    if keep == "FULL":
        return path
    if keep == "SUFFIX":
        literal = reference.partition("://")[2].partition("/")[2].partition("*")[0].rpartition("/")[0]
        return path.removeprefix(f"{literal}/") if literal else path
    return path.rpartition("/")[2]


async def _keep(path: Path, chunks: AsyncIterator[bytes]) -> tuple[int, Digests]:
    size = 0
    with Hasher() as hasher, path.open("wb") as file:

        def keep(chunk: bytes) -> None:
            hasher.update(chunk)
            file.write(chunk)

        async for chunk in chunks:
            size += len(chunk)
            await asyncio.to_thread(keep, chunk)
        return size, hasher.digests()


def _in_words(size: int) -> str:
    """Such as 28.9 kB."""
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"
