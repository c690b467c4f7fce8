"""`waymark data`."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import orjson
import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from app.cli.alias import At, Key, Limit, Reason, pages, resolve
from app.cli.arguments import named_values
from app.cli.session import Session, command, errors, pairs, rows
from app.client.client import ApiError
from app.errors import BadUserInputError, ChecksumMismatchError
from app.transfer.hashing import CHUNK_BYTES, Hasher, hash_file

group = typer.Typer(help="Data: immutable files.", no_args_is_help=True)

_SUMMARY = "id name size tags status createdAt aliases { name }"
_WHOLE = (
    f"{_SUMMARY} uri mediaType origin statusReason properties createdBy {{ name }} purgedAt purgeReason"
    " checksums { md5 sha1 sha256 evidence }"
)
_PART = "number offset size received method url headers { name value }"

Reference = Annotated[str, typer.Argument(help="datum://<id>, datum://<alias>, or a bare id or alias.")]
Properties = Annotated[
    list[str] | None, typer.Option("--property", help="NAME=VALUE, the value as JSON or as text; may be repeated.")
]


@command(group, "push")
async def _push(
    session: Session,
    path: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The file to send.")],
    name: Annotated[str | None, typer.Option(help="The name it shall have; the file's own if not given.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A label to find it by; may be repeated.")] = None,
    property_: Properties = None,
    alias: Annotated[str | None, typer.Option(help="An alias to point at it.")] = None,
    reason: Reason = None,
    idempotency_key: Key = None,
) -> None:
    """Send a file, verify it, and point an alias at it in the same step."""
    if alias is not None:
        await _check_alias(session, alias)
    size = path.stat().st_size
    key = idempotency_key or secrets.token_hex(16)
    data = await session.client.execute(
        "mutation($input: RequestUploadInput!) { requestUpload(input: $input) { datum { id } upload { id } } }",
        {
            "input": {
                "project": await session.project_id(),
                "name": name or path.name,
                "size": str(size),
                "mediaType": mimetypes.guess_type(path.name)[0],
                "tags": tag or [],
                "properties": named_values("--property", property_),
                "idempotencyKey": key,
            }
        },
    )
    upload = data["requestUpload"]["upload"]["id"]
    sent = False
    try:
        with _progress(session) as progress, path.open("rb") as file, Hasher() as hasher:
            task = progress.add_task(path.name, total=size)
            await _send_parts(session, upload, file, hasher, progress, task)
            if os.fstat(file.fileno()).st_size != size:
                raise BadUserInputError(f"{path} changed while it was sent; push it again.")
            digests = hasher.digests()
        sent = True
    finally:
        # unless a later retry with the same key shall go on with the same upload
        if not sent and idempotency_key is None:
            await session.client.send(
                "mutation($input: AbortUploadInput!) { abortUpload(input: $input) { datum { id } } }",
                {"input": {"upload": upload}},
            )
    done = await session.client.execute(
        f"mutation($input: CompleteUploadInput!) {{ completeUpload(input: $input) {{ datum {{ {_WHOLE} }}"
        " change { version alias { name } } } }",
        {
            "input": {
                "upload": upload,
                "md5": digests.md5,
                "sha1": digests.sha1,
                "sha256": digests.sha256,
                "alias": alias,
                "reason": reason,
                "idempotencyKey": key,
            }
        },
    )
    pushed = done["completeUpload"]
    text = f"Pushed {pushed['datum']['name']} as {pushed['datum']['uri']}"
    if pushed["change"]:
        text += f"\n{pushed['change']['alias']['name']} is now at version {pushed['change']['version']}"
    session.show(pushed, table=lambda: text)


async def _check_alias(session: Session, alias: str) -> None:
    """Has the server refuse a wrong name before any byte is sent; one that points nowhere yet is a good one."""
    try:
        await resolve(session, f"datum://{alias}")
    except ApiError as error:
        if error.code == "BAD_USER_INPUT":
            raise


async def _send_parts(
    session: Session, upload: str, file: BinaryIO, hasher: Hasher, progress: Progress, task: TaskID
) -> None:
    """Sends every part in order, hashing each byte once on its way."""
    after = None
    while True:
        data = await session.client.execute(
            f"query($id: ID!, $after: String) {{ upload(id: $id) {{ parts(first: 100, after: $after) {{"
            f" nodes {{ {_PART} }} pageInfo {{ hasNextPage endCursor }} }} }} }}",
            {"id": upload, "after": after},
        )
        if data["upload"] is None:
            raise ApiError("The upload is gone.", {"code": "NOT_FOUND"})
        parts = data["upload"]["parts"]
        for part in parts["nodes"]:
            chunks = _read(file, int(part["size"]), hasher, progress, task)
            if part["received"]:
                async for _ in chunks:
                    pass
            else:
                headers = {header["name"]: header["value"] for header in part["headers"]}
                await session.client.put(part["url"], headers, int(part["size"]), chunks)
        after = parts["pageInfo"]["endCursor"]
        if not parts["pageInfo"]["hasNextPage"]:
            return


async def _read(file: BinaryIO, size: int, hasher: Hasher, progress: Progress, task: TaskID) -> AsyncIterator[bytes]:
    def read(want: int) -> bytes:
        chunk = file.read(want)
        hasher.update(chunk)
        return chunk

    while size:
        chunk = await asyncio.to_thread(read, min(size, CHUNK_BYTES))
        if not chunk:
            raise BadUserInputError("The file became shorter while it was sent; push it again.")
        size -= len(chunk)
        yield chunk
        progress.advance(task, len(chunk))


@command(group, "pull")
async def _pull(
    session: Session,
    reference: Reference,
    to: Annotated[Path | None, typer.Option("--to", help="The file or folder to write to; here if not given.")] = None,
    at: At = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Fetch a file and verify it. A file appears under its final name only once it is whole."""
    datum = (await resolve(session, reference, at))["datum"]
    target = to or Path(datum["name"].rsplit("/", 1)[-1])
    if target.is_dir():
        target = target / datum["name"].rsplit("/", 1)[-1]
    if not force and target.is_file() and await asyncio.to_thread(_holds, target, datum):
        already = {"path": str(target), "datum": datum}
        session.show(already, table=lambda: f"{target} is that file already, verified ({datum['id']})")
        return
    if target.exists() and not force:
        raise BadUserInputError(
            f"{target} is there already, with other content; give --force to replace it, or --to another name."
        )
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with _progress(session) as progress, Hasher() as hasher, unfinished.open("xb") as file:
            task = progress.add_task(datum["name"], total=int(datum["size"]))

            def keep(chunk: bytes) -> None:
                hasher.update(chunk)
                file.write(chunk)

            async with session.client.get(datum["downloadUrl"]) as chunks:
                async for chunk in chunks:
                    await asyncio.to_thread(keep, chunk)
                    progress.advance(task, len(chunk))
            found = hasher.digests()
            for algorithm, announced in datum["checksums"].items():
                if announced not in (None, getattr(found, algorithm)):
                    raise ChecksumMismatchError(
                        f"{datum['name']}: {algorithm} is {getattr(found, algorithm)}; expected {announced}."
                    )
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        _publish(unfinished, target, force)
    finally:
        unfinished.unlink(missing_ok=True)
    session.show({"path": str(target), "datum": datum}, table=lambda: f"Pulled {target} ({datum['id']})")


