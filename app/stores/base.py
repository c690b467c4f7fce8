"""What every store can do, and how it fails. Vendor errors become these inside the vendor's file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from app.transfer.hashing import Digests


class StoreError(Exception):
    """A store refused or failed; names the store, the key and the cause, never a secret."""

    def __init__(self, store: str, key: str, cause: str) -> None:
        super().__init__(f"store {store}, {key}: {cause}")
        self.store = store
        self.cause = cause


class NotFound(StoreError):
    """The store has no such object, or no such part."""


class SizeMismatch(StoreError):
    """Other bytes arrived than were announced."""


class ChecksumMismatch(StoreError):
    """The bytes have other hashes than were announced."""


class Unavailable(StoreError):
    """The store cannot be reached, or is full."""


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """How a file is cut: `part_count` parts of `part_size` bytes, the last one smaller."""

    size: int
    part_size: int
    part_count: int

    def part_sizes(self) -> list[int]:
        return [self.size_of(number) for number in range(1, self.part_count + 1)]

    def offset_of(self, number: int) -> int:
        return (number - 1) * self.part_size

    def size_of(self, number: int) -> int:
        return max(0, min(self.part_size, self.size - self.offset_of(number)))


@dataclass(frozen=True, slots=True)
class Expected:
    """Hashes that the client announced; None where it did not."""

    md5: str | None = None
    sha1: str | None = None
    sha256: str | None = None

    def differences(self, found: Digests) -> list[str]:
        """A phrase for each hash that differs."""
        pairs = (("md5", self.md5, found.md5), ("sha1", self.sha1, found.sha1), ("sha256", self.sha256, found.sha256))
        return [f"{name} announced {want}, found {have}" for name, want, have in pairs if want not in (None, have)]


class Store(Protocol):
    """A place for bytes. Keys are chosen by Waymark and never written twice."""

    name: str

    def plan_upload(self, size: int) -> UploadPlan:
        """How a file of `size` bytes is to be cut."""

    async def received_parts(self, key: str) -> Mapping[int, int]:
        """The parts that have arrived, by number, with their sizes in bytes."""

    async def complete_upload(self, key: str, plan: UploadPlan, expected: Expected) -> Digests:
        """Makes an object of the parts unless there is one; verifies size and hashes before it can be seen."""

    async def delete(self, key: str) -> None:
        """Deletes the object and the parts of its upload; those that are not there are no error."""
