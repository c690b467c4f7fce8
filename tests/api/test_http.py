"""GraphQL over HTTP: errors that say what to do, and none that says too much."""

from __future__ import annotations

import asyncio
import io
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest

from tests.conftest import LiveServer


async def _post(server: LiveServer, body: Any, **headers: str) -> tuple[int, Any, Any]:
    headers = {"Authorization": f"Bearer {server.token}", **headers}
    kind = "data" if isinstance(body, str | bytes) else "json"
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.url}/graphql", headers=headers, **{kind: body}) as response,
    ):
        return response.status, await response.json(), response.headers


async def _get(server: LiveServer, path: str, **params: str) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(server.url + path, params=params, headers={"Authorization": f"Bearer {server.token}"}) as response,
    ):
        return response.status, await response.json()


async def test_health_needs_no_token(server: LiveServer) -> None:
    for path in ("/healthz", "/readyz"):
        async with aiohttp.ClientSession() as session, session.get(server.url + path) as response:
            assert (response.status, await response.json()) == (200, {"status": "ok"})


async def test_every_response_carries_a_request_id_or_the_proxys_own(server: LiveServer) -> None:
    _, _, headers = await _post(server, {"query": "{ __typename }"})
    assert len(headers["X-Request-Id"]) == 32
    _, _, headers = await _post(server, {"query": "{ __typename }"}, **{"X-Request-Id": "from-the-proxy"})
    assert headers["X-Request-Id"] == "from-the-proxy"


async def test_an_unexpected_error_is_masked_and_names_its_request(server: LiveServer) -> None:
    async with server.pool.acquire() as connection:
        await connection.execute("ALTER TABLE data_store RENAME TO secret_table")
    _, answer, headers = await _post(server, {"query": '{ project(slug: "default") { stores { name } } }'})
    (error,) = answer["errors"]
    assert error["extensions"] == {"code": "INTERNAL", "requestId": headers["X-Request-Id"]}
    assert "data_store" not in str(answer)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("{ nothing }", "Cannot query field 'nothing'"),
        ("{ project(", "Syntax Error"),
        ('{ resolve(project: "x", reference: "y", at: "yesterday") { version } }', "RFC 3339"),
        ('{ resolve(project: "x", reference: "y", at: "2026-03-15T12:00:00") { version } }', "zone"),
    ],
)
async def test_faults_of_a_document_are_told_whole(server: LiveServer, document: str, expected: str) -> None:
    _, answer, _ = await _post(server, {"query": document})
    assert expected in answer["errors"][0]["message"]


async def test_a_wrong_variable_is_bad_input_that_says_what_would_be_right(server: LiveServer) -> None:
    query = 'query($p: ID!, $at: DateTime!) { resolve(project: $p, reference: "datum://a", at: $at) { version } }'
    _, answer, _ = await _post(server, {"query": query, "variables": {"p": "x", "at": 5}})
    assert "2026-03-15T12:00:00Z" in answer["errors"][0]["message"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b"\xff\xfe", b'{"query": "\\ud800"}', b'{"query": 5}'])
async def test_a_body_that_is_no_request_is_refused_as_json(server: LiveServer, body: bytes) -> None:
    status, answer, _ = await _post(server, body, **{"Content-Type": "application/json"})
    assert status == 400
    assert answer["errors"][0]["message"]


async def test_a_body_over_the_limit_is_refused(server: LiveServer) -> None:
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.url}/graphql", data=io.BytesIO(b"x" * 3_000_000), headers=headers) as response,
    ):
        assert response.status == 413


