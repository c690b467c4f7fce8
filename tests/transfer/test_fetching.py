"""Fetching files over HTTP, from servers of all sorts."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import encode_basic_auth, web

from app.transfer.fetching import Fetcher, FetchError, FetchLimits
from app.transfer.guard import NetworkGuard
from tests.stores import servers

_LOOPBACK = NetworkGuard([ip_network("127.0.0.0/8")])
_CONTENT = bytes(range(256)) * 4096


@dataclass
class _Web:
    """A server with a handler a path, which remembers what it was asked."""

    url: str = ""
    handlers: dict[str, Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]] = field(default_factory=dict)
    asked: list[web.Request] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        return await self.handlers[request.path](request)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[_Web]:
    (tmp_path / "file.bin").write_bytes(_CONTENT)
    site = _Web()
    application = web.Application()
    application.router.add_static("/static", tmp_path)
    application.router.add_get("/{path:.*}", site.handle)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield site
    await runner.cleanup()


async def _fetch(url: str, guard: NetworkGuard = _LOOPBACK, **limits: Any) -> bytes:
    async with Fetcher(guard, FetchLimits(**limits)) as fetcher, fetcher.open(url) as fetched:
        return b"".join([chunk async for chunk in fetched.chunks])


async def test_a_file_arrives_whole_with_its_size(site: _Web) -> None:
    async with Fetcher(_LOOPBACK, FetchLimits()) as fetcher, fetcher.open(f"{site.url}/static/file.bin") as fetched:
        assert fetched.size == len(_CONTENT)
        assert b"".join([chunk async for chunk in fetched.chunks]) == _CONTENT


async def test_a_file_without_a_length_and_without_ranges_arrives_whole(site: _Web, tmp_path: Path) -> None:
    async def unknown(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(_CONTENT)
        return response

    site.handlers["/unknown"] = unknown
    assert await _fetch(f"{site.url}/unknown") == _CONTENT
    port = servers.free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    with servers.running(command, lambda: servers.answers(port, "/", 200), folder=tmp_path / "log"):
        assert await _fetch(f"http://127.0.0.1:{port}/file.bin") == _CONTENT


async def test_redirects_are_followed_and_credentials_stay_where_they_belong(site: _Web) -> None:
    other = site.url.replace("127.0.0.1", "localhost")

    def to(target: str) -> Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]:
        async def redirect(_: web.Request) -> web.StreamResponse:
            return web.Response(status=302, headers={"Location": target})

        return redirect

    async def end(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"end")

    site.handlers = {
        "/a": to("/b"),
        "/b": to(f"{other}/end"),
        "/end": end,
        "/loop": to("/loop"),
        "/file": to("file:///etc/passwd"),
    }
    with_credentials = site.url.replace("http://", "http://user:pa%20ss@")
    assert await _fetch(f"{with_credentials}/a") == b"end"
    assert [request.headers.get("Authorization") for request in site.asked] == [
        encode_basic_auth("user", "pa ss"),
        encode_basic_auth("user", "pa ss"),
        None,
    ]
    with pytest.raises(FetchError, match="more than 10 times"):
        await _fetch(f"{site.url}/loop")
    with pytest.raises(FetchError, match="not HTTP"):
        await _fetch(f"{site.url}/file")


async def test_no_address_leads_into_a_forbidden_network_not_even_by_a_redirect(site: _Web) -> None:
    async def inward(_: web.Request) -> web.StreamResponse:
        return web.Response(
            status=302, headers={"Location": f"{site.url}/static/file.bin".replace("127.0.0.1", "127.0.0.2")}
        )

    site.handlers["/inward"] = inward
    one = NetworkGuard([ip_network("127.0.0.1/32")])
    for url, guard in (
        (f"{site.url}/static/file.bin", NetworkGuard()),
        (f"{site.url}/static/file.bin".replace("127.0.0.1", "localhost"), NetworkGuard()),
        (f"{site.url}/static/file.bin".replace("127.0.0.1", "[::1]"), one),
        (f"{site.url}/inward", one),
    ):
        with pytest.raises(FetchError, match="may not reach"):
            await _fetch(url, guard)
    for legacy in ("http://2130706433/", "http://0x7f000001/", "http://127.1/", "http://0/"):
        with pytest.raises(FetchError):
            await _fetch(legacy, NetworkGuard())


async def test_a_truncated_body_is_continued_if_it_is_the_same_file_still(site: _Web) -> None:
    etags = iter(['"1"', '"1"', '"1"'])

    async def truncating(request: web.Request) -> web.StreamResponse:
        begin = int(request.headers.get("Range", "bytes=0-")[6:-1])
        etag = next(etags, '"2"')
        if request.headers.get("If-Range", etag) != etag:
            begin = 0
        status, headers = (
            (206, {"Content-Range": f"bytes {begin}-{len(_CONTENT) - 1}/{len(_CONTENT)}"}) if begin else (200, {})
        )
        response = web.StreamResponse(status=status, headers={"ETag": etag, **headers})
        response.content_length = len(_CONTENT) - begin
        await response.prepare(request)
        await response.write(_CONTENT[begin : begin + 400_000])
        if begin + 400_000 < len(_CONTENT) and request.transport:
            request.transport.close()
        return response

    site.handlers["/truncating"] = truncating
    assert await _fetch(f"{site.url}/truncating") == _CONTENT
    assert [request.headers.get("Range") for request in site.asked][1:] == ["bytes=400000-", "bytes=800000-"]
    etags = iter(['"1"'])
    with pytest.raises(FetchError, match="cannot be continued"):
        await _fetch(f"{site.url}/truncating")


async def test_a_truncated_body_that_nothing_vouches_for_is_an_error(site: _Web) -> None:
    async def truncating(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(_CONTENT)
        await response.prepare(request)
        await response.write(_CONTENT[:1000])
        if request.transport:
            request.transport.close()
        return response

    site.handlers["/truncating"] = truncating
    with pytest.raises(FetchError, match="broke off after 1000 bytes"):
        await _fetch(f"{site.url}/truncating")


async def test_limits_of_size_and_time_hold_whatever_the_server_says(site: _Web) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 1000)
            await asyncio.sleep(0.01)

    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(3)
        return web.Response()

    site.handlers |= {"/endless": endless, "/silent": silent}
    with pytest.raises(FetchError, match="1048576 bytes; at most 1000 are taken"):
        await _fetch(f"{site.url}/static/file.bin", size=1000)
    with pytest.raises(FetchError, match="larger than the 5000 bytes"):
        await _fetch(f"{site.url}/endless", size=5000)
    with pytest.raises(FetchError, match=r"longer than 0\.5 s"):
        await _fetch(f"{site.url}/endless", total=0.5)
    with pytest.raises(FetchError, match=r"longer than 1 s"):
        await _fetch(f"{site.url}/silent", idle=0.2, total=1)


async def test_what_fails_for_a_moment_is_tried_again_and_what_is_missing_is_not(site: _Web) -> None:
    answers = iter([503, 503, 200])

    async def shaky(_: web.Request) -> web.StreamResponse:
        return web.Response(status=next(answers), body=b"fine")

    async def missing(_: web.Request) -> web.StreamResponse:
        return web.Response(status=404)

    site.handlers |= {"/shaky": shaky, "/missing": missing}
    assert await _fetch(f"{site.url}/shaky") == b"fine"
    site.asked.clear()
    with pytest.raises(FetchError, match="HTTP 404") as caught:
        await _fetch(f"{site.url.replace('http://', 'http://user:secret@')}/missing?token=hidden")
    assert len(site.asked) == 1
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)


async def test_what_is_compressed_is_kept_as_it_is(site: _Web) -> None:
    async def packed(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"not really gzip", headers={"Content-Encoding": "gzip"})

    site.handlers["/packed"] = packed
    assert await _fetch(f"{site.url}/packed") == b"not really gzip"
