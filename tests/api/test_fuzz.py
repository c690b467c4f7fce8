"""Schemathesis makes up documents for every operation of the schema; none may end in an unexpected error."""

from __future__ import annotations

import asyncio
import random
import re
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
import requests
import schemathesis
from graphql import parse_value
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok

from tests.api.given import push
from tests.conftest import LiveServer

_JSON = ["null", "true", "-3", "0.5", '"text"', "[]", "[1, [2]]", "{}", '{lr: 0.1, nested: {deep: [null, "x"]}}']
schemathesis.graphql.scalar("JSON", st.sampled_from([parse_value(text) for text in _JSON]))

_ARGUMENT = re.compile(r'\b(project|datum|execution|usesDatum|id|reference): "[^"]*"')


def _aim(query: str, ids: Mapping[str, str]) -> str:
    """Lets half of the made-up ids be real ones, so that documents get past the first look-up."""

    def real(match: re.Match[str]) -> str:
        name = match.group(1)
        wanted = ids.get(name) or random.choice(sorted(ids.values()))
        return f'{name}: "{wanted}"' if random.random() < 0.5 else match.group(0)

    return _ARGUMENT.sub(real, query)


def _fuzz(server: LiveServer, ids: Mapping[str, str], examples: int) -> Counter[str]:
    """Sends every document; returns how often each code came back."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {server.token}"
    schema = schemathesis.graphql.from_url(f"{server.url}/graphql", headers=dict(session.headers))
    codes: Counter[str] = Counter()

    def send(query: str) -> None:
        response = session.post(
            f"{server.url}/graphql",
            data=orjson.dumps({"query": _aim(query, ids)}),
            headers={"Content-Type": "application/json"},
        )
        answer = response.json()
        assert response.status_code < 500, (query, answer)
        for error in answer.get("errors") or ():
            code = error.get("extensions", {}).get("code", "document")
            assert code != "INTERNAL", (query, error)
            codes[code] += 1
        codes["sent"] += 1

    for operation in schema.get_all_operations():
        assert isinstance(operation, Ok), operation
        case = operation.ok().as_strategy()

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=case)
        def check(case: Any) -> None:
            try:
                send(case.body if isinstance(case.body, str) else case.body["query"])
            except TypeError:
                # text that is no Unicode, such as lone surrogates, cannot be sent as JSON
                return

        check()
    session.close()
    return codes


@pytest.mark.filterwarnings("ignore")  # those of the libraries that make the documents up
async def test_no_made_up_document_ends_in_an_unexpected_error(server: LiveServer, pytestconfig: pytest.Config) -> None:
    project = await server.project_id()
    datum = await push(server, b"x")
    await server.run(
        "mutation($i: SetAliasInput!) { setAlias(input: $i) { changed } }",
        i={"project": project, "name": "a", "datum": datum},
    )
    created = await server.run(
        "mutation($i: CreateExecutionInput!) { createExecution(input: $i) { execution { id } } }",
        i={"project": project, "command": ["run"], "inputs": [{"name": "a", "references": ["datum://a"]}]},
    )
    ids = {
        "project": project,
        "datum": datum,
        "usesDatum": datum,
        "execution": created["createExecution"]["execution"]["id"],
        "reference": "datum://a",
    }
    examples = int(pytestconfig.getoption("fuzz_examples"))
    codes = await asyncio.to_thread(_fuzz, server, ids, examples)
    sys.stdout.write(f"{dict(codes)}\n")
    assert codes["sent"] >= 20 * examples