async def test_a_client_that_goes_away_in_the_middle_of_its_request_is_no_error(
    server: LiveServer, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    address = urlsplit(server.url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    headers = f"Authorization: Bearer {server.token}\r\nContent-Type: application/json\r\nContent-Length: 100"
    writer.write(f'POST /graphql HTTP/1.1\r\nHost: test\r\n{headers}\r\n\r\n{{"query": '.encode())
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.close()
    async with asyncio.timeout(60):
        while "went away" not in capsys.readouterr().out:
            await asyncio.sleep(0.02)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_get_never_mutates(server: LiveServer) -> None:
    mutation = 'mutation { createProject(input: {slug: "x"}) { project { id } } }'
    status, answer = await _get(server, "/graphql", query=mutation)
    assert status in (400, 405)
    assert answer["errors"]
    assert (await _get(server, "/graphql", query="{ viewer { name } }"))[1]["data"] == {"viewer": {"name": "admin"}}


async def test_a_client_that_would_also_take_a_stream_gets_json(server: LiveServer) -> None:
    status, answer, _ = await _post(
        server, {"query": "{ viewer { name } }"}, Accept="application/json, text/event-stream, multipart/mixed"
    )
    assert (status, answer["data"]) == (200, {"viewer": {"name": "admin"}})


async def test_changes_carry_the_way_by_which_they_came_and_execution_is_not_the_clients_to_claim(
    server: LiveServer,
) -> None:
    status, answer, _ = await _post(server, {"query": "{ __typename }"}, **{"X-Waymark-Via": "EXECUTION"})
    assert (status, answer["errors"][0]["extensions"]["code"]) == (400, "BAD_USER_INPUT")


async def test_fields_of_one_request_see_what_earlier_ones_wrote(server: LiveServer) -> None:
    project = await server.project_id()
    async with server.pool.acquire() as connection:
        first, second = [
            str(
                await connection.fetchval(
                    "INSERT INTO datum (project_id, store_id, object_key, name, size, checksum_evidence, origin,"
                    " status) SELECT $1, id, $2, $2, 1, 'VERIFIED', 'UPLOAD', 'AVAILABLE' FROM data_store RETURNING id",
                    project,
                    name,
                )
            )
            for name in ("first", "second")
        ]
    fields = "alias { version datum { name } history(first: 1) { nodes { to { name } } } }"
    data = await server.run(
        f"mutation($p: ID!, $a: String!, $b: String!) {{"
        f' one: setAlias(input: {{project: $p, name: "x", datum: $a}}) {{ {fields} }}'
        f' two: setAlias(input: {{project: $p, name: "x", datum: $b}}) {{ {fields} }} }}',
        p=project,
        a=first,
        b=second,
    )
    assert data["one"]["alias"]["datum"]["name"] == "first"
    assert data["two"]["alias"] == {
        "version": 2,
        "datum": {"name": "second"},
        "history": {"nodes": [{"to": {"name": "second"}}]},
    }


async def test_resolve_many_gives_null_and_an_error_at_the_index_of_what_means_nothing(server: LiveServer) -> None:
    project = await server.project_id()
    _, answer, _ = await _post(
        server,
        {
            "query": 'query($p: ID!) { resolveMany(project: $p, references: ["datum://a", "http://x"]) { version } }',
            "variables": {"p": project},
        },
    )
    assert answer["data"] == {"resolveMany": [None, None]}
    assert [(error["path"], error["extensions"]["code"]) for error in answer["errors"]] == [
        (["resolveMany", 0], "NOT_FOUND"),
        (["resolveMany", 1], "BAD_USER_INPUT"),
    ]


async def test_a_lost_race_is_a_conflict_that_carries_what_is_there_now(server: LiveServer) -> None:
    project = await server.project_id()
    async with server.pool.acquire() as connection:
        datum = str(
            await connection.fetchval(
                "INSERT INTO datum (project_id, store_id, object_key, name, size, checksum_evidence, origin, status)"
                " SELECT $1, id, 'k', 'f', 1, 'VERIFIED', 'UPLOAD', 'AVAILABLE' FROM data_store RETURNING id",
                project,
            )
        )
    query = "mutation($i: SetAliasInput!) { setAlias(input: $i) { alias { version } } }"
    await server.run(query, i={"project": project, "name": "x", "datum": datum, "expectedDatumId": None})
    error = await server.fails(query, i={"project": project, "name": "x", "datum": datum, "expectedDatumId": None})
    assert error.code == "CONFLICT"
    assert error.extensions["conflicts"] == [{"name": "x", "version": 1, "datumId": datum}]


async def test_the_server_goes_on_when_the_database_drops_its_connections(server: LiveServer) -> None:
    await server.run("{ viewer { name } }")
    admin = await asyncpg.connect(server.settings.database_url)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await admin.close()
    async with asyncio.timeout(60):
        while True:
            status, answer, _ = await _post(server, {"query": "{ viewer { name } }"})
            if answer.get("data"):
                break
            assert (status, answer["errors"][0]["extensions"]["code"]) == (503, "STORE_UNAVAILABLE")
            await asyncio.sleep(0.05)
