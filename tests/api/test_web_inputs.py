"""Inputs from addresses of HTTP(S): what is kept of them, and what is never shown."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import LiveServer

_RUN = """mutation($i: CreateExecutionInput!) { createExecution(input: $i) { execution { id
    inputs { name files { nodes { reference filename datum { id } alias { name } } } }
    lineage { nodes { depth } edges { kind } } } } }"""
_COPY = """mutation($i: CopyExecutionInput!) { copyExecution(input: $i) { execution { id
    inputs { name files { nodes { reference } } } } } }"""


async def _run(server: LiveServer, *references: str) -> dict[str, Any]:
    values = {
        "project": await server.project_id(),
        "command": ["run"],
        "inputs": [{"name": "data", "references": list(references)}],
    }
    execution: dict[str, Any] = (await server.run(_RUN, i=values))["createExecution"]["execution"]
    return execution


async def test_an_address_is_kept_with_its_credentials_encrypted_and_masked(server: LiveServer) -> None:
    secret = "https://us%40er:pass@example.org:8443/a/b.csv?c=d@e"
    execution = await _run(server, secret, "http://example.org/plain.csv")
    files = execution["inputs"][0]["files"]["nodes"]
    assert [file["reference"] for file in files] == [
        "https://***@example.org:8443/a/b.csv?c=d@e",
        "http://example.org/plain.csv",
    ]
    assert [(file["datum"], file["alias"]) for file in files] == [(None, None)] * 2
    assert execution["lineage"] == {"nodes": [{"depth": 0}], "edges": []}
    async with server.pool.acquire() as connection:
        kept = await connection.fetch("SELECT input.*, file.* FROM execution_input input, execution_input_file file")
        encrypted = [row["secret_url"] for row in kept]
    assert "pass@" not in str(kept)
    assert sum(text is not None for text in encrypted) == 1


@pytest.mark.parametrize("reresolve", [False, True])
async def test_a_copy_has_the_same_credentials(server: LiveServer, reresolve: bool) -> None:
    execution = await _run(server, "https://user:pass@example.org/a.csv")
    copied = await server.run(_COPY, i={"execution": execution["id"], "reresolve": reresolve})
    (made,) = copied["copyExecution"]["execution"]["inputs"]
    assert [file["reference"] for file in made["files"]["nodes"]] == ["https://***@example.org/a.csv"]
    async with server.pool.acquire() as connection:
        kept = await connection.fetch("SELECT secret_url FROM execution_input_file")
    assert len({row["secret_url"] for row in kept}) == 1
    assert kept[0]["secret_url"]


async def test_addresses_that_cannot_be_used_are_refused_without_being_shown(server: LiveServer) -> None:
    project = await server.project_id()
    for reference, reason in (
        ("https://user:pass@10.0.0.1/a", "WAYMARK_ALLOWED_NETWORKS"),
        ("https://user:pass@[::ffff:169.254.169.254]/a", "WAYMARK_ALLOWED_NETWORKS"),
        ("https://***@example.org/a", "lacks its credentials"),
        ("https://user:pass@exa mple.org/a", "no address of HTTP"),
        ("ftp://user:pass@example.org/a", "no reference to a file"),
        ("HTTPS://user:pass@example.org/a", "no reference to a file"),
    ):
        inputs = [{"name": "data", "references": [reference]}]
        error = await server.fails(_RUN, i={"project": project, "command": ["run"], "inputs": inputs})
        assert (error.code, reason in str(error), "pass" in str(error)) == ("BAD_USER_INPUT", True, False), error


async def test_an_address_is_no_file_for_an_alias_or_to_adopt(server: LiveServer) -> None:
    project, reference = await server.project_id(), "https://user:pass@example.org/a"
    set_alias = "mutation($i: SetAliasInput!) { setAlias(input: $i) { changed } }"
    adopt = "mutation($i: AdoptDatumInput!) { adoptDatum(input: $i) { created } }"
    resolve = "query($p: ID!, $r: String!) { resolve(project: $p, reference: $r) { datum { id } } }"
    for error in (
        await server.fails(set_alias, i={"project": project, "name": "a", "datum": reference}),
        await server.fails(adopt, i={"project": project, "reference": reference}),
        await server.fails(resolve, p=project, r=reference),
    ):
        assert (error.code, "pass" in str(error)) == ("BAD_USER_INPUT", False), error
