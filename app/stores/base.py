"""What every store can do, and how it fails. Vendor errors become these inside the vendor's file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from typing import Protocol

from app.transfer.hashing import Digests


class StoreError(Exception):
    """A store refused or failed; names the store, the operation, the key and the cause, never a secret."""

    def __init__(self, store: str, operation: str, key: str, cause: str) -> None:
        super().__init__(f"store {store}, {operation} {key}: {cause}")
        self.store = store
        self.cause = cause


class NotFound(StoreError):
    """The store has no such object, or no such part."""


class BucketMissing(StoreError):
    """The bucket or container does not exist."""


class AlreadyExists(StoreError):
    """There is an object at that key; nothing was written."""


class PreconditionFailed(StoreError):
    """The object is another one than was asked for."""


class BadCredentials(StoreError):
    """The store does not know these credentials, or they have expired."""


class Forbidden(StoreError):
    """The credentials are known, and may not do this."""


class SizeMismatch(StoreError):
    """Other bytes arrived than were announced."""


class ChecksumMismatch(StoreError):
    """The bytes have other hashes than were announced."""


class Unsupported(StoreError):
    """The store cannot do what Waymark needs."""


class Unavailable(StoreError):
    """The store cannot be reached, does not answer in time, or is full."""


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """How a file is cut: `part_count` parts of `part_size` bytes, the last one smaller."""

    size: int
    part_size: int
    part_count: int

    @classmethod
    def cut(cls, size: int, *, smallest: int, whole_up_to: int, most_parts: int) -> UploadPlan:
        """One part up to a size; beyond it parts as small as their greatest number allows, in whole MiB."""
        if size <= whole_up_to:
            return cls(size, max(1, size), 1)
        mebibyte = 1024 * 1024
        part_size = max(smallest, -(-size // most_parts // mebibyte) * mebibyte + mebibyte)
        return cls(size, part_size, -(-size // part_size))

    def part_sizes(self) -> list[int]:
        return [self.size_of(number) for number in range(1, self.part_count + 1)]

    def offset_of(self, number: int) -> int:
        return (number - 1) * self.part_size

    def size_of(self, number: int) -> int:
        return max(0, min(self.part_size, self.size - self.offset_of(number)))


@dataclass(frozen=True, slots=True)
class Expected:
    """Hashes, in lower-case hexadecimal, that are known; None where one is not."""

    md5: str | None = None
    sha1: str | None = None
    sha256: str | None = None

    def differences(self, found: Digests | Expected) -> list[str]:
        """A phrase for each hash that is known on both sides and differs."""
        pairs = (("md5", self.md5, found.md5), ("sha1", self.sha1, found.sha1), ("sha256", self.sha256, found.sha256))
        return [
            f"{name} announced {want}, found {have}" for name, want, have in pairs if want and have and want != have
        ]


@dataclass(frozen=True, slots=True)
class Stat:
    """An object as its store describes it."""

    size: int
    #: Changes when the object does; nothing can be concluded of what it looks like.
    etag: str | None = None
    #: The store's own version of the object, where it keeps versions.
    version: str | None = None
    #: The hashes that the store vouches for.
    attested: Expected = field(default_factory=Expected)
    #: The hashes as computed from the bytes, where this has read them.
    verified: Digests | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An object in a listing."""

    key: str
    size: int
    etag: str | None


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a client has to send to have done what only we may: short-lived, and good for nothing else."""

    method: str
    url: str
    headers: Mapping[str, str]


class Store(Protocol):
    """A place for bytes. Keys are whole keys in the bucket; those that Waymark chooses are never written twice."""

    name: str

    async def stat(self, key: str) -> Stat:
        """Describes an object; one that is not there is NotFound."""

    def open(self, key: str, *, if_match: str | None = None) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes of an object; PreconditionFailed if its etag is another one than `if_match`."""

    async def create(self, key: str, content: bytes) -> Stat:
        """Writes a small object; AlreadyExists if there is one, whose bytes stay."""

    def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Entry]:
        """The objects whose keys begin with `prefix` and come after `after`, by key."""

    async def sign_get(self, key: str, *, seconds: int, filename: str, media_type: str | None) -> str | None:
        """A link to download an object; None where Waymark serves the bytes itself."""

    def plan_upload(self, size: int) -> UploadPlan:
        """How a file of `size` bytes is to be cut, within the vendor's limits."""

    async def begin_upload(self, key: str, plan: UploadPlan) -> str:
        """Prepares for parts; returns the upload's name at the store, empty where it needs none."""

    async def sign_part(
        self, key: str, session: str, plan: UploadPlan, number: int, *, expected: Expected, seconds: int
    ) -> SignedRequest | None:
        """What to send one part with; None where Waymark takes the bytes itself."""

    async def received_parts(self, key: str, session: str, plan: UploadPlan) -> Mapping[int, int]:
        """The parts that have arrived, by number, with their sizes in bytes."""

    async def complete_upload(self, key: str, session: str, plan: UploadPlan, expected: Expected) -> Stat:
        """Makes an object of the parts unless there is one already; the size is that of the plan.

        A hash that the store vouches for, or that was computed on the way, is one of `expected` or ChecksumMismatch.
        """

    async def abort_upload(self, key: str, session: str) -> None:
        """Forgets the parts; those that are not there are no error."""

    async def delete(self, key: str) -> None:
        """Deletes the object; one that is not there is no error."""

    async def aclose(self) -> None:
        """Ends the store's connections."""


