"""md5, sha1 and sha256 in one pass over the bytes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

CHUNK_BYTES = 1024 * 1024
# below this, handing a chunk to the other thread costs more than hashing it
_WORTH_A_THREAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Digests:
    """Lower-case hexadecimal."""

    md5: str
    sha1: str
    sha256: str


class Hasher:
    """Takes bytes and gives their three digests. Blocking: call it in a thread. md5 runs beside the other two."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._thread = ThreadPoolExecutor(1, "md5")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=False)

    def update(self, chunk: bytes) -> None:
        if len(chunk) < _WORTH_A_THREAD:
            self._md5.update(chunk)
            self._sha1.update(chunk)
            self._sha256.update(chunk)
            return
        beside = self._thread.submit(self._md5.update, chunk)
        self._sha1.update(chunk)
        self._sha256.update(chunk)
        beside.result()

    def digests(self) -> Digests:
        return Digests(self._md5.hexdigest(), self._sha1.hexdigest(), self._sha256.hexdigest())


async def hash_chunks(chunks: AsyncIterator[bytes]) -> tuple[int, Digests]:
    """The size in bytes and the digests of what arrives, hashed in threads."""
    size = 0
    buffer = bytearray()
    with Hasher() as hasher:
        async for chunk in chunks:
            size += len(chunk)
            buffer += chunk
            if len(buffer) >= CHUNK_BYTES:
                await asyncio.to_thread(hasher.update, bytes(buffer))
                buffer.clear()
        await asyncio.to_thread(hasher.update, bytes(buffer))
        return size, hasher.digests()


def hash_file(path: Path) -> tuple[int, Digests]:
    """The size in bytes and the digests of a file. Blocking."""
    with path.open("rb") as file:
        return hash_open(file)


def hash_open(file: BinaryIO, copy: BinaryIO | None = None) -> tuple[int, Digests]:
    """The same of an open file, from where it is; what is read is written to `copy` too. Blocking."""
    size = 0
    with Hasher() as hasher:
        while chunk := file.read(CHUNK_BYTES):
            size += len(chunk)
            hasher.update(chunk)
            if copy is not None:
                copy.write(chunk)
        return size, hasher.digests()
