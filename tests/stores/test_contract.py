"""One contract, every store, each against a real server."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest

from app.stores.azure import AzureStore
from app.stores.base import (
    AlreadyExists,
    BadCredentials,
    BucketMissing,
    Expected,
    Forbidden,
    NotFound,
    PreconditionFailed,
    Stat,
    Store,
    StoreError,
    Unavailable,
    Unsupported,
    UploadPlan,
    probe,
)
from app.stores.local import LocalStore
from app.stores.s3 import S3Store
from app.stores.swift import SwiftStore
from app.transfer.guard import GuardedResolver, NetworkGuard
from tests.stores import servers
from tests.stores.gcs_server import make_key
from tests.stores.kinds import KINDS, azure_store, gcs_store, kind_of, s3_store, swift_store

_MOST_PARTS: dict[type, int] = {AzureStore: 50_000, SwiftStore: 1000}


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made = kind_of(request.param, request, tmp_path).open()
    yield made
    await made.aclose()


@pytest.fixture
def key() -> str:
    return f"team/{uuid4()}/weights v1.bin"


async def _read(store: Store, key: str, *, if_match: str | None = None) -> bytes:
    async with store.open(key, if_match=if_match) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def _send(store: Store, key: str, session: str, plan: UploadPlan, number: int, content: bytes) -> int:
    """Sends one part as a client does; returns the status."""
    expected = Expected()
    if plan.part_count == 1:
        expected = Expected(md5=hashlib.md5(content).hexdigest(), sha256=hashlib.sha256(content).hexdigest())
    signed = await store.sign_part(key, session, plan, number, expected=expected, seconds=60)
    if signed is None:
        assert isinstance(store, LocalStore)

        async def chunks() -> AsyncIterator[bytes]:
            yield content

        await store.write_part(key, number, len(content), chunks())
        return 204
    async with (
        aiohttp.ClientSession() as client,
        client.request(signed.method, signed.url, data=io.BytesIO(content), headers=dict(signed.headers)) as response,
    ):
        await response.read()
        return response.status


async def test_what_is_created_is_read_back_and_described(store: Store, key: str) -> None:
    made = await store.create(key, b"content")
    stat = await store.stat(key)
    assert (stat.size, stat.etag) == (7, made.etag)
    assert await _read(store, key) == b"content"
    assert await _read(store, key, if_match=stat.etag) == b"content"
    with pytest.raises(PreconditionFailed):
        await _read(store, key, if_match='"another"')


async def test_nothing_is_overwritten_however_many_try(store: Store, key: str) -> None:
    async def attempt(number: int) -> int | None:
        try:
            await store.create(key, b"%d" % number)
        except AlreadyExists:
            return None
        return number

    if isinstance(store, SwiftStore):
        # which takes all of several that race; the keys that Waymark chooses have one writer each
        found = [await attempt(number) for number in range(5)]
    else:
        found = await asyncio.gather(*(attempt(number) for number in range(20)))
    winners = [each for each in found if each is not None]
    assert len(winners) == 1
    assert await _read(store, key) == b"%d" % winners[0]
    with pytest.raises(AlreadyExists):
        await store.create(key, b"later")
    assert await _read(store, key) == b"%d" % winners[0]


async def test_a_listing_is_ordered_begins_with_the_prefix_and_goes_on_after_a_key(store: Store, key: str) -> None:
    folder = key.rpartition("/")[0]
    names = ["a.csv", "b/1.csv", "b/2.csv", "c d.csv", "é.csv"]
    for name in reversed(names):
        await store.create(f"{folder}/{name}", b"12")
    found = [entry async for entry in store.list(f"{folder}/")]
    assert [entry.key.removeprefix(f"{folder}/") for entry in found] == names
    assert {entry.size for entry in found} == {2}
    assert [entry.key async for entry in store.list(f"{folder}/b/")] == [f"{folder}/b/1.csv", f"{folder}/b/2.csv"]
    rest = [entry.key async for entry in store.list(f"{folder}/", after=f"{folder}/b/2.csv")]
    assert rest == [f"{folder}/c d.csv", f"{folder}/é.csv"]


async def test_a_small_file_is_sent_in_one_request_that_cannot_overwrite(store: Store, key: str) -> None:
    content = os.urandom(1000)
    plan = store.plan_upload(len(content))
    assert plan.part_count == 1
    session = await store.begin_upload(key, plan)
    with pytest.raises(NotFound):
        await store.complete_upload(key, session, plan, Expected())
    assert await store.received_parts(key, session, plan) == {}
    assert await _send(store, key, session, plan, 1, content) < 300
    assert await store.received_parts(key, session, plan) == {1: 1000}
    sha256 = hashlib.sha256(content).hexdigest()
    stat = await store.complete_upload(key, session, plan, Expected(sha256=sha256))
    assert stat.size == 1000
    known = stat.verified or stat.attested
    assert known.sha256 in (None, sha256)
    assert await _read(store, key) == content
    if not isinstance(store, LocalStore):
        assert await _send(store, key, session, plan, 1, bytes(1000)) >= 400
    assert await _read(store, key) == content
    # again, by a client that lost the answer
    assert (await store.complete_upload(key, session, plan, Expected())).size == 1000


async def test_a_signed_request_takes_no_other_bytes(store: Store, key: str) -> None:
    plan = store.plan_upload(5)
    session = await store.begin_upload(key, plan)
    right = Expected(md5=hashlib.md5(b"right").hexdigest(), sha256=hashlib.sha256(b"right").hexdigest())
    signed = await store.sign_part(key, session, plan, 1, expected=right, seconds=60)
    if signed is None:
        # Waymark itself takes the bytes of this store, and checks them when the upload is completed
        assert isinstance(store, LocalStore)
        return
    async with aiohttp.ClientSession() as client:
        async with client.put(signed.url, data=b"wrong", headers=dict(signed.headers)) as response:
            assert response.status >= 400
        async with client.put(signed.url + "0", data=b"right", headers=dict(signed.headers)) as response:
            assert response.status >= 400
    assert await store.received_parts(key, session, plan) == {}


async def test_a_large_file_is_sent_in_parts_and_resumed(store: Store, key: str) -> None:
    size = store.plan_upload(10**12).part_size
    # parts as small as a store allows, so that the test is short
    plan = UploadPlan(11 * 1024 * 1024, 5 * 1024 * 1024, 3)
    assert size >= 5 * 1024 * 1024
    content = random.Random(1).randbytes(plan.size)
    parts = {n: content[plan.offset_of(n) : plan.offset_of(n) + plan.size_of(n)] for n in (1, 2, 3)}
    session = await store.begin_upload(key, plan)
    for number in (3, 1):
        assert await _send(store, key, session, plan, number, parts[number]) < 300
    assert await store.received_parts(key, session, plan) == {1: plan.size_of(1), 3: plan.size_of(3)}
    with pytest.raises(NotFound, match="1 of 3 parts have not arrived: 2"):
        await store.complete_upload(key, session, plan, Expected())
    assert await _send(store, key, session, plan, 2, parts[2]) < 300

    async def complete() -> Stat:
        # twins find the store in whatever state another one has brought it to
        await asyncio.sleep(random.random() * 0.05)
        return await store.complete_upload(key, session, plan, Expected())

    found = await asyncio.gather(*(complete() for _ in range(8)))
    assert {stat.size for stat in found} == {plan.size}
    assert hashlib.sha256(await _read(store, key)).digest() == hashlib.sha256(content).digest()


async def test_an_aborted_upload_leaves_nothing(store: Store, key: str) -> None:
    plan = UploadPlan(6 * 1024 * 1024, 5 * 1024 * 1024, 2)
    session = await store.begin_upload(key, plan)
    assert await _send(store, key, session, plan, 1, bytes(plan.size_of(1))) < 300
    await store.abort_upload(key, session)
    await store.abort_upload(key, session)
    assert await store.received_parts(key, session, plan) == {}
    with pytest.raises(NotFound):
        await store.complete_upload(key, session, plan, Expected())


async def test_a_download_link_gives_the_bytes_and_the_name_and_expires(store: Store, key: str) -> None:
    await store.create(key, b"content")
    passing, lasting = [
        await store.sign_get(key, seconds=seconds, filename="the model.bin", media_type="application/x-model")
        for seconds in (1, 60)
    ]
    if lasting is None or passing is None:
        # Waymark itself serves the bytes of this store
        assert isinstance(store, LocalStore)
        return
    async with aiohttp.ClientSession() as client:
        async with client.get(lasting) as response:
            assert await response.read() == b"content"
            assert "the model.bin" in response.headers["Content-Disposition"]
            # Swift says what was said when the object was made
            assert isinstance(store, SwiftStore) or response.headers["Content-Type"] == "application/x-model"
        await asyncio.sleep(2.1)
        async with client.get(passing) as response:
            assert response.status in (400, 401, 403)


async def test_what_is_deleted_is_gone_and_deleting_again_is_no_error(store: Store, key: str) -> None:
    await store.create(key, b"content")
    await store.delete(key)
    await store.delete(key)
    for work in (store.stat(key), _read(store, key)):
        with pytest.raises(NotFound):
            await work
    # the key is free again, as for an upload whose bytes were wrong
    await store.create(key, b"again")


async def test_a_probe_leaves_nothing(store: Store, key: str) -> None:
    await probe(store, key)
    with pytest.raises(NotFound):
        await store.stat(key)


@pytest.mark.parametrize("size", [0, 1, 64 * 1024**2, 64 * 1024**2 + 1, 5 * 1024**3, 5 * 1024**4])
async def test_every_size_is_cut_within_the_vendors_limits(store: Store, size: int) -> None:
    if isinstance(store, SwiftStore) and size > 1000 * 5 * 1024**3:
        with pytest.raises(Unsupported, match="5368709120000 bytes at most"):
            store.plan_upload(size)
        return
    plan = store.plan_upload(size)
    sizes = plan.part_sizes()
    assert sum(sizes) == size
    assert 1 <= len(sizes) == plan.part_count <= _MOST_PARTS.get(type(store), 10_000)
    assert all(part == plan.part_size for part in sizes[:-1])
    assert plan.part_size <= (5 * 1024 if isinstance(store, SwiftStore) else 4000) * 1024**2


async def test_wrong_credentials_and_missing_buckets_are_told_apart(
    seaweedfs: str, azurite: str, gcs_server: servers.Gcs, swift_server: str, tmp_path: Path
) -> None:
    wrong, nowhere = "d3Jvbmc=", f"http://127.0.0.1:{servers.free_port()}"
    stranger = make_key(tmp_path / "key.json", gcs_server.url)
    cases: list[tuple[Store, tuple[type[StoreError], ...]]] = [
        (s3_store(seaweedfs, secret=wrong), (BadCredentials, Forbidden)),
        (s3_store(seaweedfs, bucket="missing"), (BucketMissing, Forbidden)),
        (s3_store(nowhere), (Unavailable,)),
        (azure_store(azurite, key=wrong), (BadCredentials, Forbidden)),
        (azure_store(azurite, container="missing"), (BucketMissing,)),
        (azure_store(nowhere), (Unavailable,)),
        (gcs_store(gcs_server, key=stranger), (BadCredentials,)),
        (gcs_store(gcs_server, key={**gcs_server.key, "private_key": wrong}), (BadCredentials,)),
        (gcs_store(gcs_server, bucket="missing"), (BucketMissing,)),
        (gcs_store(replace(gcs_server, url=nowhere)), (Unavailable,)),
        (swift_store(swift_server, password=wrong), (BadCredentials,)),
        (swift_store(swift_server, temp_url_key=wrong), (BadCredentials,)),
        (swift_store(swift_server, container="missing"), (BucketMissing,)),
        (swift_store(nowhere), (Unavailable,)),
    ]
    for made, kinds in cases:
        with pytest.raises(kinds) as caught:
            await probe(made, "key")
        assert wrong not in str(caught.value)
        assert f"store {made.name}" in str(caught.value)
        await made.aclose()


async def test_a_store_that_overwrites_is_refused(tmp_path: Path) -> None:
    with servers.rclone(tmp_path) as url:
        store = s3_store(url)
        with pytest.raises(Unsupported, match="overwrites"):
            await probe(store, "probe")
        await store.aclose()


async def test_no_name_leads_into_the_servers_own_network(seaweedfs: str) -> None:
    guarded = S3Store(
        "s3",
        bucket=servers.BUCKET,
        region=None,
        endpoint_url=seaweedfs.replace("127.0.0.1", "localhost"),
        access_key_id=servers.ACCESS_KEY,
        secret_access_key=servers.SECRET_KEY,
        resolver=GuardedResolver(NetworkGuard()),
    )
    with pytest.raises(StoreError, match="may not reach"):
        await guarded.stat("key")
    await guarded.aclose()


async def test_a_store_that_went_away_comes_back(tmp_path: Path) -> None:
    port = servers.free_port()
    store = s3_store(f"http://127.0.0.1:{port}")
    plan = UploadPlan(6 * 1024 * 1024, 5 * 1024 * 1024, 2)
    with servers.seaweedfs(tmp_path, port):
        session = await store.begin_upload("key", plan)
        assert await _send(store, "key", session, plan, 1, bytes(plan.size_of(1))) < 300
    with pytest.raises(Unavailable):
        await store.stat("key")
    with servers.seaweedfs(tmp_path, port):
        assert await store.received_parts("key", session, plan) == {1: plan.size_of(1)}
        assert await _send(store, "key", session, plan, 2, bytes(plan.size_of(2))) < 300
        assert (await store.complete_upload("key", session, plan, Expected())).size == plan.size
    await store.aclose()


def test_hashes_that_differ_are_named() -> None:
    announced = Expected(md5="a" * 32, sha256="b" * 64)
    assert announced.differences(Expected(md5="c" * 32)) == [f"md5 announced {'a' * 32}, found {'c' * 32}"]
    assert announced.differences(Expected()) == []
