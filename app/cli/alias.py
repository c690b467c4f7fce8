"""`waymark alias`."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Annotated, Any

import typer

from app.cli.session import Session, command, errors, pairs, rows
from app.client.client import ApiError, UnreachableError

group = typer.Typer(help="Aliases: mutable names for immutable files, and their history.", no_args_is_help=True)

ALIAS = "id name uri version updatedAt deletedAt datum { id name size }"
CHANGE = (
    "version kind at via reason rolledBackTo changeSet from { id name } to { id name } actor { name }"
    " execution { id number }"
)

_PAUSE_SECONDS = 1

Name = Annotated[str, typer.Argument(help="The alias's name.")]
Reason = Annotated[str | None, typer.Option("--reason", "-m", help="Why, kept with the change.")]
ExpectVersion = Annotated[
    int | None, typer.Option("--expect-version", help="Change only if the alias is at this version; 0: never existed.")
]
Key = Annotated[str | None, typer.Option("--idempotency-key", help="Makes a retry with the same key safe.")]
At = Annotated[str | None, typer.Option("--at", help="Then instead of now, such as 2026-03-15T12:00:00Z.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")]


@command(group, "list")
async def _list(
    session: Session,
    contains: Annotated[str | None, typer.Option(help="Only names that contain this.")] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Deleted ones too.")] = False,
    limit: Limit = 100,
) -> None:
    """List the project's aliases."""
    found = await pages(
        session,
        "aliases",
        f"query($project: String!, $first: Int!, $after: String, $filter: AliasFilter) {{ project(slug: $project) {{"
        f" aliases(first: $first, after: $after, filter: $filter) {{ nodes {{ {ALIAS} }}"
        " pageInfo { hasNextPage endCursor } } } }",
        {"filter": {"includeDeleted": deleted, "name": {"contains": contains} if contains else None}},
        limit,
    )
    session.show(
        found,
        table=lambda: rows(
            "NAME",
            "VERSION",
            "FILE",
            "DATUM",
            "UPDATED",
            of=[[a["name"], a["version"], *(_file(a["datum"])), a["updatedAt"]] for a in found],
        ),
    )


@command(group, "get")
async def _get(session: Session, name: Name) -> None:
    """Show what an alias points at."""
    data = await session.client.execute(
        "query($project: String!, $name: String!) { project(slug: $project) { alias(name: $name, includeDeleted: true)"
        f" {{ {ALIAS} }} }} }}",
        {"project": session.project, "name": name},
    )
    alias = (data["project"] or {}).get("alias")
    if alias is None:
        raise ApiError(f"There is no alias {name!r} in project {session.project!r}.", {"code": "NOT_FOUND"})
    session.show(alias, table=lambda: _describe(alias))


@command(group, "set")
async def _set(
    session: Session,
    name: Name,
    datum: Annotated[str, typer.Argument(help="The file: an id, datum://<id> or datum://<alias>.")],
    reason: Reason = None,
    expect_version: ExpectVersion = None,
    idempotency_key: Key = None,
) -> None:
    """Point an alias at a file, making the alias if need be."""
    await _change(
        session,
        "setAlias",
        {
            "name": name,
            "datum": datum,
            "reason": reason,
            "expectedVersion": expect_version,
            "idempotencyKey": idempotency_key,
        },
    )


@command(group, "rollback")
async def _rollback(
    session: Session,
    name: Name,
    to_version: Annotated[
        int | None, typer.Option("--to-version", help="The version to return to; without it, the one before.")
    ] = None,
    reason: Reason = None,
    expect_version: ExpectVersion = None,
    idempotency_key: Key = None,
) -> None:
    """Point an alias back at the file of an earlier version. Repeated, it goes further back."""
    await _change(
        session,
        "rollbackAlias",
        {
            "name": name,
            "toVersion": to_version,
            "reason": reason,
            "expectedVersion": expect_version,
            "idempotencyKey": idempotency_key,
        },
    )


@command(group, "delete")
async def _delete(
    session: Session,
    name: Name,
    reason: Reason = None,
    expect_version: ExpectVersion = None,
    idempotency_key: Key = None,
) -> None:
    """Make an alias point nowhere. Its history stays, and setting or rolling it back revives it."""
    await _change(
        session,
        "deleteAlias",
        {"name": name, "reason": reason, "expectedVersion": expect_version, "idempotencyKey": idempotency_key},
    )


@command(group, "history")
async def _history(session: Session, name: Name, limit: Limit = 50) -> None:
    """Show an alias's changes, the newest first."""
    found = await pages(
        session,
        "alias.history",
        "query($project: String!, $name: String!, $first: Int!, $after: String) { project(slug: $project) {"
        " alias(name: $name, includeDeleted: true) { history(first: $first, after: $after)"
        f" {{ nodes {{ {CHANGE} }} pageInfo {{ hasNextPage endCursor }} }} }} }} }}",
        {"name": name},
        limit,
    )
    session.show(
        found,
        table=lambda: rows(
            "VERSION",
            "AT",
            "KIND",
            "FROM",
            "TO",
            "BY",
            "VIA",
            "REASON",
            of=[
                [
                    c["version"],
                    c["at"],
                    c["kind"] + (f" to {c['rolledBackTo']}" if c["rolledBackTo"] else ""),
                    c["from"] and c["from"]["name"],
                    c["to"] and c["to"]["name"],
                    c["actor"] and c["actor"]["name"],
                    _way(c),
                    c["reason"],
                ]
                for c in found
            ],
        ),
    )


