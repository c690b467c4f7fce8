"""What a document may ask for: each limit is named, and the worst documents are answered at once."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import aiohttp
import pytest

from app.api.schema import make_schema
from app.settings import DocumentLimits
from tests.conftest import LiveServer

_DOUBLED = (
    "query { viewer { ...f0 } }"
    + "".join(f" fragment f{n} on Viewer {{ ...f{n + 1} ...f{n + 1} }}" for n in range(60))
    + " fragment f60 on Viewer { name }"
)


async def _answer(server: LiveServer, body: Any) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {server.token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{server.url}/graphql",
            data=io.BytesIO(json.dumps(body).encode()),
            headers={**headers, "Content-Type": "application/json"},
        ) as response,
    ):
        return response.status, await response.text()


@pytest.mark.parametrize(
    ("document", "setting"),
    [
        ("{ viewer { " + " ".join(f"a{n}: name" for n in range(600)) + " } }", "WAYMARK_MAX_ALIASES"),
        ("{ viewer { " + "name " * 600 + "} }", "WAYMARK_MAX_FIELDS"),
        (
            "{ viewer { projects { nodes " + "{ aliases { nodes { project " * 8 + "{ id }" + " } } }" * 8 + " } } }",
            "WAYMARK_MAX_DEPTH",
        ),
        (
            "{ projects { nodes { aliases(first: 500) { nodes { history(first: 500) { nodes { id } } } } } } }",
            "WAYMARK_MAX_COST",
        ),
        (
            "{ viewer { " + "...f " * 101 + " } } fragment f on Viewer { name }",
            "WAYMARK_MAX_SPREADS",
        ),
    ],
)
async def test_each_limit_names_itself_and_its_setting(server: LiveServer, document: str, setting: str) -> None:
    error = await server.fails(document)
    assert error.code == "LIMIT_EXCEEDED"
    assert setting in error.message


async def test_cost_counts_the_actual_variables(server: LiveServer) -> None:
    query = """query($n: Int!) { project(slug: "default") { aliases(first: $n) { nodes {
        history(first: $n) { nodes { id } } } } } }"""
    await server.run(query, n=10)
    assert (await server.fails(query, n=500)).code == "LIMIT_EXCEEDED"
    references = "query($p: ID!, $r: [String!]!) { resolveMany(project: $p, references: $r) { " + "datum { name } " * 20
    error = await server.fails(references + "} }", p=await server.project_id(), r=["datum://x"] * 9_000)
    assert error.code == "LIMIT_EXCEEDED"


async def test_too_many_tokens_are_refused_while_parsing(server: LiveServer) -> None:
    error = await server.fails("{ viewer { name " + "# comment\n name " * 10_001 + "} }")
    assert "10000 tokens" in error.message


async def test_introspection_goes_only_so_deep(server: LiveServer) -> None:
    deep = "{ __schema { types " + "{ fields { type " * 6 + "{ name }" + " } }" * 6 + " } }"
    error = await server.fails(deep)
    assert "introspection depth" in error.message.lower()


_WORST: dict[str, Any] = {
    "60 doubled fragments": {"query": _DOUBLED},
    "20,000 aliases": {"query": "{ viewer { " + " ".join(f"a{n}: name" for n in range(20_000)) + " } }"},
    "20,000 fields of one name": {"query": "{ viewer { " + "name " * 20_000 + "} }"},
    "as many fields of one name as are allowed": {"query": "{ viewer { " + "name " * 500 + "} }"},
    "a 5 MB body": {"query": "{ viewer { name } }", "variables": {"x": "x" * 5_000_000}},
    "10,000 variables": {
        "query": "query(" + " ".join(f"$v{n}: Int" for n in range(10_000)) + ") { viewer { name } }",
        "variables": {f"v{n}": n for n in range(10_000)},
    },
    "deep values": {"query": "{ a(x: " + "[" * 4_000 + "]" * 4_000 + ") }"},
    "deep objects": {"query": "{ a(x: " + "{a: " * 2_000 + "1" + "}" * 2_000 + ") }"},
    "deep selections": {"query": "{ a " * 3_000 + "}" * 3_000},
}


async def test_a_batch_has_no_more_operations_than_the_limit(server: LiveServer) -> None:
    query = {"query": "{ viewer { name } }"}
    status, text = await _answer(server, [query] * 10)
    assert (status, json.loads(text)) == (200, [{"data": {"viewer": {"name": "admin"}}}] * 10)
    for wrong in ([query] * 11, []):
        status, text = await _answer(server, wrong)
        assert (status, "WAYMARK_MAX_BATCH" in text) == (400, True)
    status, text = await _answer(server, [query, 1])
    assert (status, "not all of it are JSON objects" in text) == (400, True)


async def test_a_body_that_is_too_large_is_refused_in_json(server: LiveServer) -> None:
    status, text = await _answer(server, _WORST["a 5 MB body"])
    (error,) = json.loads(text)["errors"]
    assert (status, error["extensions"]["code"]) == (413, "LIMIT_EXCEEDED")
    assert "WAYMARK_MAX_BODY_BYTES" in error["message"]


async def test_the_event_loop_goes_on_while_a_long_document_is_being_read() -> None:
    documents = make_schema(DocumentLimits()).documents
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    turning = asyncio.create_task(turn())
    study = await documents.study(_WORST["20,000 aliases"]["query"])
    turning.cancel()
    assert study.faults
    assert turns > 1


@pytest.mark.parametrize("name", sorted(_WORST))
async def test_the_worst_documents_are_answered_without_an_internal_error(server: LiveServer, name: str) -> None:
    status, text = await _answer(server, _WORST[name])
    assert status in (200, 400, 413)
    assert "INTERNAL" not in text


async def test_deep_variables_are_refused(server: LiveServer) -> None:
    value: Any = 1
    for _ in range(900):
        value = [value]
    status, text = await _answer(
        server,
        {
            "query": "mutation($i: UpdateDatumInput!) { updateDatum(input: $i) { datum { id } } }",
            "variables": {"i": {"id": "x", "setProperties": {"deep": value}}},
        },
    )
    assert status in (200, 400)
    assert "INTERNAL" not in text


async def test_a_query_that_takes_too_long_is_cut_off(server: LiveServer) -> None:
    async with server.pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE data_store IN ACCESS EXCLUSIVE MODE")
        slow = asyncio.create_task(server.fails('{ project(slug: "default") { stores { name } } }'))
        error = await slow
    assert error.code == "LIMIT_EXCEEDED"
    assert "WAYMARK_QUERY_TIMEOUT" in error.message
