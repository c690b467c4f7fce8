"""The graph can be walked from everything to everything, under every filter."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.given import push
from tests.conftest import LiveServer

_CHANGE = "version kind at from { name } to { name } actor { name } via reason changeSet rolledBackTo alias { name }"


@pytest.fixture
async def ids(server: LiveServer) -> dict[str, str]:
    """An alias 'model' at old, then new, then rolled back; one execution that took new through it, and a copy."""
    project = await server.project_id()
    old = await push(server, b"old", name="old.bin")
    new = await push(server, b"new", name="new.bin")
    set_alias = "mutation($i: SetAliasInput!) { setAlias(input: $i) { alias { id } change { id changeSet } } }"
    await server.run(set_alias, i={"project": project, "name": "model", "datum": old, "reason": "first"})
    moved = (await server.run(set_alias, i={"project": project, "name": "model", "datum": f"datum://{new}"}))[
        "setAlias"
    ]
    created = await server.run(
        "mutation($i: CreateExecutionInput!) { createExecution(input: $i) { execution { id } } }",
        i={
            "project": project,
            "command": ["run"],
            "tags": ["nightly"],
            "inputs": [{"name": "m", "references": ["datum://model", f"datum://{old}"]}],
        },
    )
    execution = created["createExecution"]["execution"]["id"]
    copied = await server.run(
        "mutation($i: CopyExecutionInput!) { copyExecution(input: $i) { execution { id } } }",
        i={"execution": execution},
    )
    async with server.client(via="CLI") as client:
        await client.execute(
            "mutation($i: RollbackAliasInput!) { rollbackAlias(input: $i) { changed } }",
            {"i": {"project": project, "name": "model"}},
        )
    return {
        "project": project,
        "old": old,
        "new": new,
        "alias": moved["alias"]["id"],
        "change": moved["change"]["id"],
        "changeSet": moved["change"]["changeSet"],
        "execution": execution,
        "copy": copied["copyExecution"]["execution"]["id"],
    }


async def test_everything_is_a_node_by_its_id(server: LiveServer, ids: dict[str, str]) -> None:
    expected = {
        "project": "Project",
        "old": "Datum",
        "alias": "Alias",
        "change": "AliasHistory",
        "execution": "Execution",
    }
    for key, kind in expected.items():
        data = await server.run("query($id: ID!) { node(id: $id) { __typename id } }", id=ids[key])
        assert data["node"] == {"__typename": kind, "id": ids[key]}
    store = (
        await server.run('{ project(slug: "default") { defaultStore { id name kind isDefault project { id } } } }')
    )["project"]["defaultStore"]
    assert (store["kind"], store["isDefault"], store["project"]) == ("LOCAL", True, None)
    assert (await server.run("query($id: ID!) { node(id: $id) { id } }", id=store["id"]))["node"]["id"] == store["id"]
    assert (await server.run('{ node(id: "no id") { id } }'))["node"] is None


async def test_a_datum_knows_its_aliases_history_and_users(server: LiveServer, ids: dict[str, str]) -> None:
    data = await server.run(
        "query($id: ID!) { datum(id: $id) { uri project { slug } store { name } storageUri createdBy { name }"
        f" aliases {{ name }} aliasHistory {{ totalCount nodes {{ {_CHANGE} }} }} usedBy {{ totalCount nodes"
        " { number copyOf { number } } } producedBy { number } } }",
        id=ids["old"],
    )
    datum = data["datum"]
    assert datum["uri"] == f"datum://{ids['old']}"
    assert [alias["name"] for alias in datum["aliases"]] == ["model"]
    assert [(each["version"], each["kind"], each["via"]) for each in datum["aliasHistory"]["nodes"]] == [
        (3, "ROLLED_BACK", "CLI"),
        (2, "MOVED", "API"),
        (1, "CREATED", "API"),
    ]
    assert datum["aliasHistory"]["totalCount"] == 3
    assert datum["usedBy"] == {
        "totalCount": 2,
        "nodes": [{"number": 2, "copyOf": {"number": 1}}, {"number": 1, "copyOf": None}],
    }


async def test_an_alias_tells_which_executions_took_which_file_through_it(
    server: LiveServer, ids: dict[str, str]
) -> None:
    query = """query($p: ID!, $datum: ID) { project(id: $p) { alias(name: "model") {
        usedBy(datum: $datum) { nodes { number } } } } }"""
    for datum, numbers in ((None, [2, 1]), (ids["new"], [2, 1]), ("no id", [])):
        data = await server.run(query, p=ids["project"], datum=datum)
        assert [each["number"] for each in data["project"]["alias"]["usedBy"]["nodes"]] == numbers
    # the old file was an input too, but not through the alias; both executions took both files
    data = await server.run(query, p=ids["project"], datum=ids["old"])
    assert data["project"]["alias"]["usedBy"]["nodes"] == []


async def test_as_of_takes_an_instant_or_a_version(server: LiveServer, ids: dict[str, str]) -> None:
    query = """query($p: ID!, $at: DateTime, $v: Int) { project(id: $p) { alias(name: "model") {
        asOf(at: $at, version: $v) { version at to { name } rolledBackTo } } } }"""
    data = await server.run(query, p=ids["project"], v=2)
    second = data["project"]["alias"]["asOf"]
    assert (second["version"], second["to"]["name"]) == (2, "new.bin")
    data = await server.run(query, p=ids["project"], at=second["at"])
    assert data["project"]["alias"]["asOf"] == second
    data = await server.run(query, p=ids["project"], at="2001-01-01T00:00:00+01:00")
    assert data["project"]["alias"]["asOf"] is None
    assert (await server.run(query, p=ids["project"], v=9))["project"]["alias"]["asOf"] is None
    for wrong in ({}, {"v": 1, "at": second["at"]}, {"at": "2100-01-01T00:00:00Z"}):
        assert (await server.fails(query, p=ids["project"], **wrong)).code == "BAD_USER_INPUT"


async def test_a_projects_history_is_filtered_by_everything_a_change_has(
    server: LiveServer, ids: dict[str, str]
) -> None:
    actor = (await server.run("{ viewer { id } }"))["viewer"]["id"]

    async def versions(**filter_: Any) -> list[int]:
        data = await server.run(
            'query($f: AliasHistoryFilter) { project(slug: "default") { aliasHistory(filter: $f) { totalCount nodes'
            " { version } } } }",
            f=filter_,
        )
        found = data["project"]["aliasHistory"]
        assert found["totalCount"] == len(found["nodes"])
        return [each["version"] for each in found["nodes"]]

    assert await versions() == [3, 2, 1]
    assert await versions(kinds=["CREATED", "MOVED"]) == [2, 1]
    assert await versions(via=["CLI"]) == [3]
    assert await versions(actor=actor) == [3, 2, 1]
    assert await versions(actor="nobody") == []
    assert await versions(datum=ids["new"]) == [3, 2]
    assert await versions(changeSet=ids["changeSet"]) == [2]
    assert await versions(execution=ids["execution"]) == []
    assert await versions(at={"lt": "2001-01-01T00:00:00Z"}) == []
    assert await versions(at={"gte": "2001-01-01T00:00:00Z"}) == [3, 2, 1]


async def test_aliases_are_filtered_and_ordered(server: LiveServer, ids: dict[str, str]) -> None:
    project = ids["project"]
    for name in ("Zebra", "apple"):
        await server.run(
            "mutation($i: SetAliasInput!) { setAlias(input: $i) { changed } }",
            i={"project": project, "name": name, "datum": ids["new"]},
        )
    await server.run(
        "mutation($i: DeleteAliasInput!) { deleteAlias(input: $i) { changed } }",
        i={"project": project, "name": "apple"},
    )

    async def names(filter_: Any = None, order: Any = None) -> list[str]:
        data = await server.run(
            'query($f: AliasFilter, $o: AliasOrder) { project(slug: "default") { aliases(filter: $f, orderBy: $o)'
            " { nodes { name } } } }",
            f=filter_,
            o=order,
        )
        return [each["name"] for each in data["project"]["aliases"]["nodes"]]

    assert await names() == ["Zebra", "model"]
    assert await names({"includeDeleted": True}) == ["Zebra", "apple", "model"]
    assert await names({"datum": ids["new"]}) == ["Zebra"]
    assert await names({"name": {"startsWith": "mo"}}) == ["model"]
    assert await names(None, {"field": "UPDATED_AT", "direction": "DESC"}) == ["Zebra", "model"]
    alias = 'project(slug: "default") { alias(name: "apple") { name } }'
    assert (await server.run(f"{{ {alias} }}"))["project"]["alias"] is None
    deleted = alias.replace('"apple"', '"apple", includeDeleted: true')
    assert (await server.run(f"{{ {deleted} }}"))["project"]["alias"] == {"name": "apple"}


async def test_executions_are_filtered_by_what_they_use_and_say(server: LiveServer, ids: dict[str, str]) -> None:
    async with server.pool.acquire() as connection:
        await connection.execute(
            "INSERT INTO execution_warning (project_id, execution_id, code, message, before) VALUES ($1, $2,"
            ' \'INPUT_CHANGED\', \'it changed\', \'{"md5": "aa", "evidence": "VERIFIED"}\')',
            ids["project"],
            ids["copy"],
        )

    async def numbers(**filter_: Any) -> list[int]:
        data = await server.run(
            'query($f: ExecutionFilter) { project(slug: "default") { executions(filter: $f) { totalCount nodes'
            " { number warnings { code before { md5 evidence } after { md5 } } } } } }",
            f=filter_,
        )
        return [each["number"] for each in data["project"]["executions"]["nodes"]]

    assert await numbers() == [2, 1]
    assert await numbers(usesDatum=ids["old"]) == [2, 1]
    assert await numbers(usesAlias=ids["alias"]) == [2, 1]
    assert await numbers(usesDatum="nothing") == []
    assert await numbers(tagsAll=["nightly"]) == [2, 1]
    assert await numbers(hasWarnings=True) == [2]
    assert await numbers(hasWarnings=False) == [1]
    assert await numbers(status=["STOPPED"]) == []
    await server.run(
        "mutation($i: StopExecutionInput!) { stopExecution(input: $i) { execution { status } } }",
        i={"execution": ids["execution"]},
    )
    assert await numbers(status=["STOPPED"]) == [1]


async def test_what_an_execution_made_is_found_from_both_ends(server: LiveServer, ids: dict[str, str]) -> None:
    async with server.pool.acquire() as connection:
        await connection.execute(
            "UPDATE datum SET produced_by = $1, origin = 'EXECUTION' WHERE id = $2", ids["execution"], ids["new"]
        )
    data = await server.run(
        "query($e: ID!, $d: ID!) { execution(id: $e) { outputs { totalCount nodes { name } } aliasHistory { version } }"
        " datum(id: $d) { producedBy { number } } }",
        e=ids["execution"],
        d=ids["new"],
    )
    assert data["execution"] == {"outputs": {"totalCount": 1, "nodes": [{"name": "new.bin"}]}, "aliasHistory": []}
    assert data["datum"]["producedBy"] == {"number": 1}


async def test_a_reader_sees_an_upload_but_not_where_to_send_it(server: LiveServer, ids: dict[str, str]) -> None:
    data = await server.run(
        "mutation($i: RequestUploadInput!) { requestUpload(input: $i) { upload { id } } }",
        i={"project": ids["project"], "name": "x", "size": 1},
    )
    upload = data["requestUpload"]["upload"]["id"]
    reader = await server.new_token("reader", "READ")
    query = "query($id: ID!) { upload(id: $id) { expiresAt datum { name } } }"
    assert (await server.run(query, reader, id=upload))["upload"]["datum"]["name"] == "x"
    error = await server.fails("query($id: ID!) { upload(id: $id) { parts { nodes { url } } } }", reader, id=upload)
    assert error.code == "FORBIDDEN"


async def test_what_a_bad_file_broke_is_one_query(server: LiveServer, ids: dict[str, str]) -> None:
    async with server.pool.acquire() as connection:
        await connection.execute(
            "INSERT INTO datum (project_id, store_id, object_key, name, size, checksum_evidence, origin, status,"
            " produced_by) SELECT $1, id, 'out', 'predictions.csv', 1, 'VERIFIED', 'EXECUTION', 'AVAILABLE', $2"
            " FROM data_store",
            ids["project"],
            ids["execution"],
        )
    query = """query($p: ID!, $bad: ID!) { project(id: $p) { alias(name: "model") { usedBy(datum: $bad) { nodes {
        number lineage(direction: DOWNSTREAM, maxNodes: 50) { truncated nodes { depth subject {
            ... on Datum { name } ... on Execution { number } } } edges { kind } } } } } } }"""
    data, statements = await server.count(query, p=ids["project"], bad=ids["new"])
    copy, original = data["project"]["alias"]["usedBy"]["nodes"]
    assert original["lineage"] == {
        "truncated": False,
        "nodes": [{"depth": 0, "subject": {"number": 1}}, {"depth": 1, "subject": {"name": "predictions.csv"}}],
        "edges": [{"kind": "OUTPUT"}],
    }
    assert [node["depth"] for node in copy["lineage"]["nodes"]] == [0]
    # token, project, alias, executions, two levels for both, their executions, their data
    assert len(statements) == 8, statements


async def test_a_task_is_found_with_its_executions_and_they_with_it(server: LiveServer, ids: dict[str, str]) -> None:
    project = await server.project_id()
    create = "mutation($input: CreateTaskInput!) { createTask(input: $input) { task { id number } } }"
    template = {"project": project, "command": ["train"]}
    values: dict[str, Any] = {"project": project, "template": template, "parameterSets": [{"n": n} for n in range(3)]}
    task = (await server.run(create, input={**values, "idempotencyKey": "once"}))["createTask"]["task"]
    assert (await server.run(create, input={**values, "idempotencyKey": "once"}))["createTask"]["task"] == task
    found = await server.run(
        """query($id: ID!, $number: Int!) {
            task(id: $id) {
                project { slug } createdBy { name } maxConcurrent onChildError
                executions(first: 2) { nodes { parameters task { id } } totalCount }
            }
            project(slug: "default") {
                task(number: $number) { id } tasks { nodes { id } }
                executions(filter: { task: $id }) { totalCount }
            }
        }""",
        id=task["id"],
        number=task["number"],
    )
    assert found["task"] == {
        "project": {"slug": "default"},
        "createdBy": {"name": "admin"},
        "maxConcurrent": None,
        "onChildError": "CONTINUE",
        "executions": {
            "nodes": [{"parameters": {"n": n}, "task": {"id": task["id"]}} for n in range(2)],
            "totalCount": 3,
        },
    }
    assert found["project"] == {
        "task": {"id": task["id"]},
        "tasks": {"nodes": [{"id": task["id"]}]},
        "executions": {"totalCount": 3},
    }
    own_key = {**values, "template": {**template, "idempotencyKey": "k"}}
    assert "template.idempotencyKey" in (await server.fails(create, input=own_key)).message
    elsewhere = {**values, "template": {**template, "project": ids["old"]}}
    assert "another project" in (await server.fails(create, input=elsewhere)).message