def _holds(path: Path, datum: dict[str, Any]) -> bool:
    size, digests = hash_file(path)
    return size == int(datum["size"]) and digests.sha256 == datum["checksums"]["sha256"]


def _publish(unfinished: Path, target: Path, force: bool) -> None:
    if force:
        unfinished.replace(target)
        return
    try:
        target.hardlink_to(unfinished)
    except FileExistsError as error:
        raise BadUserInputError(f"{target} has appeared meanwhile; give --force to replace it.") from error


@command(group, "ls")
async def _ls(
    session: Session,
    text: Annotated[str | None, typer.Argument(help="Only those whose name or a tag contains this.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only those with this tag; may be repeated.")] = None,
    property_: Properties = None,
    status: Annotated[list[str] | None, typer.Option(help="Of this status instead of AVAILABLE.")] = None,
    limit: Limit = 50,
) -> None:
    """List the project's files, the newest first."""
    found = await pages(
        session,
        "data",
        "query($project: String!, $first: Int!, $after: String, $filter: DatumFilter) { project(slug: $project) {"
        f" data(first: $first, after: $after, filter: $filter) {{ nodes {{ {_SUMMARY} }}"
        " pageInfo { hasNextPage endCursor } } } }",
        {
            "filter": {
                "text": text,
                "tagsAll": tag,
                "properties": named_values("--property", property_) or None,
                "status": [each.upper() for each in status] if status else None,
            }
        },
        limit,
    )
    session.show(
        found,
        table=lambda: rows(
            "NAME",
            "SIZE",
            "TAGS",
            "ALIASES",
            "CREATED",
            "ID",
            of=[
                [
                    d["name"],
                    f"{int(d['size']):,}",
                    ", ".join(d["tags"]) or None,
                    ", ".join(a["name"] for a in d["aliases"]) or None,
                    d["createdAt"],
                    d["id"],
                ]
                for d in found
            ],
        ),
    )


