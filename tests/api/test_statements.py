"""One request, few statements: constant for lists, one for the hot mutations. Authentication is one of each count."""

from __future__ import annotations

import pytest

from tests.conftest import LiveServer

_ALIASES = """
    query($first: Int!) { project(slug: "default") { aliases(first: $first) { nodes {
        name version datum { id name size }
        history(first: 5) { nodes { version from { name } to { name } actor { name } } } } } } }
"""
_EXECUTIONS = """
    query($first: Int!) { project(slug: "default") { executions(first: $first) { nodes {
        number inputs { name files { nodes { reference aliasVersion datum { name } alias { name } } } }
        warnings { code message } } } } }
"""
_SET = "mutation($input: SetAliasInput!) { setAlias(input: $input) { alias { version } change { version } } }"
_CREATE = "mutation($input: CreateExecutionInput!) { createExecution(input: $input) { execution { number } } }"


@pytest.fixture
async def filled(server: LiveServer) -> LiveServer:
    """50 aliases with 7 changes each, and 50 executions with 3 inputs and 2 warnings each."""
    async with server.pool.acquire() as connection:
        await connection.execute(
            """
            INSERT INTO datum (project_id, store_id, object_key, name, size, checksum_evidence, origin, status)
            SELECT project.id, data_store.id, 'key-' || n, 'file-' || n, n, 'VERIFIED', 'UPLOAD', 'AVAILABLE'
            FROM project, data_store, generate_series(1, 60) AS n;

            INSERT INTO alias (project_id, name, version, datum_id)
            SELECT project.id, 'alias-' || n, 7, (SELECT id FROM datum WHERE name = 'file-' || n + 6)
            FROM project, generate_series(1, 50) AS n;

            INSERT INTO alias_history
                (project_id, alias_id, version, kind, at, from_datum_id, to_datum_id, actor_id, via, change_set_id)
            SELECT alias.project_id, alias.id, v, CASE v WHEN 1 THEN 'CREATED' ELSE 'MOVED' END,
                clock_timestamp() - interval '1 hour' + interval '1 minute' * v,
                (SELECT id FROM datum WHERE v > 1 AND name = 'file-' || split_part(alias.name, '-', 2)::int + v - 2),
                (SELECT id FROM datum WHERE name = 'file-' || split_part(alias.name, '-', 2)::int + v - 1),
                (SELECT id FROM actor), 'API', uuidv7()
            FROM alias, generate_series(1, 7) AS v;

            INSERT INTO execution (project_id, number, command, status)
            SELECT project.id, n, '{run}', 'CREATED' FROM project, generate_series(1, 50) AS n;
            UPDATE project SET last_execution_number = 50;

            INSERT INTO execution_input (project_id, execution_id, position, name, keep_directories, optional)
            SELECT execution.project_id, execution.id, n, 'input-' || n, 'NONE', false
            FROM execution, generate_series(0, 2) AS n;

            INSERT INTO execution_input_file
                (project_id, execution_id, input_id, position, reference, datum_id, alias_id, alias_version)
            SELECT input.project_id, input.execution_id, input.id, 0, 'datum://' || alias.name, alias.datum_id,
                alias.id, 7
            FROM execution_input AS input
            JOIN execution ON execution.id = input.execution_id
            JOIN alias ON alias.name = 'alias-' || execution.number;

            INSERT INTO execution_warning (project_id, execution_id, code, message)
            SELECT project_id, id, 'LOG_LIMITED', 'warning ' || n FROM execution, generate_series(1, 2) AS n;
            """
        )
    return server


async def test_any_number_of_aliases_with_datum_history_and_actors_is_seven_statements(filled: LiveServer) -> None:
    for first in (2, 50):
        data, statements = await filled.count(_ALIASES, first=first)
        aliases = data["project"]["aliases"]["nodes"]
        assert len(aliases) == first
        assert all(
            len(alias["history"]["nodes"]) == 5 and alias["history"]["nodes"][0]["from"]["name"] for alias in aliases
        )
        # token, project, aliases, their data, their history, the data from and to, the actors
        assert len(statements) == 7, statements


async def test_any_number_of_executions_with_inputs_and_warnings_is_eight_statements(filled: LiveServer) -> None:
    for first in (2, 50):
        data, statements = await filled.count(_EXECUTIONS, first=first)
        executions = data["project"]["executions"]["nodes"]
        assert len(executions) == first
        assert all(len(each["inputs"]) == 3 and len(each["warnings"]) == 2 for each in executions)
        assert all(each["inputs"][2]["files"]["nodes"][0]["alias"]["name"] for each in executions)
        # token, project, executions, inputs, warnings, files, their data, their aliases
        assert len(statements) == 8, statements


