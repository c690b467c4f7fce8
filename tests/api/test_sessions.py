"""Signing in to the console: one-time links, cookies, where requests come from; and the files of the console."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from starlette.applications import Starlette

from app.api.console import console_routes
from app.settings import Settings, SettingsError
from tests.api.given import push
from tests.conftest import LiveServer, answering

_VIEWER = {"query": "{ viewer { name } }"}


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    """What keeps cookies, also those of a host that is an address."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


async def _sign_in(server: LiveServer, browser: aiohttp.ClientSession, token: str | None = None) -> None:
    async with browser.post(
        f"{server.url}/session", json={"token": token or server.token}, headers={"Origin": server.url}
    ) as response:
        assert response.status == 200, await response.text()


async def _post(
    server: LiveServer, browser: aiohttp.ClientSession, body: Any = None, **headers: str
) -> tuple[int, Any]:
    async with browser.post(f"{server.url}/graphql", json=body or _VIEWER, headers=headers) as response:
        return response.status, await response.json()


async def test_a_token_becomes_a_cookie_that_scripts_do_not_see(
    server: LiveServer, browser: aiohttp.ClientSession
) -> None:
    async with browser.get(f"{server.url}/session") as response:
        assert await response.json() == {"signedIn": False}
    await _sign_in(server, browser)
    (cookie,) = browser.cookie_jar
    assert (cookie["httponly"], cookie["samesite"].lower(), cookie["path"]) == (True, "strict", "/")
    assert server.token not in cookie.value
    async with browser.get(f"{server.url}/session") as response:
        assert await response.json() == {"signedIn": True}
    assert await _post(server, browser, Origin=server.url) == (200, {"data": {"viewer": {"name": "admin"}}})


async def test_a_wrong_token_makes_no_session(server: LiveServer, browser: aiohttp.ClientSession) -> None:
    for body, status in (({"token": "wm_nonsense"}, 401), ({"token": ""}, 400), ({}, 400), ([], 400)):
        async with browser.post(f"{server.url}/session", json=body, headers={"Origin": server.url}) as response:
            assert response.status == status
            assert (await response.json())["errors"][0]["message"]
    assert not list(browser.cookie_jar)


async def test_a_cookie_counts_only_with_requests_from_this_servers_pages(
    server: LiveServer, browser: aiohttp.ClientSession
) -> None:
    await _sign_in(server, browser)
    for headers in ({"Origin": "https://elsewhere.example"}, {"Origin": "null"}, {}):
        status, answer = await _post(server, browser, **headers)
        assert status == 403
        assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
        async with browser.delete(f"{server.url}/session", headers=headers) as response:
            assert response.status == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        headers = {"Origin": server.url, "Content-Type": kind}
        async with browser.post(
            f"{server.url}/graphql", data=b'{"query": "{ viewer { name } }"}', headers=headers
        ) as r:
            assert r.status in (400, 415)
        async with browser.post(f"{server.url}/session", data=b'{"token": "x"}', headers=headers) as r:
            assert r.status == 400
    assert (await _post(server, browser, Origin=server.url))[0] == 200


async def test_a_websocket_from_another_sites_page_has_no_session_but_may_have_a_token(
    server: LiveServer, browser: aiohttp.ClientSession
) -> None:
    await _sign_in(server, browser)
    address, protocols = f"{server.url}/graphql", ["graphql-transport-ws"]
    async with browser.ws_connect(address, protocols=protocols, headers={"Origin": server.url}) as socket:
        await socket.send_json({"type": "connection_init"})
        assert (await socket.receive_json())["type"] == "connection_ack"
    for headers in ({"Origin": "https://elsewhere.example"}, {}):
        async with browser.ws_connect(address, protocols=protocols, headers=headers) as socket:
            await socket.send_json({"type": "connection_init"})
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 4403
    browser.cookie_jar.clear()
    async with browser.ws_connect(address, protocols=protocols, headers={"Origin": "https://front.example"}) as socket:
        payload = {"Authorization": f"Bearer {server.token}"}
        await socket.send_json({"type": "connection_init", "payload": payload})
        assert (await socket.receive_json())["type"] == "connection_ack"


async def test_changes_of_a_session_come_via_the_console(server: LiveServer, browser: aiohttp.ClientSession) -> None:
    datum = await push(server, b"x")
    await _sign_in(server, browser)
    body = {
        "query": "mutation($input: SetAliasInput!) { setAlias(input: $input) { change { via actor { name } } } }",
        "variables": {"input": {"project": await server.project_id(), "name": "model", "datum": datum}},
    }
    _, answer = await _post(server, browser, body, Origin=server.url)
    assert answer["data"]["setAlias"]["change"] == {"via": "CONSOLE", "actor": {"name": "admin"}}


async def test_signing_out_ends_the_session_wherever_its_cookie_still_is(
    server: LiveServer, browser: aiohttp.ClientSession
) -> None:
    await _sign_in(server, browser)
    (cookie,) = browser.cookie_jar
    async with browser.delete(f"{server.url}/session", headers={"Origin": server.url}) as response:
        assert response.status == 204
    assert not list(browser.cookie_jar)
    status, answer = await _post(server, browser, Origin=server.url, Cookie=f"{cookie.key}={cookie.value}")
    assert (status, answer["errors"][0]["extensions"]["code"]) == (401, "UNAUTHENTICATED")