@command(group, "show")
async def _show(session: Session, reference: Reference) -> None:
    """Show all that is known of a file."""
    datum = await _datum(session, reference)
    session.show(datum, table=lambda: _describe(datum))


@command(group, "tag")
async def _tag(
    session: Session,
    reference: Reference,
    add: Annotated[list[str] | None, typer.Option(help="A tag to add; may be repeated.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="A tag to remove; may be repeated.")] = None,
    property_: Properties = None,
    remove_property: Annotated[
        list[str] | None, typer.Option(help="The name of a property to remove; may be repeated.")
    ] = None,
) -> None:
    """Change a file's tags and properties."""
    data = await session.client.execute(
        f"mutation($input: UpdateDatumInput!) {{ updateDatum(input: $input) {{ datum {{ {_WHOLE} }} }} }}",
        {
            "input": {
                "id": (await _datum(session, reference))["id"],
                "addTags": add or [],
                "removeTags": remove or [],
                "setProperties": named_values("--property", property_),
                "removeProperties": remove_property or [],
            }
        },
    )
    datum = data["updateDatum"]["datum"]
    session.show(datum, table=lambda: _describe(datum))


@command(group, "purge")
async def _purge(
    session: Session,
    reference: Reference,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why, kept with the file's record.")],
    force: Annotated[bool, typer.Option("--force", help="Purge it even if it is in use; needs scope ADMIN.")] = False,
) -> None:
    """Give up a file's bytes for ever. Its record, history and lineage stay."""
    data = await session.client.execute(
        f"mutation($input: PurgeDatumInput!) {{ purgeDatum(input: $input) {{ datum {{ {_WHOLE} }} }} }}",
        {"input": {"id": (await _datum(session, reference))["id"], "reason": reason, "force": force}},
    )
    datum = data["purgeDatum"]["datum"]
    session.show(datum, table=lambda: f"Purged {datum['name']} ({datum['id']})")


async def _datum(session: Session, reference: str) -> dict[str, Any]:
    """The file behind a reference, also one that cannot be used any more if it is named by its id."""
    name = reference.removeprefix("datum://")
    found = await session.client.execute(f"query($id: ID!) {{ datum(id: $id) {{ {_WHOLE} }} }}", {"id": name})
    if found["datum"] is None:
        name = (await resolve(session, reference))["datum"]["id"]
        found = await session.client.execute(f"query($id: ID!) {{ datum(id: $id) {{ {_WHOLE} }} }}", {"id": name})
    datum: dict[str, Any] = found["datum"]
    return datum


def _describe(datum: dict[str, Any]) -> Any:
    return pairs(
        {
            "name": datum["name"],
            "uri": datum["uri"],
            "size": f"{int(datum['size']):,} bytes",
            "media type": datum["mediaType"],
            "status": datum["status"] + (f": {datum['statusReason']}" if datum["statusReason"] else ""),
            "md5": datum["checksums"]["md5"],
            "sha1": datum["checksums"]["sha1"],
            "sha256": datum["checksums"]["sha256"],
            "tags": ", ".join(datum["tags"]) or None,
            "properties": orjson.dumps(datum["properties"]).decode() if datum["properties"] else None,
            "aliases": ", ".join(alias["name"] for alias in datum["aliases"]) or None,
            "created": datum["createdAt"],
            "by": datum["createdBy"] and datum["createdBy"]["name"],
            "purged": datum["purgedAt"] and f"{datum['purgedAt']}: {datum['purgeReason']}",
        }
    )


def _progress(session: Session) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=errors,
        disable=not session.progress_wanted,
        transient=True,
    )
