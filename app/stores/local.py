"""A store in a local folder, whose links Waymark serves itself.

Parts arrive under `.uploads/`, each whole or not at all; completing an upload verifies the bytes under a private name
and then links them to their final one. A link fails where the name exists, so nothing is ever overwritten.
"""

from __future__ import annotations

import asyncio
import builtins
import errno
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar

from app.stores.base import (
    AlreadyExists,
    ChecksumMismatch,
    Entry,
    Expected,
    NotFound,
    PreconditionFailed,
    SignedRequest,
    SizeMismatch,
    Stat,
    Unavailable,
    UploadPlan,
    require_parts,
)
from app.transfer.hashing import CHUNK_BYTES, Digests, Hasher, hash_file

_PART_BYTES = 64 * 1024 * 1024
_MOST_PARTS = 10_000
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}

P = ParamSpec("P")
T = TypeVar("T")


class LocalStore:
    """Keeps objects below `root`, one file each."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self._root = root

    async def stat(self, key: str) -> Stat:
        return _stat(await self._in_thread("stat", key, self.path(key).stat))

    @asynccontextmanager
    async def open(self, key: str, *, if_match: str | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        file = await self._in_thread("open", key, self.path(key).open, "rb")
        try:
            etag = _stat(os.fstat(file.fileno())).etag
            if if_match not in (None, etag):
                raise PreconditionFailed(self.name, "open", key, f"its etag is {etag}, not {if_match}")

            async def chunks() -> AsyncIterator[bytes]:
                while chunk := await self._in_thread("read", key, file.read, CHUNK_BYTES):
                    yield chunk

            yield chunks()
        finally:
            await self._in_thread("close", key, file.close)

    async def create(self, key: str, content: bytes) -> Stat:
        def write() -> Stat:
            final = self.path(key)
            final.parent.mkdir(parents=True, exist_ok=True)
            whole = self._staging(key).with_suffix(f".{secrets.token_hex(8)}")
            whole.parent.mkdir(parents=True, exist_ok=True)
            try:
                whole.write_bytes(content)
                _sync(whole)
                final.hardlink_to(whole)
            except FileExistsError as error:
                raise AlreadyExists(self.name, "create", key, "there is an object already") from error
            finally:
                whole.unlink(missing_ok=True)
            return _stat(final.stat())

        return await self._in_thread("create", key, write)

    async def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Entry]:
        def scan() -> builtins.list[Entry]:
            found = []
            for path in self._root.rglob("*"):
                key = path.relative_to(self._root).as_posix()
                if key.startswith(prefix) and key > after and not key.startswith(".uploads/") and path.is_file():
                    stat = path.stat()
                    found.append(Entry(key, stat.st_size, _stat(stat).etag))
            return sorted(found, key=lambda entry: entry.key)

        for entry in await self._in_thread("list", prefix, scan):
            yield entry

    async def sign_get(self, key: str, *, seconds: int, filename: str, media_type: str | None) -> str | None:
        return None

    def plan_upload(self, size: int) -> UploadPlan:
        return UploadPlan.cut(size, smallest=_PART_BYTES, whole_up_to=_PART_BYTES, most_parts=_MOST_PARTS)

    async def begin_upload(self, key: str, plan: UploadPlan) -> str:
        return ""

    async def sign_part(
        self, key: str, session: str, plan: UploadPlan, number: int, *, expected: Expected, seconds: int
    ) -> SignedRequest | None:
        return None

    async def write_part(self, key: str, number: int, size: int, chunks: AsyncIterator[bytes]) -> None:
        """Keeps one part of exactly `size` bytes; replaces an earlier attempt at the same part."""
        staging = self._staging(key)
        arriving = staging / f"{number}.{secrets.token_hex(8)}"
        await self._in_thread("write_part", key, staging.mkdir, parents=True, exist_ok=True)
        try:
            received = await self._receive(key, arriving, size, chunks)
            if received != size:
                raise SizeMismatch(self.name, "write_part", key, f"part {number} has {received} bytes; expected {size}")
            await self._in_thread("write_part", key, os.replace, arriving, staging / str(number))
        finally:
            await asyncio.shield(self._in_thread("write_part", key, arriving.unlink, missing_ok=True))

    async def _receive(self, key: str, path: Path, size: int, chunks: AsyncIterator[bytes]) -> int:
        received = 0
        buffer = bytearray()
        with await self._in_thread("write_part", key, path.open, "wb") as file:
            async for chunk in chunks:
                received += len(chunk)
                if received > size:
                    break
                buffer += chunk
                if len(buffer) >= CHUNK_BYTES:
                    await self._in_thread("write_part", key, file.write, bytes(buffer))
                    buffer.clear()
            await self._in_thread("write_part", key, file.write, bytes(buffer))
        return received

    async def received_parts(self, key: str, session: str, plan: UploadPlan) -> Mapping[int, int]:
        return await self._in_thread("received_parts", key, _sizes, self._staging(key))

    async def complete_upload(self, key: str, session: str, plan: UploadPlan, expected: Expected) -> Stat:
        return await self._in_thread("complete", key, self._complete, key, plan, expected)

    async def abort_upload(self, key: str, session: str) -> None:
        await self._in_thread("abort", key, shutil.rmtree, self._staging(key), ignore_errors=True)

    async def delete(self, key: str) -> None:
        await self._in_thread("delete", key, self.path(key).unlink, missing_ok=True)

    async def aclose(self) -> None:
        """Nothing is open."""

    def path(self, key: str) -> Path:
        """Where an object is, for serving it."""
        return self._root / key

    def _staging(self, key: str) -> Path:
        return self._root / ".uploads" / key.replace("/", "-")

    def _complete(self, key: str, plan: UploadPlan, expected: Expected) -> Stat:
        final = self.path(key)
        if not final.exists():
            try:
                digests = self._publish(key, final, plan, expected)
                return replace(_stat(final.stat()), verified=digests)
            except FileNotFoundError:
                # a twin of this call has published the object and removed the parts under our hands
                if not final.exists():
                    raise
        size, digests = hash_file(final)
        self._verify(key, plan, expected, size, digests)
        return replace(_stat(final.stat()), verified=digests)

    def _publish(self, key: str, final: Path, plan: UploadPlan, expected: Expected) -> Digests:
        staging = self._staging(key)
        parts = [staging / str(number) for number in range(1, plan.part_count + 1)]
        require_parts(self.name, key, plan, _sizes(staging))
        # a private name, so that what is verified is what is published
        whole = staging / f"whole.{secrets.token_hex(8)}"
        try:
            if len(parts) == 1:
                whole.hardlink_to(parts[0])
                size, digests = hash_file(whole)
            else:
                size, digests = _concatenate(parts, whole)
            self._verify(key, plan, expected, size, digests)
            whole.chmod(0o444)
            _sync(whole)
            final.parent.mkdir(parents=True, exist_ok=True)
            try:
                final.hardlink_to(whole)
            except FileExistsError:
                return digests
            for folder in (final.parent, final.parent.parent, self._root):
                _sync(folder)
        finally:
            whole.unlink(missing_ok=True)
        shutil.rmtree(staging, ignore_errors=True)
        return digests

    def _verify(self, key: str, plan: UploadPlan, expected: Expected, size: int, digests: Digests) -> None:
        if size != plan.size:
            raise SizeMismatch(self.name, "complete", key, f"{size} bytes arrived; {plan.size} were announced")
        if differences := expected.differences(digests):
            raise ChecksumMismatch(self.name, "complete", key, "; ".join(differences))

    async def _in_thread(
        self, operation: str, key: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        def run() -> T:
            with self._failures(operation, key):
                return function(*args, **kwargs)

        return await asyncio.to_thread(run)

    @contextmanager
    def _failures(self, operation: str, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise NotFound(self.name, operation, key, "no such object or part") from error
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise Unavailable(self.name, operation, key, error.strerror or "the disk failed") from error


def _sizes(staging: Path) -> dict[int, int]:
    """The parts that have arrived whole, by number, with their sizes in bytes."""
    if not staging.is_dir():
        return {}
    with os.scandir(staging) as entries:
        return {int(entry.name): entry.stat().st_size for entry in entries if entry.name.isdecimal()}


def _stat(stat: os.stat_result) -> Stat:
    return Stat(size=stat.st_size, etag=f"{stat.st_mtime_ns:x}-{stat.st_size:x}-{stat.st_ino:x}")


def _concatenate(parts: list[Path], whole: Path) -> tuple[int, Digests]:
    size = 0
    with Hasher() as hasher, whole.open("xb") as output:
        for part in parts:
            with part.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    size += len(chunk)
                    hasher.update(chunk)
                    output.write(chunk)
        return size, hasher.digests()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
