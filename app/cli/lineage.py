"""`waymark lineage`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import orjson
import typer
from rich.markup import escape
from rich.tree import Tree

from app.cli.alias import resolve
from app.cli.session import Session, command, console
from app.client.client import ApiError

group = typer.Typer(help="Lineage: what a file or run came from, and what came of it.", no_args_is_help=True)

_LINEAGE = (
    "lineage(direction: $direction, depth: $depth, maxNodes: $maxNodes) { truncated"
    " nodes { depth subject { __typename ... on Datum { id name status } ... on Execution { id number title"
    " executionStatus: status } } }"
    " edges { from to kind inputName reference aliasVersion } }"
)
_VARIABLES = "$direction: LineageDirection!, $depth: Int!, $maxNodes: Int!"


class Form(StrEnum):
    TREE = "tree"
    JSON = "json"
    DOT = "dot"


Subject = Annotated[
    str, typer.Argument(help="A file (datum://<id>, datum://<alias>, a bare id or alias), or an execution's number.")
]
Depth = Annotated[int, typer.Option(min=0, help="How many edges far.")]
MaxNodes = Annotated[int, typer.Option(min=1, help="How many files and executions at most.")]
FormOption = Annotated[Form, typer.Option("--output", "-o", help="A tree for people, JSON, or a graph for Graphviz.")]


@command(group, "up")
async def _up(
    session: Session, subject: Subject, depth: Depth = 5, max_nodes: MaxNodes = 500, output: FormOption = Form.TREE
) -> None:
    """Show what a file or execution came from."""
    await _show(session, subject, "UPSTREAM", depth, max_nodes, output)


@command(group, "down")
async def _down(
    session: Session, subject: Subject, depth: Depth = 5, max_nodes: MaxNodes = 500, output: FormOption = Form.TREE
) -> None:
    """Show what came of a file or execution."""
    await _show(session, subject, "DOWNSTREAM", depth, max_nodes, output)


async def _show(session: Session, subject: str, direction: str, depth: int, max_nodes: int, output: Form) -> None:
    root, found = await _fetch(session, subject, {"direction": direction, "depth": depth, "maxNodes": max_nodes})
    if output is Form.JSON:
        session.show(found, table=str)
    elif output is Form.DOT:
        typer.echo(_dot(found))
    else:
        console.print(_tree(root, found, direction))
        if found["truncated"]:
            console.print("There is more: raise --depth or --max-nodes.")


async def _fetch(session: Session, subject: str, variables: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The id of where the walk begins, and the lineage."""
    if subject.isdecimal():
        data = await session.client.execute(
            f"query($project: String!, $number: Int!, {_VARIABLES}) {{ project(slug: $project) {{"
            f" execution(number: $number) {{ id {_LINEAGE} }} }} }}",
            {"project": session.project, "number": int(subject), **variables},
        )
        found = (data["project"] or {}).get("execution")
        if found is None:
            raise ApiError(f"There is no execution {subject} in project {session.project!r}.", {"code": "NOT_FOUND"})
    else:
        datum = (await resolve(session, subject))["datum"]
        data = await session.client.execute(
            f"query($id: ID!, {_VARIABLES}) {{ datum(id: $id) {{ id {_LINEAGE} }} }}", {"id": datum["id"], **variables}
        )
        found = data["datum"]
    return found["id"], found["lineage"]


def _label(subject: dict[str, Any]) -> str:
    if subject["__typename"] == "Datum":
        gone = "" if subject["status"] == "AVAILABLE" else f" ({subject['status']})"
        return f"{subject['name']}{gone}"
    title = f" {subject['title']}" if subject["title"] else ""
    return f"execution {subject['number']}{title} ({subject['executionStatus']})"


def _tree(root: str, found: dict[str, Any], direction: str) -> Tree:
    """Each node once, below the first path that leads to it; later paths only name it."""
    subjects = {node["subject"]["id"]: node["subject"] for node in found["nodes"]}
    here, there = ("from", "to") if direction == "DOWNSTREAM" else ("to", "from")
    next_of: dict[str, list[dict[str, Any]]] = {}
    for edge in found["edges"]:
        next_of.setdefault(edge[here], []).append(edge)
    tree = Tree(escape(_label(subjects[root])))
    shown = {root}
    level = [(root, tree)]
    while level:
        following = []
        for key, branch in level:
            for edge in next_of.get(key, []):
                way = f"[dim]{escape(edge['inputName'])}:[/dim] " if edge["inputName"] else ""
                label = way + escape(_label(subjects[edge[there]]))
                if edge[there] in shown:
                    branch.add(f"{label} [dim](shown above)[/dim]")
                else:
                    shown.add(edge[there])
                    following.append((edge[there], branch.add(label)))
        level = following
    return tree


def _dot(found: dict[str, Any]) -> str:
    def quoted(text: str) -> str:
        return orjson.dumps(text).decode()

    lines = ["digraph lineage {", "  rankdir=LR;"]
    for node in found["nodes"]:
        subject = node["subject"]
        shape = "note" if subject["__typename"] == "Datum" else "box"
        lines.append(f"  {quoted(subject['id'])} [label={quoted(_label(subject))}, shape={shape}];")
    for edge in found["edges"]:
        label = f" [label={quoted(edge['inputName'])}]" if edge["inputName"] else ""
        lines.append(f"  {quoted(edge['from'])} -> {quoted(edge['to'])}{label};")
    return "\n".join([*lines, "}"])
