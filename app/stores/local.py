"""A store in a local folder, whose links Waymark serves itself.

Parts arrive under `.uploads/`, each whole or not at all; completing an upload verifies the bytes under a private name
and then links them to their final one. A link fails where the name exists, so nothing is ever overwritten.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from app.stores.base import ChecksumMismatch, Expected, NotFound, SizeMismatch, Unavailable, UploadPlan
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

    def plan_upload(self, size: int) -> UploadPlan:
        part_size = max(_PART_BYTES, -(-size // _MOST_PARTS))
        return UploadPlan(size, part_size, max(1, -(-size // part_size)))

    async def write_part(self, key: str, number: int, size: int, chunks: AsyncIterator[bytes]) -> None:
        """Keeps one part of exactly `size` bytes; replaces an earlier attempt at the same part."""
        staging = self._staging(key)
        arriving = staging / f"{number}.{secrets.token_hex(8)}"
        await self._in_thread(key, staging.mkdir, parents=True, exist_ok=True)
        try:
            received = await self._receive(key, arriving, size, chunks)
            if received != size:
                raise SizeMismatch(self.name, key, f"part {number} has {received} bytes; expected {size}")
            await self._in_thread(key, os.replace, arriving, staging / str(number))
        finally:
            await asyncio.shield(self._in_thread(key, arriving.unlink, missing_ok=True))

    async def _receive(self, key: str, path: Path, size: int, chunks: AsyncIterator[bytes]) -> int:
        received = 0
        buffer = bytearray()
        with await self._in_thread(key, path.open, "wb") as file:
            async for chunk in chunks:
                received += len(chunk)
                if received > size:
                    break
                buffer += chunk
                if len(buffer) >= CHUNK_BYTES:
                    await self._in_thread(key, file.write, bytes(buffer))
                    buffer.clear()
            await self._in_thread(key, file.write, bytes(buffer))
        return received

    async def received_parts(self, key: str) -> Mapping[int, int]:
        def scan() -> dict[int, int]:
            staging = self._staging(key)
            if not staging.is_dir():
                return {}
            with os.scandir(staging) as entries:
                return {int(entry.name): entry.stat().st_size for entry in entries if entry.name.isdecimal()}

        return await self._in_thread(key, scan)

    async def complete_upload(self, key: str, plan: UploadPlan, expected: Expected) -> Digests:
        return await self._in_thread(key, self._complete, key, plan, expected)

    async def delete(self, key: str) -> None:
        def remove() -> None:
            shutil.rmtree(self._staging(key), ignore_errors=True)
            self.path(key).unlink(missing_ok=True)

        await self._in_thread(key, remove)

    def path(self, key: str) -> Path:
        """Where an object is, for serving it."""
        return self._root / key

    def _staging(self, key: str) -> Path:
        return self._root / ".uploads" / key.replace("/", "-")

    def _complete(self, key: str, plan: UploadPlan, expected: Expected) -> Digests:
        final = self.path(key)
        if not final.exists():
            try:
                return self._publish(key, final, plan, expected)
            except FileNotFoundError:
                # a twin of this call has published the object and removed the parts under our hands
                if not final.exists():
                    raise
        size, digests = hash_file(final)
        self._verify(key, plan, expected, size, digests)
        return digests

    def _publish(self, key: str, final: Path, plan: UploadPlan, expected: Expected) -> Digests:
        staging = self._staging(key)
        parts = [staging / str(number) for number in range(1, plan.part_count + 1)]
        if missing := [part.name for part in parts if not part.exists()]:
            some = ", ".join(missing[:10]) + (" …" if len(missing) > 10 else "")
            raise NotFound(self.name, key, f"{len(missing)} of {plan.part_count} parts have not arrived: {some}")
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
            raise SizeMismatch(self.name, key, f"{size} bytes arrived; {plan.size} were announced")
        if differences := expected.differences(digests):
            raise ChecksumMismatch(self.name, key, "; ".join(differences))

    async def _in_thread(self, key: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        def run() -> T:
            with self._failures(key):
                return function(*args, **kwargs)

        return await asyncio.to_thread(run)

    @contextmanager
    def _failures(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise NotFound(self.name, key, "no such object or part") from error
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise Unavailable(self.name, key, error.strerror or "the disk failed") from error


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