@command(group, "watch")
async def _watch(
    session: Session,
    names: Annotated[list[str] | None, typer.Argument(help="Only these aliases.")] = None,
    after: Annotated[str | None, typer.Option(help="Begin after this change (its id), not now.")] = None,
) -> None:
    """Print changes of aliases as they are made, until interrupted; a server that restarts is waited for.

    With --output json each line is one change.
    """
    project = await session.project_id()
    while True:
        changes = session.client.subscribe(
            "subscription($project: ID!, $names: [String!], $after: ID) {"
            f" aliasChanged(project: $project, names: $names, after: $after) {{ id alias {{ name }} {CHANGE} }} }}",
            {"project": project, "names": names or None, "after": after},
        )
        try:
            async with aclosing(changes):
                async for event in changes:
                    change = event["aliasChanged"]
                    after = change["id"]
                    session.line(change, text=_sentence(change))
        except UnreachableError as error:
            # before the first change there is no place to go on from
            if after is None:
                raise
            errors.print(f"{error} Trying again.", style="dim")
            await asyncio.sleep(_PAUSE_SECONDS)


def _sentence(change: dict[str, Any]) -> str:
    ways = [f"{side['name']} ({side['id']})" if side else "nowhere" for side in (change["from"], change["to"])]
    by = change["actor"]["name"] if change["actor"] else "nobody"
    why = f": {change['reason']}" if change["reason"] else ""
    return (
        f"{change['at']} {change['alias']['name']} version {change['version']} {change['kind']} {' → '.join(ways)}"
        f" by {by} via {_way(change)}{why}"
    )


def _way(change: dict[str, Any]) -> str:
    return f"execution {change['execution']['number']}" if change["execution"] else str(change["via"])


@command(group, "resolve")
async def _resolve(
    session: Session,
    reference: Annotated[str, typer.Argument(help="datum://<id>, datum://<alias>, or an alias's bare name.")],
    at: At = None,
) -> None:
    """Show which file a reference means, now or at an instant."""
    resolution = await resolve(session, reference, at)
    session.show(
        resolution,
        table=lambda: pairs(
            {
                "reference": resolution["reference"],
                "file": resolution["datum"]["name"],
                "datum": resolution["datum"]["id"],
                "size": f"{int(resolution['datum']['size']):,} bytes",
                "sha256": resolution["datum"]["checksums"]["sha256"],
                "alias version": resolution["version"],
            }
        ),
    )


async def resolve(session: Session, reference: str, at: str | None = None) -> dict[str, Any]:
    """What a reference means; a bare name is an alias's or an id."""
    data = await session.client.execute(
        "query($project: ID!, $reference: String!, $at: DateTime) { resolve(project: $project, reference: $reference,"
        " at: $at) { reference version alias { name } datum { id name size mediaType status tags properties createdAt"
        " downloadUrl checksums { md5 sha1 sha256 } } } }",
        {
            "project": await session.project_id(),
            "reference": reference if "://" in reference else f"datum://{reference}",
            "at": at,
        },
    )
    found: dict[str, Any] = data["resolve"]
    return found


async def pages(session: Session, path: str, query: str, variables: dict[str, Any], limit: int) -> list[dict[str, Any]]:
    """Up to `limit` nodes of a connection below the project, page by page."""
    found: list[dict[str, Any]] = []
    after = None
    while len(found) < limit:
        page = {"first": min(500, limit - len(found)), "after": after}
        data = await session.client.execute(query, {"project": session.project, **variables, **page})
        if (connection := data["project"]) is None:
            raise ApiError(f"There is no project {session.project!r}.", {"code": "NOT_FOUND"})
        for name in path.split("."):
            if (connection := connection[name]) is None:
                raise ApiError(f"There is no such {name} in project {session.project!r}.", {"code": "NOT_FOUND"})
        found += connection["nodes"]
        after = connection["pageInfo"]["endCursor"]
        if not connection["pageInfo"]["hasNextPage"]:
            break
    return found


async def _change(session: Session, mutation: str, values: dict[str, Any]) -> None:
    kind = mutation[0].upper() + mutation[1:] + "Input"
    data = await session.client.execute(
        f"mutation($input: {kind}!) {{ {mutation}(input: $input) {{ changed alias {{ {ALIAS} }}"
        f" change {{ {CHANGE} }} }} }}",
        {"input": {"project": await session.project_id(), **values}},
    )
    outcome = data[mutation]
    alias = outcome["alias"]
    state = "is now at" if outcome["changed"] else "is unchanged at"
    points = f"points at {alias['datum']['name']} ({alias['datum']['id']})" if alias["datum"] else "points nowhere"
    session.show(outcome, table=lambda: f"{alias['name']} {state} version {alias['version']} and {points}")


def _file(datum: dict[str, Any] | None) -> list[Any]:
    return [datum["name"], datum["id"]] if datum else [None, None]


def _describe(alias: dict[str, Any]) -> Any:
    name, datum = _file(alias["datum"])
    return pairs(
        {
            "name": alias["name"],
            "version": alias["version"],
            "file": name or "(points nowhere)",
            "datum": datum,
            "updated": alias["updatedAt"],
            "deleted": alias["deletedAt"],
        }
    )
