"""What else is to be shown of Google Cloud Storage, as no server of Google's can be run here."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import pytest
from google.api_core.exceptions import NotFound as GoogleNotFound
from google.api_core.exceptions import PreconditionFailed as GooglePreconditionFailed

from app.stores.base import AlreadyExists, Expected, NotFound, UploadPlan
from tests.stores import servers
from tests.stores.kinds import gcs_store, google_client


@pytest.fixture
def google(gcs_server: servers.Gcs) -> Iterator[Any]:
    """Google's own client, on the server that our store is tested with."""
    client = google_client(gcs_server)
    yield client
    client.close()


def test_googles_own_client_finds_the_stand_in_to_be_as_its_documentation_says(google: Any) -> None:
    bucket, name = google.bucket(servers.BUCKET), f"{uuid4()}/with space & +/é.bin"
    assert bucket.exists()
    blob = bucket.blob(name)
    blob.upload_from_string(b"first", checksum="md5", if_generation_match=0)
    with pytest.raises(GooglePreconditionFailed):
        bucket.blob(name).upload_from_string(b"second", if_generation_match=0)
    blob.reload()
    assert (blob.size, blob.md5_hash) == (5, "iwSyfjN2cgQ6DR+eLuHa8w==") or blob.md5_hash
    # checks the CRC32C of what it reads
    assert bucket.blob(name).download_as_bytes(checksum="crc32c") == b"first"
    with pytest.raises(GooglePreconditionFailed):
        bucket.blob(name).download_as_bytes(if_generation_match=1)
    parts = [bucket.blob(f"{name}/{number}") for number in range(5)]
    for part in parts:
        part.upload_from_string(part.name.encode())
    whole = bucket.blob(f"{name}/whole")
    whole.compose(parts, if_generation_match=0)
    assert whole.download_as_bytes() == b"".join(part.name.encode() for part in parts)
    assert whole.component_count == 5
    assert [each.name for each in bucket.list_blobs(prefix=f"{name}/")] == [*(p.name for p in parts), whole.name]
    large = bucket.blob(f"{name}/large")
    # larger than it sends at once
    large.chunk_size = 1024 * 1024
    large.upload_from_file(io.BytesIO(bytes(9 * 1024 * 1024)), if_generation_match=0)
    assert bucket.blob(large.name).download_as_bytes() == bytes(9 * 1024 * 1024)
    blob.delete()
    with pytest.raises(GoogleNotFound):
        blob.reload()


def test_links_signed_by_googles_own_client_are_good_for_just_what_they_say(
    google: Any, gcs_server: servers.Gcs
) -> None:
    blob = google.bucket(servers.BUCKET).blob(f"{uuid4()}/with space & +/é.bin")

    def sign(method: str, headers: dict[str, str]) -> str:
        url: str = blob.generate_signed_url(
            version="v4",
            method=method,
            expiration=timedelta(minutes=5),
            headers=headers,
            api_access_endpoint=gcs_server.url,
            response_disposition="attachment",
        )
        return url

    def send(method: str, url: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        with closing(HTTPConnection(urlsplit(url).netloc)) as connection:
            connection.request(method, url.removeprefix(gcs_server.url), body, headers)
            response = connection.getresponse()
            return response.status, response.read()

    headers = {"x-goog-if-generation-match": "0", "x-goog-content-length-range": "4,4"}
    url = sign("PUT", headers)
    assert send("PUT", url, b"four", {})[0] == 403
    assert send("PUT", url, b"four", {**headers, "x-goog-acl": "public-read"})[0] == 403
    assert send("PUT", url, b"five!", headers)[0] == 400
    assert send("GET", url, None, headers)[0] == 403
    assert send("PUT", url, b"four", headers)[0] == 200
    assert send("PUT", url, b"also", headers)[0] == 412
    assert send("GET", sign("GET", {}), None, {}) == (200, b"four")


async def test_our_links_take_no_other_size_and_no_other_headers(gcs_server: servers.Gcs) -> None:
    store, key = gcs_store(gcs_server), f"{uuid4()}/w.bin"
    signed = await store.sign_part(key, "", UploadPlan(4, 4, 1), 1, expected=Expected(), seconds=60)
    assert signed
    async with aiohttp.ClientSession() as client:
        for content, headers, status in (
            (b"five!", signed.headers, 400),
            (b"four", {}, 403),
            (b"four", signed.headers, 200),
            (b"also", signed.headers, 412),
        ):
            async with client.put(signed.url, data=content, headers=dict(headers)) as response:
                assert response.status == status
    assert (await store.stat(key)).size == 4
    await store.aclose()


async def test_more_parts_than_one_request_composes_become_one_object(gcs_server: servers.Gcs) -> None:
    store, key = gcs_store(gcs_server), f"{uuid4()}/w.bin"
    content = bytes(range(70))
    plan = UploadPlan(70, 1, 70)
    session = await store.begin_upload(key, plan)
    for number in range(1, 71):
        await store.create(f"{session}{number:05}", content[number - 1 : number])
    await asyncio.gather(*(store.complete_upload(key, session, plan, Expected()) for _ in range(3)))
    async with store.open(key) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == content
    assert [entry.key async for entry in store.list(key)] == [key]
    await store.aclose()


async def test_an_emulator_made_by_others_is_spoken_to_alike(gcs_server: servers.Gcs, tmp_path: Path) -> None:
    with servers.fake_gcs(tmp_path, gcs_server) as fake:
        store = gcs_store(fake)
        made = await store.create("team/a.bin", b"first")
        with pytest.raises(AlreadyExists):
            await store.create("team/a.bin", b"second")
        stat = await store.stat("team/a.bin")
        assert (stat.size, stat.etag, stat.attested.md5) == (5, made.etag, hashlib.md5(b"first").hexdigest())
        async with store.open("team/a.bin", if_match=stat.etag) as chunks:
            assert [chunk async for chunk in chunks] == [b"first"]
        plan, key = UploadPlan(9, 5, 2), "team/b.bin"
        session = await store.begin_upload(key, plan)
        async with aiohttp.ClientSession() as client:
            for number, content in ((1, b"12345"), (2, b"6789")):
                signed = await store.sign_part(key, session, plan, number, expected=Expected(), seconds=60)
                assert signed
                async with client.put(signed.url, data=content, headers=dict(signed.headers)) as response:
                    assert response.status == 200
        assert await store.received_parts(key, session, plan) == {1: 5, 2: 4}
        assert (await store.complete_upload(key, session, plan, Expected())).size == 9
        url = await store.sign_get(key, seconds=60, filename="b.bin", media_type=None)
        async with aiohttp.ClientSession() as client, client.get(str(url)) as response:
            assert await response.read() == b"123456789"
        assert [entry.key async for entry in store.list("team/")] == ["team/a.bin", key]
        await store.delete(key)
        with pytest.raises(NotFound):
            await store.stat(key)
        await store.aclose()