async def test_set_alias_is_one_statement_in_its_transaction_and_two_with_a_key(filled: LiveServer) -> None:
    project = await filled.project_id()
    data = await filled.run('{ project(slug: "default") { data(first: 3) { nodes { id } } } }')
    first, second, third = [node["id"] for node in data["project"]["data"]["nodes"]]
    await filled.run(_SET, input={"project": project, "name": "new", "datum": first})
    filled.statements.clear()
    await filled.run(_SET, input={"project": project, "name": "new", "datum": second})
    assert len(_inside_transaction(filled.statements)) == 1
    filled.statements.clear()
    await filled.run(_SET, input={"project": project, "name": "new", "datum": third, "idempotencyKey": "key"})
    assert len(_inside_transaction(filled.statements)) == 2


async def test_create_execution_with_ten_aliases_is_one_statement_in_its_transaction(filled: LiveServer) -> None:
    project = await filled.project_id()
    inputs = [{"name": f"input-{n}", "references": [f"datum://alias-{n}"]} for n in range(1, 11)]
    filled.statements.clear()
    data = await filled.run(_CREATE, input={"project": project, "command": ["run"], "inputs": inputs})
    assert data["createExecution"]["execution"]["number"] == 51
    assert len(_inside_transaction(filled.statements)) == 1


async def test_a_task_of_any_size_is_two_statements_and_its_counts_one(filled: LiveServer) -> None:
    project, counts = await filled.project_id(), []
    for size in (2, 300):
        values = {
            "project": project,
            "template": {
                "project": project,
                "command": ["run"],
                "inputs": [{"name": "model", "references": ["datum://alias-1"]}],
            },
            "parameterSets": [{"seed": seed} for seed in range(size)],
        }
        data, statements = await filled.count(
            "mutation($input: CreateTaskInput!) { createTask(input: $input) { task { status counts { count } } } }",
            input=values,
        )
        assert data["createTask"]["task"] == {"status": "RUNNING", "counts": [{"count": size}]}
        counts.append(len(statements))
    # authentication, the task, its executions, their counts
    assert counts == [4, 4]


async def test_setting_many_aliases_is_four_statements_however_many(filled: LiveServer) -> None:
    project = await filled.project_id()
    data = await filled.run('{ project(slug: "default") { data(first: 1) { nodes { id } } } }')
    (datum,) = [node["id"] for node in data["project"]["data"]["nodes"]]
    for count in (2, 50):
        filled.statements.clear()
        await filled.run(
            "mutation($input: SetAliasesInput!) { setAliases(input: $input) { changeSet } }",
            input={"project": project, "moves": [{"name": f"set-{count}-{n}", "datum": datum} for n in range(count)]},
        )
        assert len(_inside_transaction(filled.statements)) == 4


async def test_resolving_many_references_is_one_statement_beside_their_data(filled: LiveServer) -> None:
    data, statements = await filled.count(
        "query($project: ID!, $references: [String!]!) { resolveMany(project: $project, references: $references) {"
        " version datum { name } alias { name } } }",
        project=await filled.project_id(),
        references=[f"datum://alias-{n}" for n in range(1, 51)],
    )
    assert data["resolveMany"][49] == {"version": 7, "datum": {"name": "file-56"}, "alias": {"name": "alias-50"}}
    # token, references, their data, their aliases
    assert len(statements) == 4, statements


async def test_a_total_count_is_counted_only_when_asked_for(filled: LiveServer) -> None:
    _, without = await filled.count('{ project(slug: "default") { aliases { nodes { id } } } }')
    data, with_count = await filled.count('{ project(slug: "default") { aliases { totalCount nodes { id } } } }')
    assert data["project"]["aliases"]["totalCount"] == 50
    assert len(with_count) == len(without) + 1
    data, statements = await filled.count(
        '{ project(slug: "default") { aliases { nodes { history { totalCount } asOf(version: 3) { version } } } } }'
    )
    assert {alias["history"]["totalCount"] for alias in data["project"]["aliases"]["nodes"]} == {7}
    # token, project, aliases, their first pages, their counts, their third versions
    assert len(statements) == 6, statements


def _inside_transaction(statements: list[str]) -> list[str]:
    begin = next(place for place, each in enumerate(statements) if each.startswith("BEGIN"))
    end = next(place for place, each in enumerate(statements) if each.startswith("COMMIT"))
    return statements[begin + 1 : end]