async def test_a_session_ends_with_its_token(server: LiveServer, browser: aiohttp.ClientSession) -> None:
    token = await server.new_token("passing", "READ")
    await _sign_in(server, browser, token)
    assert (await _post(server, browser, Origin=server.url))[0] == 200
    tokens = (await server.run("{ viewer { tokens { id name } } }"))["viewer"]["tokens"]
    (own,) = [each["id"] for each in tokens if each["name"] == "passing"]
    await server.run(
        "mutation($input: RevokeTokenInput!) { revokeToken(input: $input) { token { id } } }", input={"id": own}
    )
    assert (await _post(server, browser, Origin=server.url))[0] == 401


async def test_an_expired_session_is_refused_and_then_forgotten(
    server: LiveServer, browser: aiohttp.ClientSession
) -> None:
    await _sign_in(server, browser)
    async with server.pool.acquire() as connection:
        await connection.execute("UPDATE session SET expires_at = now() - interval '1 second'")
        assert (await _post(server, browser, Origin=server.url))[0] == 401
        await server.keep_house()
        assert await connection.fetchval("SELECT count(*) FROM session") == 0


async def test_a_link_signs_in_once_and_for_a_minute(server: LiveServer, browser: aiohttp.ClientSession) -> None:
    async with server.client() as client:
        first, second = await client.session_link(), await client.session_link()
    async with browser.get(first, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/")
    assert (await _post(server, browser, Origin=server.url))[0] == 200
    async with server.pool.acquire() as connection:
        await connection.execute("UPDATE session SET expires_at = now() - interval '1 second' WHERE is_link")
    browser.cookie_jar.clear()
    for spent in (first, second, f"{server.url}/session/links/nonsense"):
        async with browser.get(spent, allow_redirects=False) as response:
            assert response.headers["Location"].startswith("/sign-in?fault=")
    assert not list(browser.cookie_jar)


async def test_a_link_is_no_session_and_needs_a_token(server: LiveServer, browser: aiohttp.ClientSession) -> None:
    async with server.client() as client:
        link = (await client.session_link()).rpartition("/")[2]
    assert (await _post(server, browser, Origin=server.url, Cookie=f"waymark_session={link}"))[0] == 401
    await _sign_in(server, browser)
    # a cookie alone makes no more of itself
    async with browser.post(f"{server.url}/session/links", headers={"Origin": server.url}) as response:
        assert response.status == 401


async def test_pages_allow_scripts_of_this_server_alone(server: LiveServer, browser: aiohttp.ClientSession) -> None:
    for path in ("/", "/sign-in", "/tokens", "/projects/default/aliases/model-prod", "/graphiql"):
        async with browser.get(f"{server.url}{path}") as response:
            policy = dict(part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";"))
            assert policy["default-src"] == "'none'"
            assert policy["script-src"] == "'self'"
            assert policy["connect-src"] == "'self'"
            assert response.headers["Cache-Control"] == "no-cache"


async def test_what_pages_load_is_compressed_and_kept_for_ever(
    server: LiveServer, browser: aiohttp.ClientSession
) -> None:
    async with browser.get(f"{server.url}/") as response:
        script = (await response.text()).partition('src="')[2].partition('"')[0]
    bodies = set()
    for encoding in ("gzip", "identity"):
        async with browser.get(f"{server.url}{script}", headers={"Accept-Encoding": encoding}) as response:
            assert response.status == 200
            assert response.headers.get("Content-Encoding", "identity") == encoding
            assert response.headers["Content-Type"].startswith("text/javascript")
            assert "immutable" in response.headers["Cache-Control"]
            bodies.add(await response.read())
    assert len(bodies) == 1
    async with browser.get(f"{server.url}/assets/nothing.js") as response:
        assert response.status == 404


async def test_a_server_without_the_built_files_says_how_to_get_them(
    tmp_path: Path, browser: aiohttp.ClientSession
) -> None:
    app = Starlette(routes=console_routes(Settings(data_dir=tmp_path), built=tmp_path))
    async with answering(app) as url:
        async with browser.get(url) as response:
            assert response.status == 200
            assert "make console" in await response.text()
        async with browser.get(f"{url}/graphiql") as response:
            assert response.status == 404


async def test_uploads_may_go_to_the_origins_that_the_operator_names(
    tmp_path: Path, browser: aiohttp.ClientSession
) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").touch()
    settings = Settings.from_environment(
        {"WAYMARK_DATA_DIR": str(tmp_path), "WAYMARK_UPLOAD_ORIGINS": "https://bucket.example, https://*.example:9000"}
    )
    async with answering(Starlette(routes=console_routes(settings, built=tmp_path))) as url, browser.get(url) as page:
        assert (
            "connect-src 'self' https://bucket.example https://*.example:9000;"
            in page.headers["Content-Security-Policy"]
        )


def test_an_upload_origin_is_nothing_else() -> None:
    for wrong in ("bucket.example", "https://bucket.example/path", "https://bucket.example; script-src *"):
        with pytest.raises(SettingsError, match="WAYMARK_UPLOAD_ORIGINS"):
            Settings.from_environment({"WAYMARK_UPLOAD_ORIGINS": wrong})
