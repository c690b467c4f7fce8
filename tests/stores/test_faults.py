"""Stores that are slow, break off, or do not tell the truth: a proxy spoils what real ones answer."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from app.stores.base import Expected, SizeMismatch, Store, Unavailable
from tests.api.given import CREATE_STORE, condemned, push_datum
from tests.conftest import LiveServer
from tests.stores import servers
from tests.stores.kinds import azure_store, gcs_store, s3, s3_store, swift_store


@dataclass
class _Proxy:
    """Stands before a server, and spoils its answers while it is told to."""

    target: URL
    url: str = ""
    #: Each answer waits until so many do.
    together: asyncio.Barrier = field(default_factory=lambda: asyncio.Barrier(1))
    #: Bytes of a body after which the connection breaks.
    break_after: int | None = None
    #: Bytes that are left out of bodies, the length being told as if they had never been.
    hide: int = 0
    #: Bytes more than there are, in descriptions.
    exaggerate: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        url = self.target.with_path(request.rel_url.raw_path, encoded=True)
        url = URL(f"{url}?{request.rel_url.raw_query_string}", encoded=True)
        async with (
            aiohttp.ClientSession(auto_decompress=False) as client,
            client.request(
                request.method,
                url,
                headers=request.headers,
                data=await request.read() or None,
                # they would be signed headers that the client never sent
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            ) as answer,
        ):
            body = await answer.read()
            await self.together.wait()
            headers = answer.headers.copy()
            headers.popall("Transfer-Encoding", None)
            length = int(headers.popall("Content-Length", ["0"])[0])
            response = web.StreamResponse(status=answer.status, headers=headers)
            is_object = request.method == "GET" and answer.status in (200, 206) and b"spoil" in body
            if is_object and self.hide:
                body = body[: -self.hide]
            response.content_length = len(body)
            if request.method == "HEAD":
                response.content_length = length + (self.exaggerate if answer.status == 200 else 0)
            await response.prepare(request)
            if is_object and self.break_after is not None:
                await response.write(body[: self.break_after])
                if request.transport:
                    request.transport.close()
            elif request.method != "HEAD":
                await response.write(body)
            return response


async def _before(url: str) -> tuple[_Proxy, web.AppRunner]:
    proxy = _Proxy(URL(url))
    application = web.Application(client_max_size=1024**3)
    application.router.add_route("*", "/{path:.*}", proxy.handle)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    return proxy, runner


@pytest.fixture(params=["s3", "azure", "gcs", "swift"])
async def spoiled(request: pytest.FixtureRequest) -> AsyncIterator[tuple[_Proxy, Store]]:
    """A store behind a proxy, and the proxy."""
    store: Store
    if request.param == "s3":
        proxy, runner = await _before(request.getfixturevalue("seaweedfs"))
        store = s3_store(proxy.url)
    elif request.param == "azure":
        proxy, runner = await _before(request.getfixturevalue("azurite"))
        store = azure_store(f"{proxy.url}/{servers.AZURE_ACCOUNT}")
    elif request.param == "gcs":
        server: servers.Gcs = request.getfixturevalue("gcs_server")
        proxy, runner = await _before(server.url)
        store = gcs_store(replace(server, url=proxy.url))
    else:
        proxy, runner = await _before(request.getfixturevalue("swift_server"))
        # Swift tells its own address when it is logged in to, so that is spoiled too
        store = swift_store(proxy.url)
    yield proxy, store
    await store.aclose()
    await runner.cleanup()


async def _read(store: Store, key: str) -> bytes:
    async with store.open(key) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_a_body_that_breaks_off_is_an_error_and_never_a_short_file(spoiled: tuple[_Proxy, Store]) -> None:
    proxy, store = spoiled
    key, content = f"{uuid4()}", b"spoil" * 100_000
    await store.create(key, content)
    proxy.break_after = 1000
    with pytest.raises(Unavailable):
        await _read(store, key)
    proxy.break_after = None
    assert await _read(store, key) == content


async def test_a_slow_store_holds_nobody_up(spoiled: tuple[_Proxy, Store]) -> None:
    """The proxy runs in the same event loop, and answers nobody before all have asked."""
    proxy, store = spoiled
    key = f"{uuid4()}"
    await store.create(key, b"spoil")
    proxy.together = asyncio.Barrier(10)
    async with asyncio.timeout(60):
        assert {stat.size for stat in await asyncio.gather(*(store.stat(key) for _ in range(10)))} == {5}


async def test_an_upload_whose_size_the_store_tells_otherwise_is_refused(spoiled: tuple[_Proxy, Store]) -> None:
    proxy, store = spoiled
    key = f"{uuid4()}"
    plan = store.plan_upload(5)
    session = await store.begin_upload(key, plan)
    signed = await store.sign_part(key, session, plan, 1, expected=Expected(), seconds=60)
    assert signed
    async with (
        aiohttp.ClientSession() as client,
        client.put(signed.url, data=b"spoil", headers=dict(signed.headers)) as response,
    ):
        assert response.status < 300
    proxy.exaggerate = 1
    if (await store.stat(key)).size == 5:
        # Google tells sizes in bodies, and Swift by its own address, where the proxy does not stand
        wrong = replace(plan, size=6)
        with pytest.raises(SizeMismatch):
            await store.complete_upload(key, session, wrong, Expected())
    else:
        with pytest.raises(SizeMismatch):
            await store.complete_upload(key, session, plan, Expected())


async def test_a_file_that_the_store_gives_back_shorter_is_found_out(server: LiveServer, seaweedfs: str) -> None:
    """The store has vouched for it, so it is usable at once; then it is read, and is corrupt."""
    proxy, runner = await _before(seaweedfs)
    values: dict[str, Any] = {"project": await server.project_id(), "name": "s3", "isDefault": True}
    await server.run(CREATE_STORE, i={**values, **s3(proxy.url).spec})
    proxy.hide = 3
    datum = await push_datum(server, b"spoil" * 100, sha256=hashlib.sha256(b"spoil" * 100).hexdigest())
    assert datum["status"] == "AVAILABLE"
    found = await condemned(server, datum["id"])
    assert found["status"] == "CORRUPT"
    assert "other bytes" in found["statusReason"]
    await runner.cleanup()
