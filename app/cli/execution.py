"""`waymark execution`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from app.cli.alias import Key, Limit, pages
from app.cli.arguments import named, named_values
from app.cli.session import Session, command, errors, pairs, rows
from app.client.client import ApiError, UnreachableError
from app.errors import BadUserInputError

group = typer.Typer(help="Executions: runs whose inputs are pinned to exact files.", no_args_is_help=True)

_SUMMARY = "id number title step status createdAt createdBy { name }"
_LINE = "sequence at stream message"
_PAUSE_SECONDS = 1.0
_WHOLE = (
    f"{_SUMMARY} image command parameters tags priority timeLimit finishedAt copyOf {{ number }}"
    " environment { name value secret } warnings { code message at }"
    " inputs { name files(first: 500) { totalCount nodes { reference aliasVersion filename"
    " datum { id name size checksums { sha256 } } } } }"
)

Number = Annotated[int, typer.Argument(min=1, help="The execution's number in the project.")]
Inputs = Annotated[
    list[str] | None,
    typer.Option("--input", "-i", help="NAME=REFERENCE, such as model=datum://model-prod; repeat for more files."),
]
Parameters = Annotated[
    list[str] | None, typer.Option("--param", help="NAME=VALUE, the value as JSON or as text; may be repeated.")
]
Title = Annotated[str | None, typer.Option(help="A title for people.")]


CommandLines = Annotated[list[str] | None, typer.Option("--command", "-c", help="What to run; repeat for more lines.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", exists=True, dir_okay=False, help="A valohai.yaml, which has the step.")
]
Step = Annotated[str | None, typer.Option(help="The step of --config to run, where it has several.")]
Environment = Annotated[
    list[str] | None, typer.Option("--env", help="NAME=VALUE that the command sees; may be repeated.")
]
Secrets = Annotated[
    list[str] | None, typer.Option("--secret", help="NAME=VALUE, kept encrypted and never shown; may be repeated.")
]
Image = Annotated[str | None, typer.Option(help="The container image to run it in.")]
Tags = Annotated[list[str] | None, typer.Option(help="A label to find it by; may be repeated.")]


@command(group, "create")
async def _create(
    session: Session,
    command_lines: CommandLines = None,
    config: ConfigFile = None,
    step: Step = None,
    inputs: Inputs = None,
    param: Parameters = None,
    environment: Environment = None,
    secret: Secrets = None,
    image: Image = None,
    tag: Tags = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Only a worker that has this label takes it; may be repeated.")
    ] = None,
    priority: Annotated[int, typer.Option(help="Higher ones are taken first.")] = 0,
    time_limit: Annotated[int | None, typer.Option(min=1, help="Seconds that it may run.")] = None,
    title: Title = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Print its log until it ends; fail if it does not complete.")
    ] = False,
    idempotency_key: Key = None,
) -> None:
    """Create an execution; what its references mean now is what it uses."""
    spec = await new_execution(session, command_lines, config, step, inputs, param, environment, secret, image, tag)
    data = await session.client.execute(
        f"mutation($input: CreateExecutionInput!) {{ createExecution(input: $input) {{ execution {{ {_WHOLE} }} }} }}",
        {
            "input": {
                **spec,
                "title": title,
                "labels": label or [],
                "priority": priority,
                "timeLimit": time_limit,
                "idempotencyKey": idempotency_key,
            }
        },
    )
    execution = data["createExecution"]["execution"]
    _show(session, execution)
    if follow:
        await _follow(session, execution["id"], 0)
        await _require_completed(session, execution["id"])


async def new_execution(
    session: Session,
    command_lines: list[str] | None,
    config: Path | None,
    step: str | None,
    inputs: list[str] | None,
    param: list[str] | None,
    environment: list[str] | None,
    secret: list[str] | None,
    image: str | None,
    tag: list[str] | None,
) -> dict[str, Any]:
    """A CreateExecutionInput from options."""
    if not command_lines and config is None:
        raise BadUserInputError("Say what to run: --command, or --config with --step.")
    return {
        "project": await session.project_id(),
        "config": None if config is None else await asyncio.to_thread(config.read_text),
        "step": step,
        "command": command_lines or [],
        "inputs": _inputs(inputs),
        "parameters": named_values("--param", param),
        "environment": [
            {"name": name, "value": value, "secret": hidden}
            for option, texts, hidden in (("--env", environment, False), ("--secret", secret, True))
            for name, value in named(option, texts)
        ],
        "image": image,
        "tags": tag or [],
    }


@command(group, "list")
async def _list(
    session: Session,
    status: Annotated[list[str] | None, typer.Option(help="Only of this status; may be repeated.")] = None,
    uses: Annotated[str | None, typer.Option(help="Only those that have this file (an id) as an input.")] = None,
    task: Annotated[int | None, typer.Option(min=1, help="Only those of this task, by its number.")] = None,
    limit: Limit = 50,
) -> None:
    """List the project's executions, the newest first."""
    wanted = {
        "status": [each.upper() for each in status] if status else None,
        "usesDatum": uses,
        "task": None if task is None else await _id_of(session, "task", task),
    }
    found = await pages(
        session,
        "executions",
        "query($project: String!, $first: Int!, $after: String, $filter: ExecutionFilter) { project(slug: $project) {"
        f" executions(first: $first, after: $after, filter: $filter) {{ nodes {{ {_SUMMARY} }}"
        " pageInfo { hasNextPage endCursor } } } }",
        {"filter": wanted},
        limit,
    )
    session.show(
        found,
        table=lambda: rows(
            "NUMBER",
            "STATUS",
            "TITLE",
            "CREATED",
            "BY",
            of=[
                [e["number"], e["status"], e["title"], e["createdAt"], e["createdBy"] and e["createdBy"]["name"]]
                for e in found
            ],
        ),
    )


