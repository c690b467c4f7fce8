"""Subscriptions over graphql-transport-ws and as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from gql import Client, GraphQLRequest
from gql.transport.exceptions import TransportConnectionFailed, TransportQueryError
from gql.transport.websockets import WebsocketsTransport

from tests.api.given import push
from tests.conftest import LiveServer

_CHANGED = """subscription($project: ID!, $names: [String!], $after: ID) {
    aliasChanged(project: $project, names: $names, after: $after) { id version alias { name version } to { name } }
}"""
_UPDATED = "subscription($project: ID, $execution: ID) { executionUpdated(project: $project, execution: $execution)"
_SET = "mutation($i: SetAliasInput!) { setAlias(input: $i) { change { id } } }"
_SECONDS = 60


@asynccontextmanager
async def _connected(server: LiveServer, token: str | None = None) -> AsyncIterator[Any]:
    transport = WebsocketsTransport(
        url=server.url.replace("http", "ws") + "/graphql",
        init_payload={"authorization": f"Bearer {token or server.token}"},
    )
    async with Client(transport=transport) as session:
        yield session


async def _events(session: Any, document: str, **values: Any) -> AsyncGenerator[dict[str, Any], None]:
    async with asyncio.timeout(_SECONDS):
        async for event in session.subscribe(GraphQLRequest(document, variable_values=values)):
            yield event


async def _first(events: AsyncGenerator[dict[str, Any], None], count: int) -> list[dict[str, Any]]:
    return [(await anext(events)) for _ in range(count)]


async def _point(server: LiveServer, name: str, datum: str) -> str:
    data = await server.run(_SET, i={"project": await server.project_id(), "name": name, "datum": datum})
    return str(data["setAlias"]["change"]["id"])


async def _until_listening(server: LiveServer, streams: int = 1) -> None:
    """Until the streams that were opened just now have found out where they begin."""
    async with asyncio.timeout(_SECONDS):
        while sum("AS horizon" in statement for statement in server.statements) < streams:
            await asyncio.sleep(0.01)
    server.statements.clear()


async def test_changes_arrive_as_they_are_committed_with_everything_a_change_has(server: LiveServer) -> None:
    project, datum = await server.project_id(), await push(server, b"x", name="x.bin")
    await _point(server, "earlier", datum)
    async with _connected(server) as session, aclosing(_events(session, _CHANGED, project=project)) as events:
        waiting = asyncio.ensure_future(_first(events, 2))
        await _until_listening(server)
        ids = [await _point(server, "a", datum), await _point(server, "b", datum)]
        found = [event["aliasChanged"] for event in await waiting]
    assert found == [
        {"id": change, "version": 1, "alias": {"name": name, "version": 1}, "to": {"name": "x.bin"}}
        for change, name in zip(ids, "ab", strict=True)
    ]


async def test_a_stream_goes_on_after_the_last_change_received(server: LiveServer) -> None:
    project, data = await server.project_id(), [await push(server, bytes([n])) for n in range(5)]
    ids = [await _point(server, "a", datum) for datum in data]
    for last in (0, 2):
        async with (
            _connected(server) as session,
            aclosing(_events(session, _CHANGED, project=project, after=ids[last])) as events,
        ):
            found = await _first(events, 4 - last)
        assert [event["aliasChanged"]["id"] for event in found] == ids[last + 1 :]


async def test_only_the_named_aliases_are_followed(server: LiveServer) -> None:
    project, datum = await server.project_id(), await push(server, b"x")
    first = await _point(server, "first", datum)
    for name in ("other", "wanted", "another", "wanted-too"):
        await _point(server, name, datum)
    async with (
        _connected(server) as session,
        aclosing(_events(session, _CHANGED, project=project, names=["wanted", "wanted-too"], after=first)) as events,
    ):
        found = await _first(events, 2)
    assert [event["aliasChanged"]["alias"]["name"] for event in found] == ["wanted", "wanted-too"]


async def test_each_event_is_read_anew(server: LiveServer) -> None:
    project, data = await server.project_id(), [await push(server, bytes([n])) for n in range(3)]
    first = await _point(server, "a", data[0])
    async with (
        _connected(server) as session,
        aclosing(_events(session, _CHANGED, project=project, after=first)) as events,
    ):
        for version, datum in enumerate(data[1:], start=2):
            await _point(server, "a", datum)
            (event,) = await _first(events, 1)
            assert event["aliasChanged"]["alias"]["version"] == version


async def test_an_execution_is_followed_through_its_changes(server: LiveServer) -> None:
    project = await server.project_id()
    create = "mutation($i: CreateExecutionInput!) { createExecution(input: $i) { execution { id } } }"
    stop = "mutation($i: StopExecutionInput!) { stopExecution(input: $i) { execution { status } } }"
    data = await server.run(create, i={"project": project, "command": ["run"]})
    execution = data["createExecution"]["execution"]["id"]
    async with (
        _connected(server) as session,
        aclosing(_events(session, _UPDATED + " { id status } }", project=project)) as all_of_them,
        aclosing(_events(session, _UPDATED + " { id status } }", execution=execution)) as one,
    ):
        all_wait, one_waits = asyncio.ensure_future(_first(all_of_them, 2)), asyncio.ensure_future(_first(one, 1))
        await _until_listening(server, streams=2)
        await server.run(create, i={"project": project, "command": ["run"]})
        await server.run(stop, i={"execution": execution})
        assert [each["executionUpdated"]["status"] for each in await all_wait] == ["QUEUED", "STOPPED"]
        assert await one_waits == [{"executionUpdated": {"id": execution, "status": "STOPPED"}}]


async def _sse(server: LiveServer, document: str, **values: Any) -> AsyncGenerator[tuple[str, Any], None]:
    headers = {"Authorization": f"Bearer {server.token}", "Accept": "text/event-stream, application/json;q=0.5"}
    async with (
        asyncio.timeout(_SECONDS),
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{server.url}/graphql", json={"query": document, "variables": values}) as response,
    ):
        assert response.headers["Content-Type"].startswith("text/event-stream")
        event = ""
        async for line in response.content:
            name, _, value = line.decode().strip().partition(": ")
            if name == "event":
                event = value
            elif name.startswith("data"):
                yield event, json.loads(value) if value else None


async def test_streams_come_as_server_sent_events_to_those_who_like_them_best(server: LiveServer) -> None:
    project, datum = await server.project_id(), await push(server, b"x")
    first = await _point(server, "a", datum)
    second = await _point(server, "b", datum)
    async with aclosing(_sse(server, _CHANGED, project=project, after=first)) as events:
        kind, event = await anext(events)
    assert (kind, event["data"]["aliasChanged"]["id"]) == ("next", second)
    answers = [answer async for answer in _sse(server, "{ viewer { name } }")]
    assert answers == [("next", {"data": {"viewer": {"name": "admin"}}}), ("complete", None)]


async def test_what_cannot_be_followed_is_an_error_with_a_code(server: LiveServer) -> None:
    project, nobody = await server.project_id(), "00000000-0000-4000-8000-000000000000"
    for values, code in (
        ({"project": project, "after": nobody}, "NOT_FOUND"),
        ({"project": "no id"}, "NOT_FOUND"),
    ):
        async with _connected(server) as session:
            with pytest.raises(TransportQueryError) as caught:
                await _first(_events(session, _CHANGED, **values), 1)
        assert caught.value.errors
        assert caught.value.errors[0]["extensions"]["code"] == code
    async with _connected(server) as session:
        with pytest.raises(TransportQueryError, match="exactly one of project and execution"):
            await _first(_events(session, _UPDATED + " { id } }"), 1)


async def test_a_subscription_that_asks_for_json_learns_what_to_ask_for(server: LiveServer) -> None:
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {server.token}"}) as session,
        session.post(
            f"{server.url}/graphql", json={"query": "subscription { aliasChanged(project: 1) { id } }"}
        ) as got,
    ):
        assert got.status == 406
        assert "text/event-stream" in (await got.json())["errors"][0]["message"]


async def test_a_connection_needs_a_token_and_a_stream_a_project_that_the_token_sees(server: LiveServer) -> None:
    with pytest.raises(TransportConnectionFailed):
        async with _connected(server, token="wm_nothing"):
            pass
    created = await server.run(
        "mutation($i: CreateProjectInput!) { createProject(input: $i) { project { id } } }", i={"slug": "other"}
    )
    own = await server.new_token("limited", "READ", projects=[created["createProject"]["project"]["id"]])
    async with _connected(server, token=own) as session:
        with pytest.raises(TransportQueryError, match="There is no project"):
            await _first(_events(session, _CHANGED, project=await server.project_id()), 1)


async def test_revoking_a_token_ends_its_streams_and_no_others(server: LiveServer) -> None:
    project, datum = await server.project_id(), await push(server, b"x")
    secret = await server.new_token("watcher", "READ")
    first = await _point(server, "a", datum)
    async with _connected(server, token=secret) as revoked, _connected(server) as kept:
        ending = asyncio.ensure_future(_first(_events(revoked, _CHANGED, project=project, after=first), 1))
        staying = asyncio.ensure_future(_first(_events(kept, _CHANGED, project=project, after=first), 1))
        async with asyncio.timeout(_SECONDS):
            while sum("FROM alias_history WHERE id =" in statement for statement in server.statements) < 2:
                await asyncio.sleep(0.01)
        (token,) = [
            each
            for each in (await server.run("{ viewer { tokens { id name } } }"))["viewer"]["tokens"]
            if each["name"] == "watcher"
        ]
        await server.run(
            "mutation($i: RevokeTokenInput!) { revokeToken(input: $i) { token { id } } }", i={"id": token["id"]}
        )
        with pytest.raises(TransportQueryError, match="revoked"):
            await ending
        with pytest.raises(TransportQueryError, match="revoked"):
            await revoked.execute(GraphQLRequest("{ viewer { name } }"))
        await _point(server, "b", datum)
        assert await staying


async def test_queries_and_mutations_are_answered_over_websocket_too(server: LiveServer) -> None:
    project, datum = await server.project_id(), await push(server, b"x")
    async with _connected(server) as session:
        assert await session.execute(GraphQLRequest("{ viewer { name } }")) == {"viewer": {"name": "admin"}}
        values = {"i": {"project": project, "name": "a", "datum": datum}}
        assert await session.execute(GraphQLRequest(_SET, variable_values=values))
        deep = "{ projects { nodes " + "{ stores { project " * 20 + "{ id }" + "} }" * 20 + " } }"
        with pytest.raises(TransportQueryError, match="MAX_DEPTH"):
            await session.execute(GraphQLRequest(deep))


async def test_a_token_has_no_more_streams_than_the_limit(server: LiveServer) -> None:
    project = await server.project_id()
    async with _connected(server) as one, _connected(server) as other:
        most = server.settings.max_streams
        streams = [
            _events(session, _CHANGED, project=project) for session in (one, other) for _ in range(most // 2 + 1)
        ]
        waiting = [asyncio.ensure_future(_first(stream, 1)) for stream in streams]
        done, _ = await asyncio.wait(waiting, timeout=_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
        assert "WAYMARK_MAX_STREAMS" in str(done.pop().exception())
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("way", ["server-sent events", "WebSocket"])
async def test_a_client_that_takes_nothing_in_is_cut_off(
    server: LiveServer, way: str, capfd: pytest.CaptureFixture[str]
) -> None:
    project, datum = await server.project_id(), await push(server, b"x")
    first = await _point(server, "a", datum)
    async with server.pool.acquire() as connection:
        await connection.execute(
            "INSERT INTO alias_history (project_id, alias_id, version, kind, at, via, change_set_id, reason)"
            " SELECT project_id, id, n, 'MOVED', clock_timestamp() + n * interval '1 second', 'API', uuidv7(),"
            " repeat('because ', 2000) FROM alias, generate_series(2, 2000) AS n"
        )
    values = {"project": project, "after": first}
    document = _CHANGED.replace("version alias", "reason version alias")
    headers = {"Authorization": f"Bearer {server.token}", "Accept": "text/event-stream"}
    async with aiohttp.ClientSession(headers=headers) as session:
        if way == "WebSocket":
            socket = await session.ws_connect(
                f"{server.url}/graphql", protocols=["graphql-transport-ws"], autoping=False, max_msg_size=0
            )
            await socket.send_json({"type": "connection_init"})
            await socket.send_json(
                {"id": "1", "type": "subscribe", "payload": {"query": document, "variables": values}}
            )
        else:
            await session.post(f"{server.url}/graphql", json={"query": document, "variables": values})
        seen = ""
        async with asyncio.timeout(_SECONDS):
            while "cut off" not in seen:
                await asyncio.sleep(0.2)
                seen += capfd.readouterr().out
        # and the others are served
        assert await server.run("{ viewer { name } }")
