"""The local store: parts whole or not at all, objects never overwritten."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.stores.base import ChecksumMismatch, Expected, NotFound, SizeMismatch, UploadPlan
from app.stores.local import LocalStore


async def _chunks(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore("local", tmp_path)


async def test_parts_become_one_object_with_verified_hashes(store: LocalStore) -> None:
    plan = UploadPlan(size=10, part_size=4, part_count=3)
    for number, chunk in ((3, b"89"), (1, b"0123"), (2, b"4567")):
        await store.write_part("p/k", number, len(chunk), _chunks(chunk))
    assert await store.received_parts("p/k", "", plan) == {1: 4, 2: 4, 3: 2}
    stat = await store.complete_upload("p/k", "", plan, Expected())
    assert stat.verified
    assert stat.verified.sha256 == hashlib.sha256(b"0123456789").hexdigest()
    assert store.path("p/k").read_bytes() == b"0123456789"
    assert await store.received_parts("p/k", "", plan) == {}


async def test_racing_completions_publish_the_first_bytes_and_keep_them(store: LocalStore) -> None:
    plan = UploadPlan(size=5, part_size=64, part_count=1)
    await store.write_part("p/k", 1, 5, _chunks(b"first"))
    await asyncio.gather(*(store.complete_upload("p/k", "", plan, Expected()) for _ in range(20)))
    await store.write_part("p/k", 1, 5, _chunks(b"other"))
    stat = await store.complete_upload("p/k", "", plan, Expected())
    assert stat.verified
    assert stat.verified.md5 == hashlib.md5(b"first").hexdigest()
    assert store.path("p/k").read_bytes() == b"first"
    assert store.path("p/k").stat().st_mode & 0o222 == 0


async def test_bytes_other_than_expected_are_never_published(store: LocalStore) -> None:
    await store.write_part("p/k", 1, 4, _chunks(b"evil"))
    plan = UploadPlan(size=4, part_size=64, part_count=1)
    with pytest.raises(ChecksumMismatch, match="sha1 announced"):
        await store.complete_upload("p/k", "", plan, Expected(sha1="0" * 40))
    assert not store.path("p/k").exists()


async def test_a_missing_part_is_named(store: LocalStore) -> None:
    await store.write_part("p/k", 1, 1, _chunks(b"x"))
    with pytest.raises(NotFound, match="1 of 2 parts have not arrived: 2"):
        await store.complete_upload("p/k", "", UploadPlan(2, 1, 2), Expected())


async def test_a_part_that_breaks_off_leaves_nothing(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(SizeMismatch):
        await store.write_part("p/k", 1, 10, _chunks(b"short"))
    with pytest.raises(SizeMismatch):
        await store.write_part("p/k", 1, 2, _chunks(b"long"))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_deleting_what_is_not_there_is_no_error(store: LocalStore) -> None:
    await store.delete("p/nothing")


@pytest.mark.parametrize("size", [0, 1, 64 << 20, (64 << 20) + 1, 5 * 1024**4])
def test_a_plan_covers_the_file_exactly(store: LocalStore, size: int) -> None:
    plan = store.plan_upload(size)
    assert sum(plan.part_sizes()) == size
    assert 1 <= plan.part_count <= 10_000
