"""`waymark task`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from app.cli.alias import Key, Limit, pages
from app.cli.arguments import named_values
from app.cli.execution import (
    CommandLines,
    ConfigFile,
    Environment,
    Image,
    Inputs,
    Parameters,
    Secrets,
    Step,
    Tags,
    Title,
    missing,
    new_execution,
)
from app.cli.session import Session, command, pairs, rows
from app.errors import BadUserInputError

group = typer.Typer(help="Tasks: executions made together, one for each set of parameters.", no_args_is_help=True)

_SUMMARY = "id number title status createdAt createdBy { name } counts { status count }"

Number = Annotated[int, typer.Argument(min=1, help="The task's number in the project.")]


@command(group, "create")
async def _create(
    session: Session,
    command_lines: CommandLines = None,
    config: ConfigFile = None,
    task: Annotated[
        str | None, typer.Option(help="A task that the config declares, which says the step and the sets.")
    ] = None,
    step: Step = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE,NAME=VALUE: the parameters of one execution; repeat for more."),
    ] = None,
    sets: Annotated[
        str | None,
        typer.Option(help="A file with a JSON list of objects, one for each execution; - is standard input."),
    ] = None,
    inputs: Inputs = None,
    param: Parameters = None,
    environment: Environment = None,
    secret: Secrets = None,
    image: Image = None,
    tag: Tags = None,
    title: Title = None,
    max_concurrent: Annotated[int | None, typer.Option(min=1, help="How many executions may run at once.")] = None,
    stop_on_error: Annotated[
        bool, typer.Option("--stop-on-error", help="Stop the others when one execution fails.")
    ] = False,
    idempotency_key: Key = None,
) -> None:
    """Create one execution for each set of parameters, all pinned to the same files."""
    parameter_sets: list[Any] = [named_values("--set", text.split(",")) for text in set_ or []]
    parameter_sets += await _read_sets(sets) if sets else []
    data = await session.client.execute(
        f"mutation($input: CreateTaskInput!) {{ createTask(input: $input) {{ task {{ {_SUMMARY} }} }} }}",
        {
            "input": {
                "project": await session.project_id(),
                "title": title,
                "template": await new_execution(
                    session, command_lines, config, step, inputs, param, environment, secret, image, tag
                ),
                "task": task,
                "parameterSets": parameter_sets,
                "maxConcurrent": max_concurrent,
                "onChildError": "STOP_ALL" if stop_on_error else "CONTINUE",
                "idempotencyKey": idempotency_key,
            }
        },
    )
    _show(session, data["createTask"]["task"])


@command(group, "list")
async def _list(session: Session, limit: Limit = 50) -> None:
    """List the project's tasks, the newest first."""
    found = await pages(
        session,
        "tasks",
        "query($project: String!, $first: Int!, $after: String) { project(slug: $project) {"
        f" tasks(first: $first, after: $after) {{ nodes {{ {_SUMMARY} }} pageInfo {{ hasNextPage endCursor }} }} }} }}",
        {},
        limit,
    )
    session.show(
        found,
        table=lambda: rows(
            "NUMBER",
            "STATUS",
            "EXECUTIONS",
            "TITLE",
            "CREATED",
            of=[[each["number"], each["status"], _counts(each), each["title"], each["createdAt"]] for each in found],
        ),
    )


@command(group, "show")
async def _show_one(session: Session, number: Number) -> None:
    """Show a task and how far its executions are; `waymark execution list --task NUMBER` lists them."""
    data = await session.client.execute(
        "query($project: String!, $number: Int!) { project(slug: $project) { task(number: $number)"
        f" {{ {_SUMMARY} maxConcurrent onChildError executions(first: 1) {{ totalCount }} }} }} }}",
        {"project": session.project, "number": number},
    )
    task = (data["project"] or {}).get("task")
    if task is None:
        raise missing(session, "task", number)
    _show(session, task)


async def _read_sets(name: str) -> list[Any]:
    text = sys.stdin.read() if name == "-" else await asyncio.to_thread(Path(name).read_text)
    try:
        sets = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadUserInputError(f"--sets {name} is no JSON: {error}.") from error
    if not isinstance(sets, list):
        raise BadUserInputError(f'--sets {name} is no JSON list; expected one such as [{{"lr": 0.1}}, {{"lr": 0.2}}].')
    return sets


def _counts(task: dict[str, Any]) -> str:
    return ", ".join(f"{each['count']} {each['status']}" for each in task["counts"])


def _show(session: Session, task: dict[str, Any]) -> None:
    session.show(
        task,
        table=lambda: pairs(
            {
                "number": task["number"],
                "title": task["title"],
                "status": task["status"],
                "executions": _counts(task),
                "at most at once": task.get("maxConcurrent"),
                "created": task["createdAt"],
                "by": task["createdBy"] and task["createdBy"]["name"],
            }
        ),
    )