@command(group, "show")
async def _show_one(session: Session, number: Number) -> None:
    """Show an execution, each input as written and the exact file it is pinned to."""
    data = await session.client.execute(
        "query($project: String!, $number: Int!) { project(slug: $project) { execution(number: $number)"
        f" {{ {_WHOLE} }} }} }}",
        {"project": session.project, "number": number},
    )
    execution = (data["project"] or {}).get("execution")
    if execution is None:
        raise missing(session, "execution", number)
    _show(session, execution)


@command(group, "logs")
async def _logs(
    session: Session,
    number: Number,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the execution has ended.")] = False,
    after: Annotated[int, typer.Option(min=0, help="Only lines after the one of this number.")] = 0,
) -> None:
    """Print an execution's log. With --output json each line is one line of the log."""
    execution = await _id_of(session, "execution", number)
    if follow:
        await _follow(session, execution, after)
        return
    async for line in _all_of(session, execution, "logs", _LINE):
        if line["sequence"] > after:
            session.line(line, text=_in_words(line))


@command(group, "metadata")
async def _metadata(
    session: Session,
    number: Number,
    key: Annotated[list[str] | None, typer.Option(help="Only what has this key; may be repeated.")] = None,
) -> None:
    """Print what an execution's command said of itself: the JSON objects on its stdout, each with its time."""
    execution = await _id_of(session, "execution", number)
    async for point in _all_of(session, execution, "metadata", "sequence at values", key):
        session.line(point, text=f"{_time_of(point)} {json.dumps(point['values'], ensure_ascii=False)}")


async def _all_of(
    session: Session, execution: str, name: str, fields: str, keys: list[str] | None = None
) -> AsyncIterator[dict[str, Any]]:
    """All nodes of one of an execution's connections, a page at a time."""
    signature, arguments = ("", "") if keys is None else (", $keys: [String!]", ", keys: $keys")
    cursor, more = None, True
    while more:
        data = await session.client.execute(
            f"query($id: ID!, $after: String{signature}) {{ execution(id: $id) {{"
            f" {name}(first: 500, after: $after{arguments}) {{"
            f" nodes {{ {fields} }} pageInfo {{ hasNextPage endCursor }} }} }} }}",
            {"id": execution, "after": cursor, **({} if keys is None else {"keys": keys})},
        )
        page = data["execution"][name]
        for node in page["nodes"]:
            yield node
        more, cursor = page["pageInfo"]["hasNextPage"], page["pageInfo"]["endCursor"]


async def _follow(session: Session, execution: str, after: int) -> None:
    """Prints lines as they are written; a server that goes away is waited for."""
    while True:
        lines = session.client.subscribe(
            f"subscription($id: ID!, $after: Int!) {{ logAdded(execution: $id, after: $after) {{ {_LINE} }} }}",
            {"id": execution, "after": after},
        )
        try:
            async with aclosing(lines):
                async for event in lines:
                    after = event["logAdded"]["sequence"]
                    session.line(event["logAdded"], text=_in_words(event["logAdded"]))
            return
        except UnreachableError as error:
            errors.print(f"{error} Trying again.", style="dim")
            await asyncio.sleep(_PAUSE_SECONDS)