def require_parts(store: str, key: str, plan: UploadPlan, received: Mapping[int, int]) -> None:
    """Refuses to complete an upload whose parts (by number, with their sizes) are not those of the plan."""
    if missing := [number for number in range(1, plan.part_count + 1) if number not in received]:
        some = ", ".join(map(str, missing[:10])) + (" …" if len(missing) > 10 else "")
        cause = f"{len(missing)} of {plan.part_count} parts have not arrived: {some}"
        raise NotFound(store, "complete", key, cause)
    if wrong := [number for number, size in sorted(received.items()) if size != plan.size_of(number)]:
        cause = f"part {wrong[0]} has {received[wrong[0]]} bytes; expected {plan.size_of(wrong[0])}"
        raise SizeMismatch(store, "complete", key, cause)


async def require_arrival(store: Store, key: str, plan: UploadPlan, expected: Expected) -> Stat:
    """The object that an upload became; one that is not as announced, as far as its store tells, is deleted."""
    try:
        stat = await store.stat(key)
    except NotFound as error:
        raise NotFound(store.name, "complete", key, "part 1 of 1 has not arrived") from error
    if stat.size != plan.size:
        await store.delete(key)
        raise SizeMismatch(store.name, "complete", key, f"{stat.size} bytes arrived; {plan.size} were announced")
    if differences := expected.differences(stat.attested):
        await store.delete(key)
        raise ChecksumMismatch(store.name, "complete", key, "; ".join(differences))
    return stat


def plain_name(filename: str) -> str:
    """A file's name as every store can put it into a header."""
    return "".join(char if char.isalnum() or char in "._- " else "_" for char in filename)


def attachment(filename: str) -> str:
    """The Content-Disposition of a download."""
    return f'attachment; filename="{plain_name(filename)}"'


async def assemble_once(store: Store, key: str, assemble: Callable[[], Awaitable[None]]) -> None:
    """Makes an object of its parts unless there is one, which a twin of the call may also have made meanwhile."""
    if await _exists(store, key):
        return
    try:
        await assemble()
    except StoreError:
        if not await _exists(store, key):
            raise


async def _exists(store: Store, key: str) -> bool:
    try:
        await store.stat(key)
    except NotFound:
        return False
    return True


async def probe(store: Store, key: str) -> None:
    """Writes, reads and deletes a small object, and makes sure that nothing overwrites it."""
    await store.create(key, b"first")
    try:
        try:
            await store.create(key, b"second")
        except AlreadyExists:
            pass
        else:
            cause = "it overwrites objects although told not to, so files would not be safe in it"
            raise Unsupported(store.name, "probe", key, cause)
        async with store.open(key) as chunks:
            content = b"".join([chunk async for chunk in chunks])
        if content != b"first":
            raise Unsupported(store.name, "probe", key, "it gives other bytes back than were written")
        # a store that cannot sign links can still be read
        with suppress(Unsupported):
            await store.sign_get(key, seconds=60, filename="probe", media_type=None)
    finally:
        await store.delete(key)
