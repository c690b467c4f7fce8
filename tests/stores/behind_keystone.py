"""Swift behind a real Keystone; `make test-keystone` installs both and runs this, which the suite does not."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import pytest

from app.stores.base import BadCredentials, BucketMissing, Expected, Unsupported, probe
from app.stores.swift import SwiftLogin, SwiftStore
from tests.stores import servers
from tests.stores.kinds import LOOPBACK

_PYTHON = Path(__file__).parents[2] / ".venv-keystone" / "bin" / "python"


@pytest.fixture(scope="session")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Keystone's address; the project team has a Swift."""
    folder, port, first = tmp_path_factory.mktemp("keystone"), servers.free_port(), servers.free_ports(4)
    url, swift = f"http://127.0.0.1:{port}/v3", f"http://127.0.0.1:{first}"
    here = Path(__file__).parent
    start = [str(_PYTHON), "-W", "ignore"]
    serve_keystone = [*start, str(here / "keystone_server.py"), str(folder), str(port), swift]
    serve_swift = [*start, str(here / "swift_server.py"), str(folder / "swift"), str(first), url]
    os.environ["OS_KEYSTONE_CONFIG_DIR"] = str(folder)
    with (
        servers.running(serve_keystone, (folder / "ready").exists, folder=folder),
        servers.running(serve_swift, lambda: servers.answers(first, "/info", 200), folder=folder / "swift"),
    ):
        yield url


def _store(url: str, **changes: Any) -> SwiftStore:
    values = {"username": "tester", "password": "testing", "project": "team", "domain": "Default", "region": None}
    container = changes.pop("container", servers.BUCKET)
    login = SwiftLogin(auth_url=url, **{**values, "is_application_credential": False, **changes})
    return SwiftStore("swift", login=login, container=container, temp_url_key=None, guard=LOOPBACK)


async def _make_container(store: SwiftStore) -> None:
    session = await store._logged_in()
    async with (
        aiohttp.ClientSession() as client,
        client.put(f"{session.url}/{servers.BUCKET}", headers={"X-Auth-Token": session.token}) as response,
    ):
        assert response.status in (201, 202)


async def test_a_user_of_a_project_keeps_files_behind_keystone(keystone: str) -> None:
    store = _store(keystone, region="RegionOne")
    await _make_container(store)
    await probe(store, "probe")
    key, plan = f"{uuid4()}", store.plan_upload(7)
    md5 = hashlib.md5(b"content").hexdigest()
    signed = await store.sign_part(key, "", plan, 1, expected=Expected(md5=md5), seconds=60)
    assert signed
    async with aiohttp.ClientSession() as client:
        async with client.put(signed.url, data=b"content", headers=dict(signed.headers)) as response:
            assert response.status == 201
        assert (await store.complete_upload(key, "", plan, Expected(md5=md5))).attested.md5 == md5
        url = await store.sign_get(key, seconds=60, filename="a.bin", media_type=None)
        async with client.get(str(url)) as response:
            assert await response.read() == b"content"
    await store.aclose()


async def test_an_application_credential_is_as_good(keystone: str) -> None:
    store = _store(keystone)
    await _make_container(store)
    session = await store._logged_in()
    connection = HTTPConnection(urlsplit(keystone).netloc)
    connection.request(
        "GET", "/v3/auth/tokens", headers={"X-Auth-Token": session.token, "X-Subject-Token": session.token}
    )
    user = json.loads(connection.getresponse().read())["token"]["user"]["id"]
    body = json.dumps({"application_credential": {"name": "waymark"}})
    headers = {"X-Auth-Token": session.token, "Content-Type": "application/json"}
    connection.request("POST", f"/v3/users/{user}/application_credentials", body, headers)
    made = json.loads(connection.getresponse().read())["application_credential"]
    connection.close()
    other = _store(keystone, username=made["id"], password=made["secret"], is_application_credential=True)
    await probe(other, "probe")
    await store.aclose()
    await other.aclose()


async def test_what_is_wrong_is_told_apart(keystone: str) -> None:
    for store, kind in (
        (_store(keystone, password="wrong"), BadCredentials),
        (_store(keystone, container="missing"), BucketMissing),
        (_store(keystone, region="Nowhere"), Unsupported),
    ):
        with pytest.raises(kind) as caught:
            await probe(store, "probe")
        assert "wrong" not in str(caught.value)
        await store.aclose()
