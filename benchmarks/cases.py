"""What is measured: each case is a GraphQL document, its variables for a number, and how pgbench varies the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.data import ALIASES, BLOCK, CHAIN, PROJECTS, UPLOADS, identity

_DATUM = "id name size"


@dataclass(frozen=True)
class Case:
    name: str
    document: str
    #: For a number (an alias's or execution's, within a project's block) and another one from 0 to 8.
    variables: Callable[[int, int], dict[str, Any]]
    #: From what numbers of a block, so that what belongs to them is in the same project.
    numbers: range = range(1, BLOCK - 60)
    #: Values that vary with the second number, for pgbench, which has it as `:k`.
    varying: Callable[[int, int], dict[Any, tuple[str, str]]] = lambda n, k: {}


def project(number: int) -> str:
    return str(identity("project", (number - 1) // BLOCK % PROJECTS + 1))


def _target(number: int, other: int) -> int:
    return number + ALIASES * other


def _varying_target(number: int, other: int) -> dict[Any, tuple[str, str]]:
    return {identity("datum", _target(number, other)): ("datum", f":n + {ALIASES} * :k")}


def _move(name: Callable[[int], str]) -> Callable[[int, int], dict[str, Any]]:
    return lambda n, k: {"i": {"project": project(n), "name": name(n), "datum": str(identity("datum", _target(n, k)))}}


_SET = "mutation($i: SetAliasInput!) { setAlias(input: $i) { changed alias { version } change { id version at } } }"
_FIRST = range(1, 2)

CASES = [
    Case(
        "resolve",
        f"query($p: ID!, $r: String!) {{ resolve(project: $p, reference: $r) {{ version datum {{ {_DATUM} }} }} }}",
        lambda n, k: {"p": project(n), "r": f"datum://alias-{n}"},
    ),
    Case(
        "50 aliases, datum",
        f"query($p: ID!, $names: [String!]) {{ project(id: $p) {{ aliases(filter: {{ name: {{ in: $names }} }}) {{"
        f" nodes {{ name version datum {{ {_DATUM} }} }} }} }} }}",
        lambda n, k: {"p": project(n), "names": [f"alias-{n + i}" for i in range(50)]},
    ),
    Case(
        "alias, 50 changes",
        "query($p: ID!, $name: String!) { project(id: $p) { alias(name: $name) { history(first: 50) { nodes {"
        " version kind at reason from { id name } to { id name } } } } } }",
        lambda n, k: {"p": project(n), "name": f"alias-{n}"},
    ),
    Case(
        "execution, in and out",
        "query($id: ID!) { execution(id: $id) { number title status parameters inputs { name files { nodes {"
        f" reference aliasVersion datum {{ {_DATUM} }} }} }} }} outputs {{ nodes {{ {_DATUM} }} }} }} }}",
        lambda n, k: {"id": str(identity("execution", n))},
    ),
    Case(
        "lineage, 10 deep",
        "query($id: ID!) { execution(id: $id) { lineage(direction: UPSTREAM, depth: 10) { truncated"
        " nodes { depth subject { ... on Datum { id name } ... on Execution { id number } } }"
        " edges { from to kind inputName } } } }",
        lambda n, k: {"id": str(identity("execution", n))},
        numbers=range(CHAIN, BLOCK, CHAIN),
    ),
    Case("setAlias, spread", _SET, _move(lambda n: f"alias-{n}"), varying=_varying_target),
    Case("setAlias, one alias", _SET, _move(lambda n: "alias-1"), numbers=_FIRST, varying=_varying_target),
    Case(
        "createExecution",
        "mutation($i: CreateExecutionInput!) { createExecution(input: $i) { execution { id number } } }",
        lambda n, k: {
            "i": {
                "project": project(n),
                "command": ["python train.py"],
                "inputs": [{"name": f"input-{i}", "references": [f"datum://alias-{n + i}"]} for i in range(10)],
            }
        },
    ),
]

assert UPLOADS >= ALIASES * 9
