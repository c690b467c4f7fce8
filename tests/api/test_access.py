"""Nobody gets in: tokens, scopes and projects, asked for in one place."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from graphql import GraphQLInputObjectType, GraphQLNonNull, GraphQLObjectType, is_list_type, is_non_null_type

from app.api.schema import make_schema
from app.settings import DocumentLimits
from tests.api.given import push
from tests.conftest import LiveServer

_NOBODY = "01980000-0000-7000-8000-000000000000"
_TOKEN = "mutation($input: CreateTokenInput!) { createToken(input: $input) { secret token { id } } }"
_SET = "mutation($input: SetAliasInput!) { setAlias(input: $input) { alias { id } change { id } } }"


def _mutations() -> dict[str, Any]:
    mutation = make_schema(DocumentLimits())._schema.mutation_type
    assert isinstance(mutation, GraphQLObjectType)
    return dict(mutation.fields)


def _sample(kind: Any, field: str, ids: dict[str, str]) -> Any:
    """A valid value of an input type; ids are those of the other tenant."""
    if is_non_null_type(kind):
        kind = kind.of_type
    if is_list_type(kind):
        return [_sample(kind.of_type, field, ids)]
    if isinstance(kind, GraphQLInputObjectType):
        return {
            name: _sample(each.type, name, ids)
            for name, each in kind.fields.items()
            if (isinstance(each.type, GraphQLNonNull) and each.default_value in (None, Ellipsis)) or name == "moves"
        }
    if kind.name == "ID":
        return ids.get(field, ids["datum"])
    samples = {"Int": 1, "BigInt": "1", "Boolean": True, "JSON": {}, "Scope": "READ", "KeepDirectories": "NONE"}
    samples |= {"DateTime": "2026-03-15T12:00:00Z", "LogStream": "STDOUT"}
    if kind.name in samples:
        return samples[kind.name]
    return {"datum": ids["datum"], "references": f"datum://{ids['datum']}"}.get(field, "name")


def _document(name: str) -> str:
    input_type = _mutations()[name].args["input"].type
    return f"mutation($input: {input_type}) {{ {name}(input: $input) {{ __typename }} }}"


def _input(name: str, ids: dict[str, str]) -> Any:
    values = _sample(_mutations()[name].args["input"].type, "input", ids)
    if name == "createExecution":
        values["command"] = ["run"]
    if name in ("revokeToken",):
        values["id"] = ids["token"]
    if name in ("updateDataStore", "checkDataStore"):
        values["id"] = ids["store"]
    return values


@pytest.fixture
async def ids(server: LiveServer) -> dict[str, str]:
    """One of everything, in a project called 'first'."""
    project = (await server.run('mutation { createProject(input: {slug: "first"}) { project { id } } }'))[
        "createProject"
    ]["project"]["id"]
    datum = await push(server, b"secret", project=project, name="secret.bin", tags=["secret"])
    alias = (await server.run(_SET, input={"project": project, "name": "secret", "datum": datum}))["setAlias"]
    execution = (
        await server.run(
            "mutation($i: CreateExecutionInput!) { createExecution(input: $i) { execution { id } } }",
            i={"project": project, "command": ["run"], "inputs": [{"name": "a", "references": ["datum://secret"]}]},
        )
    )["createExecution"]["execution"]["id"]
    upload = (
        await server.run(
            "mutation($i: RequestUploadInput!) { requestUpload(input: $i) { upload { id } } }",
            i={"project": project, "name": "x", "size": 1},
        )
    )["requestUpload"]["upload"]["id"]
    folder = server.settings.local_store_roots[0] / "first"
    folder.mkdir(parents=True)
    store = await server.run(
        "mutation($i: CreateDataStoreInput!) { createDataStore(input: $i) { store { id } } }",
        i={"project": project, "name": "theirs", "local": {"path": str(folder)}},
    )
    token = await server.run(_TOKEN, input={"name": "theirs", "scopes": ["READ"], "projects": [project]})
    return {
        "project": project,
        "datum": datum,
        "alias": alias["alias"]["id"],
        "change": alias["change"]["id"],
        "execution": execution,
        "upload": upload,
        "store": store["createDataStore"]["store"]["id"],
        "token": token["createToken"]["token"]["id"],
    }


async def test_without_a_valid_token_there_is_nothing_not_even_the_schema(server: LiveServer) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic YTpi"}):
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{server.url}/graphql", json={"query": "{ __typename }"}, headers=headers) as response,
        ):
            assert response.status == 401
            assert (await response.json())["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("name", sorted(_mutations()))
async def test_no_mutation_works_with_a_token_that_only_reads(
    server: LiveServer, ids: dict[str, str], name: str
) -> None:
    reader = await server.new_token("reader", "READ")
    error = await server.fails(_document(name), reader, input=_input(name, ids))
    assert error.code == "FORBIDDEN", error.message


@pytest.mark.parametrize("name", ["createProject", "createToken", "revokeToken"])
async def test_managing_needs_scope_admin(server: LiveServer, ids: dict[str, str], name: str) -> None:
    writer = await server.new_token("writer", "WRITE", "EXECUTE")
    assert (await server.fails(_document(name), writer, input=_input(name, ids))).code == "FORBIDDEN"


@pytest.fixture
async def stranger(server: LiveServer, ids: dict[str, str]) -> str:
    """A token with every scope, in another project."""
    data = await server.run('mutation { createProject(input: {slug: "second"}) { project { id } } }')
    return await server.new_token("stranger", "ADMIN", projects=[data["createProject"]["project"]["id"]])


def _told(error: Any, own: str) -> tuple[str, str]:
    return error.code, error.message.replace(own, "ID")


@pytest.mark.parametrize("name", sorted(set(_mutations()) - {"createProject", "claimExecution"}))
async def test_a_mutation_of_a_stranger_cannot_tell_what_exists_from_what_never_did(
    server: LiveServer, ids: dict[str, str], stranger: str, name: str
) -> None:
    nothing = dict.fromkeys(ids, _NOBODY)
    if name == "createToken":
        there = await server.fails(
            _TOKEN, stranger, input={"name": "x", "scopes": ["READ"], "projects": [ids["project"]]}
        )
        nowhere = await server.fails(_TOKEN, stranger, input={"name": "x", "scopes": ["READ"], "projects": [_NOBODY]})
        assert _told(there, ids["project"]) == _told(nowhere, _NOBODY)
        return
    there = await server.fails(_document(name), stranger, input=_input(name, ids))
    nowhere = await server.fails(_document(name), stranger, input=_input(name, nothing))
    own = next(value for value in ids.values() if value in there.message)
    assert there.code == "NOT_FOUND"
    assert _told(there, own) == _told(nowhere, _NOBODY)


async def test_a_query_of_a_stranger_finds_nothing_by_any_id(
    server: LiveServer, ids: dict[str, str], stranger: str
) -> None:
    for kind in ("project", "datum", "execution", "upload"):
        data = await server.run(f"query($id: ID!) {{ {kind}(id: $id) {{ id }} }}", stranger, id=ids[kind])
        assert data[kind] is None
    for key in ids.values():
        assert (await server.run("query($id: ID!) { node(id: $id) { id } }", stranger, id=key))["node"] is None
    assert (await server.run('{ project(slug: "first") { id } }', stranger))["project"] is None
    data = await server.run(
        "{ projects { totalCount nodes { slug } } viewer { projects { totalCount } tokens { name } } }", stranger
    )
    assert data["projects"] == {"totalCount": 1, "nodes": [{"slug": "second"}]}
    assert data["viewer"]["projects"]["totalCount"] == 1
    assert [token["name"] for token in data["viewer"]["tokens"]] == ["stranger"]


async def test_a_stranger_cannot_use_the_files_of_another_project_in_its_own(
    server: LiveServer, ids: dict[str, str], stranger: str
) -> None:
    own = (await server.run("{ projects { nodes { id } } }", stranger))["projects"]["nodes"][0]["id"]
    there = await server.fails(_SET, stranger, input={"project": own, "name": "a", "datum": ids["datum"]})
    nowhere = await server.fails(_SET, stranger, input={"project": own, "name": "a", "datum": _NOBODY})
    assert (
        _told(there, ids["datum"]) == _told(nowhere, _NOBODY) == ("NOT_FOUND", "There is no datum ID in this project.")
    )
    create = "mutation($i: CreateExecutionInput!) { createExecution(input: $i) { execution { id } } }"
    for reference in (f"datum://{ids['datum']}", "datum://secret"):
        error = await server.fails(
            create,
            stranger,
            i={"project": own, "command": ["x"], "inputs": [{"name": "a", "references": [reference]}]},
        )
        assert error.code == "NOT_FOUND"
    resolve = "query($p: ID!, $r: String!) { resolve(project: $p, reference: $r) { version } }"
    assert (await server.fails(resolve, stranger, p=own, r=f"datum://{ids['datum']}")).code == "NOT_FOUND"
    assert (await server.fails(resolve, stranger, p=ids["project"], r="datum://secret")).code == "NOT_FOUND"


async def test_a_token_can_do_no_more_than_its_creator(server: LiveServer, ids: dict[str, str], stranger: str) -> None:
    error = await server.fails(_document("createProject"), stranger, input={"slug": "third"})
    assert error.code == "FORBIDDEN"
    made = (await server.run(_TOKEN, stranger, input={"name": "child", "scopes": ["ADMIN"]}))["createToken"]["secret"]
    data = await server.run("{ projects { nodes { slug } } }", made)
    assert data["projects"]["nodes"] == [{"slug": "second"}]


async def test_a_revoked_token_works_no_more_and_its_secret_is_nowhere(server: LiveServer) -> None:
    made = (await server.run(_TOKEN, input={"name": "brief", "scopes": ["READ"]}))["createToken"]
    await server.run("{ viewer { name } }", made["secret"])
    revoke = "mutation($i: RevokeTokenInput!) { revokeToken(input: $i) { token { id } } }"
    await server.run(revoke, i={"id": made["token"]["id"]})
    assert (await server.fails("{ viewer { name } }", made["secret"])).code == "UNAUTHENTICATED"
    async with server.pool.acquire() as connection:
        kept = await connection.fetchval("SELECT string_agg(t::text, ' ') FROM token AS t")
    assert made["secret"] not in kept


async def test_an_expired_token_works_no_more(server: LiveServer) -> None:
    made = await server.new_token("brief", "READ")
    async with server.pool.acquire() as connection:
        await connection.execute("UPDATE token SET expires_at = clock_timestamp() WHERE name = 'brief'")
    assert (await server.fails("{ viewer { name } }", made)).code == "UNAUTHENTICATED"


async def test_tokens_of_one_name_are_one_actor(server: LiveServer) -> None:
    first, second = await server.new_token("pipeline", "READ"), await server.new_token("pipeline", "WRITE")
    actors = [(await server.run("{ viewer { id name } }", token))["viewer"] for token in (first, second)]
    assert actors[0] == actors[1]
    assert actors[0]["name"] == "pipeline"


async def test_a_forced_purge_needs_scope_admin(server: LiveServer, ids: dict[str, str]) -> None:
    writer = await server.new_token("writer", "WRITE")
    purge = "mutation($i: PurgeDatumInput!) { purgeDatum(input: $i) { datum { id } } }"
    error = await server.fails(purge, writer, i={"id": ids["datum"], "reason": "x", "force": True})
    assert error.code == "FORBIDDEN"


async def test_secret_variables_never_come_back(server: LiveServer) -> None:
    data = await server.run(
        "mutation($i: CreateExecutionInput!) { createExecution(input: $i) { execution { environment"
        " { name value secret } } } }",
        i={
            "project": await server.project_id(),
            "command": ["run"],
            "environment": [{"name": "A", "value": "shown"}, {"name": "B", "value": "hidden", "secret": True}],
        },
    )
    assert data["createExecution"]["execution"]["environment"] == [
        {"name": "A", "value": "shown", "secret": False},
        {"name": "B", "value": None, "secret": True},
    ]