def _in_words(line: dict[str, Any]) -> str:
    return f"{_time_of(line)} {line['message']}"


def _time_of(node: dict[str, Any]) -> str:
    return str(node["at"])[11:19]


async def _require_completed(session: Session, execution: str) -> None:
    data = await session.client.execute(
        "query($id: ID!) { execution(id: $id) { number status exitCode warnings { code message } } }",
        {"id": execution},
    )
    ended = data["execution"]
    for warning in ended["warnings"]:
        errors.print(f"{warning['code']}: {warning['message']}", style="yellow")
    if ended["status"] != "COMPLETE":
        code = "" if ended["exitCode"] is None else f"; its command returned {ended['exitCode']}"
        raise ApiError(f"Execution {ended['number']} ended in {ended['status']}{code}.", {"code": "WRONG_STATE"})


@command(group, "copy")
async def _copy(
    session: Session,
    number: Number,
    reresolve: Annotated[
        bool, typer.Option("--reresolve", help="Take the files that the references mean now.")
    ] = False,
    inputs: Inputs = None,
    param: Parameters = None,
    title: Title = None,
    idempotency_key: Key = None,
) -> None:
    """Create a copy of an execution, with the same files unless asked otherwise."""
    data = await session.client.execute(
        f"mutation($input: CopyExecutionInput!) {{ copyExecution(input: $input) {{ execution {{ {_WHOLE} }} }} }}",
        {
            "input": {
                "execution": await _id_of(session, "execution", number),
                "title": title,
                "reresolve": reresolve,
                "inputs": _inputs(inputs),
                "parameters": named_values("--param", param),
                "idempotencyKey": idempotency_key,
            }
        },
    )
    _show(session, data["copyExecution"]["execution"])


@command(group, "stop")
async def _stop(session: Session, number: Number) -> None:
    """Stop an execution."""
    data = await session.client.execute(
        f"mutation($input: StopExecutionInput!) {{ stopExecution(input: $input) {{ execution {{ {_SUMMARY} }} }} }}",
        {"input": {"execution": await _id_of(session, "execution", number)}},
    )
    execution = data["stopExecution"]["execution"]
    session.show(execution, table=lambda: f"Execution {execution['number']} is {execution['status']}")


async def _id_of(session: Session, noun: str, number: int) -> str:
    data = await session.client.execute(
        f"query($project: String!, $number: Int!) {{ project(slug: $project) {{ {noun}(number: $number) {{ id }} }} }}",
        {"project": session.project, "number": number},
    )
    found = (data["project"] or {}).get(noun)
    if found is None:
        raise missing(session, noun, number)
    return str(found["id"])


def missing(session: Session, noun: str, number: int) -> ApiError:
    return ApiError(f"There is no {noun} {number} in project {session.project!r}.", {"code": "NOT_FOUND"})


def _inputs(texts: list[str] | None) -> list[dict[str, Any]]:
    found: dict[str, list[str]] = {}
    for name, reference in named("--input", texts):
        found.setdefault(name, []).append(reference)
    return [{"name": name, "references": references} for name, references in found.items()]


def _show(session: Session, execution: dict[str, Any]) -> None:
    def table() -> Any:
        fields: dict[str, Any] = {
            "number": execution["number"],
            "title": execution["title"],
            "status": execution["status"],
            "command": "\n".join(execution["command"]),
            "image": execution["image"],
            "created": execution["createdAt"],
            "by": execution["createdBy"] and execution["createdBy"]["name"],
            "copy of": execution["copyOf"] and execution["copyOf"]["number"],
            "parameters": orjson.dumps(execution["parameters"]).decode() if execution["parameters"] else None,
        }
        for given in execution["inputs"]:
            for file in given["files"]["nodes"]:
                version = f" (version {file['aliasVersion']})" if file["aliasVersion"] else ""
                datum = file["datum"]
                fields.setdefault(f"input {given['name']}", "")
                fields[f"input {given['name']}"] += (
                    f"{file['reference']}{version} → {datum['name']} {datum['id']}\n"
                    if datum
                    else f"{file['reference']}\n"
                )
        for warning in execution["warnings"]:
            fields[f"warning {warning['code']}"] = warning["message"]
        return pairs({name: value.strip() if isinstance(value, str) else value for name, value in fields.items()})

    session.show(execution, table=table)
