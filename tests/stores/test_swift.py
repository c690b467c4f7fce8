"""What is Swift's own: its tokens, the keys of its links, its segments."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http.client import HTTPConnection
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import pytest

from app.stores.base import Expected, UploadPlan
from app.stores.swift import SwiftStore
from tests.stores import servers
from tests.stores.kinds import swift_store


@pytest.fixture
async def store(swift_server: str) -> AsyncIterator[SwiftStore]:
    made = swift_store(swift_server)
    yield made
    await made.aclose()


def _ask(url: str, method: str, path: str, **headers: str) -> dict[str, str]:
    connection = HTTPConnection(urlsplit(url).netloc)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    response.read()
    assert response.status < 300
    connection.close()
    return dict(response.headers)


async def test_a_token_that_was_revoked_is_replaced(store: SwiftStore, swift_server: str) -> None:
    key = f"{uuid4()}"
    for _ in range(2):
        await store.delete(key)
        await store.create(key, b"content")
        async with store.open(key) as chunks:
            assert b"".join([chunk async for chunk in chunks]) == b"content"
        user = {"X_Auth_User": servers.SWIFT_USER, "X_Auth_Key": servers.SWIFT_PASSWORD}
        _ask(swift_server, "GET", "/auth/v1.0", X_Auth_New_Token="true", **user)


async def test_links_are_signed_with_the_key_given_if_the_account_has_it(swift_server: str) -> None:
    user = {"X_Auth_User": servers.SWIFT_USER, "X_Auth_Key": servers.SWIFT_PASSWORD}
    found = _ask(swift_server, "GET", "/auth/v1.0", **user)
    account = urlsplit(found["X-Storage-Url"]).path
    _ask(
        swift_server, "POST", account, X_Auth_Token=found["X-Auth-Token"], X_Account_Meta_Temp_URL_Key="of the account"
    )
    store, key = swift_store(swift_server, temp_url_key="of the account"), f"{uuid4()}"
    await store.create(key, b"content")
    url = await store.sign_get(key, seconds=60, filename="a.bin", media_type=None)
    async with aiohttp.ClientSession() as client, client.get(str(url)) as response:
        assert await response.read() == b"content"
    await store.aclose()


async def test_a_file_in_segments_goes_with_them(store: SwiftStore) -> None:
    key, plan = f"{uuid4()}/w.bin", UploadPlan(9, 5, 2)
    session = await store.begin_upload(key, plan)
    async with aiohttp.ClientSession() as client:
        for number, content in ((1, b"12345"), (2, b"6789")):
            signed = await store.sign_part(key, session, plan, number, expected=Expected(), seconds=60)
            assert signed
            async with client.put(signed.url, data=content, headers=dict(signed.headers)) as response:
                assert response.status == 201
    made = await store.complete_upload(key, session, plan, Expected())
    # one etag, whoever is asked, or the same object would be adopted twice
    (entry, *segments) = [entry async for entry in store.list(key)]
    assert (entry.etag, entry.size, len(segments)) == (made.etag, 9, 2)
    async with store.open(key, if_match=made.etag) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == b"123456789"
    await store.delete(key)
    assert [entry async for entry in store.list(key)] == []
