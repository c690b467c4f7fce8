"""The files that an execution makes: what is below its outputs folder becomes data, with what sidecars say of it.

While the command runs it may put anything there, also links that lead to what it could not read itself. So files are
opened step by step, following none.
"""

from __future__ import annotations

import asyncio
import mimetypes
import os
import stat
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from app.client.client import ApiError, Client
from app.client.transfers import patiently, send_parts
from app.transfer.hashing import hash_open
from app.worker.claimed import Claimed
from app.worker.folders import SHOWN, Folders
from app.worker.logbook import Logbook, size_in_words
from app.worker.sidecars import Description, Fault, Sidecars, read_sidecars

_REQUEST = "mutation($input: RequestUploadInput!) { requestUpload(input: $input) { upload { id } datum { id } } }"
_COMPLETE = "mutation($input: CompleteUploadInput!) { completeUpload(input: $input) { datum { id } } }"
_DESCRIBE = "mutation($input: DescribeOutputInput!) { describeOutput(input: $input) { datum { id } } }"
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_LOOK_SECONDS = 1.0
_LOOK_SHARE = 10


@dataclass(frozen=True, slots=True)
class _Kept:
    """An output that is stored already."""

    datum: str
    description: Description
    #: What tells whether the file is still the one that was stored.
    identity: tuple[int, int, int]


@dataclass(slots=True)
class Outputs:
    """Those of one attempt."""

    client: Client
    claimed: Claimed
    folders: Folders
    logbook: Logbook
    #: What the execution's user should know.
    warnings: list[Fault]
    _kept: dict[str, _Kept] = field(default_factory=dict)

    async def keep_finished(self, ended: asyncio.Event) -> None:
        """Until the command has ended: stores what it makes read-only, which says that a file is finished."""
        pause = _LOOK_SECONDS
        while not ended.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await ended.wait()
            began = time.monotonic()
            finished = await asyncio.to_thread(self._finished)
            # a large folder is not looked at all the time
            pause = max(_LOOK_SECONDS, _LOOK_SHARE * (time.monotonic() - began))
            for name, description in finished.items():
                try:
                    with await asyncio.to_thread(self._open, name) as file:
                        await self._keep(name, file, description)
                except OSError:
                    # it has gone again; the end will tell
                    continue
                except ApiError as error:
                    if error.code != "CHECKSUM_MISMATCH":
                        raise
                    self.logbook.status(f"{SHOWN}/outputs/{name}: it was changed while it was read; once more later")

    async def keep_all(self) -> None:
        """After the command: stores what is not stored yet, and says of the others what was said of them since."""
        found = await asyncio.to_thread(self._read)
        self.warnings += found.faults
        for name, description in found.outputs.items():
            try:
                with await asyncio.to_thread(self._open, name) as file:
                    if self._is_kept(name, file):
                        await self._describe(name, description)
                    else:
                        await self._keep(name, file, description)
            except OSError as error:
                self._invalid(name, f"it cannot be read: {error.strerror}")

    def _read(self) -> Sidecars:
        return read_sidecars(self.folders.outputs, self._open)

    def _finished(self) -> dict[str, Description]:
        """The files that are read-only and not stored yet. Blocking."""
        if not any(_finished(path) for path in self.folders.outputs.rglob("*")):
            return {}
        found = {}
        for name, description in self._read().outputs.items():
            if _finished(self.folders.outputs / name):
                with suppress(OSError), self._open(name) as file:
                    if not self._is_kept(name, file):
                        found[name] = description
        return found

    def _open(self, name: str) -> BinaryIO:
        return open_below(self.folders.outputs, name, owner=self.folders.owner)

    def _is_kept(self, name: str, file: BinaryIO) -> bool:
        return name in self._kept and self._kept[name].identity == _identity(file)

    async def _keep(self, name: str, file: BinaryIO, description: Description) -> None:
        identity = _identity(file)
        size, digests = await asyncio.to_thread(hash_open, file)
        announced = {
            "project": self.claimed.execution["project"]["id"],
            "name": name,
            "size": str(size),
            "mediaType": mimetypes.guess_type(name)[0],
            "md5": digests.md5,
            "sha1": digests.sha1,
            "sha256": digests.sha256,
            **self.claimed.belongs(),
        }
        described = {"tags": description.tags, "properties": description.properties}
        try:
            requested = await self.client.execute(_REQUEST, {"input": {**announced, **described}})
        except ApiError as error:
            if error.code != "BAD_USER_INPUT":
                raise
            # what the sidecar says is refused, and the file is kept without it
            self._invalid(name, error.message)
            requested = await self.client.execute(_REQUEST, {"input": announced})
        upload = requested["requestUpload"]["upload"]["id"]
        await send_parts(self.client, upload, file, lambda _: None)
        completion = {"upload": upload, "lease": self.claimed.lease}
        alias = {"alias": description.alias} if description.alias is not None else {}
        try:
            await patiently(lambda: self.client.execute(_COMPLETE, {"input": {**completion, **alias}}))
        except ApiError as error:
            if error.code != "BAD_USER_INPUT" or not alias:
                raise
            self._invalid(name, error.message, "valohai.alias")
            await patiently(lambda: self.client.execute(_COMPLETE, {"input": completion}))
        self._kept[name] = _Kept(requested["requestUpload"]["datum"]["id"], description, identity)
        self.logbook.status(f"{SHOWN}/outputs/{name}: uploaded, {size_in_words(size)}")

    async def _describe(self, name: str, description: Description) -> None:
        """Adds what the sidecar says now to what it said when the file was stored."""
        kept = self._kept[name]
        if description == kept.description:
            return
        said = {"tags": description.tags, "properties": description.properties, "alias": description.alias}
        belongs = {**self.claimed.belongs(), "datum": kept.datum}
        try:
            await self.client.execute(_DESCRIBE, {"input": {**belongs, **said}})
        except ApiError as error:
            if error.code != "BAD_USER_INPUT":
                raise
            self._invalid(name, error.message)

    def _invalid(self, name: str, fault: str, key: str | None = None) -> None:
        self.warnings.append(Fault("SIDECAR_INVALID", f"{name}: {fault}", name, key))


def open_below(folder: Path, name: str, *, owner: int | None = None) -> BinaryIO:
    """Opens a plain file below a folder, following no link on the way. Blocking.

    `owner` is whose it must be, where that is another account than this one: another's may be a hard link to what the
    command could not read. OSError where it is no such file.
    """
    *parents, last = name.split("/")
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for part in parents:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        # of a pipe, opening would wait for a writer
        found = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
    finally:
        os.close(at)
    told = os.fstat(found)
    if not stat.S_ISREG(told.st_mode) or (owner is not None and told.st_uid != owner):
        os.close(found)
        raise PermissionError(1, "it is no plain file of the command's own")
    return os.fdopen(found, "rb")


def _finished(path: Path) -> bool:
    with suppress(OSError):
        mode = path.lstat().st_mode
        return stat.S_ISREG(mode) and not mode & _WRITABLE
    return False


def _identity(file: BinaryIO) -> tuple[int, int, int]:
    told = os.fstat(file.fileno())
    return told.st_ino, told.st_size, told.st_mtime_ns
