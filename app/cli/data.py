"""`waymark data`."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

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
from app.cli.store import store_id
from app.client.client import ApiError, UnreachableError
from app.client.transfers import patiently, send_parts
from app.errors import AppError, BadUserInputError, ChecksumMismatchError
from app.settings import state_dir
from app.transfer.hashing import Hasher, hash_file

group = typer.Typer(help="Data: immutable files.", no_args_is_help=True)

_SUMMARY = "id name size tags status createdAt aliases { name }"
_WHOLE = (
    f"{_SUMMARY} uri mediaType origin statusReason properties createdBy {{ name }} purgedAt purgeReason"
    " checksums { md5 sha1 sha256 evidence } store { name } storageUri"
)
_FILES_AT_ONCE = 8
Item = TypeVar("Item")
Done = TypeVar("Done")

Reference = Annotated[str, typer.Argument(help="datum://<id>, datum://<alias>, or a bare id or alias.")]
References = Annotated[
    list[str], typer.Argument(help="datum://<id>, datum://<alias>, or a bare id or alias; may be several.")
]
Properties = Annotated[
    list[str] | None, typer.Option("--property", help="NAME=VALUE, the value as JSON or as text; may be repeated.")
]


@command(group, "push")
async def _push(
    session: Session,
    paths: Annotated[
        list[Path], typer.Argument(exists=True, readable=True, help="The files to send, or folders of them.")
    ],
    name: Annotated[str | None, typer.Option(help="The name it shall have; the file's own if not given.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A label to find it by; may be repeated.")] = None,
    property_: Properties = None,
    alias: Annotated[str | None, typer.Option(help="An alias to point at it.")] = None,
    reason: Reason = None,
    store: Annotated[str | None, typer.Option(help="The store's name; the default one if not given.")] = None,
    idempotency_key: Key = None,
) -> None:
    """Send files, verify them, and point an alias at one in the same step.

    A push that was interrupted goes on where it was when the same file is pushed again. What is in a folder is named
    with the folders in it.
    """
    files = await asyncio.to_thread(_files, paths)
    if len(files) != 1 and (name or alias or idempotency_key):
        raise BadUserInputError(f"--name, --alias and --idempotency-key are for one file; these are {len(files)}.")
    if alias is not None:
        await _check_alias(session, alias)
    common = {
        "project": await session.project_id(),
        "store": await store_id(session, store) if store else None,
        "tags": tag or [],
        "properties": named_values("--property", property_),
    }
    completion = {"alias": alias, "reason": reason}
    with _progress(session) as progress:
        task = progress.add_task(_title([own for _, own in files]), total=0)

        async def push(file: tuple[Path, str]) -> dict[str, Any]:
            path, own = file
            return await _push_file(
                session, path, {**common, "name": name or own}, completion, idempotency_key, progress, task
            )

        pushed = await _each(files, push)

    def said() -> str:
        if len(pushed) > 1:
            size = sum(int(each["datum"]["size"]) for each in pushed)
            return f"Pushed {len(pushed):,} files, {size:,} bytes"
        (only,) = pushed
        moved = f"\n{alias} is now at version {only['change']['version']}" if only["change"] else ""
        return f"Pushed {only['datum']['name']} as {only['datum']['uri']}{moved}"

    session.show(pushed[0] if len(files) == 1 else pushed, table=said)


def _files(paths: list[Path]) -> list[tuple[Path, str]]:
    """Each file with the name it is to have."""
    found = []
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.is_file())
            found += [(each, each.relative_to(path).as_posix()) for each in inside]
        else:
            found.append((path, path.name))
    if not found:
        raise BadUserInputError(f"There is no file in {', '.join(map(str, paths))}.")
    return found


def _title(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names):,} files"


async def _each(items: Sequence[Item], work: Callable[[Item], Awaitable[Done]]) -> list[Done]:
    """Does some work for each, several at once; what fails is said, and the rest is done all the same."""
    under_way = asyncio.Semaphore(_FILES_AT_ONCE)
    failed: list[Exception] = []

    async def one(item: Item) -> Done | None:
        async with under_way:
            try:
                return await work(item)
            except (ApiError, AppError, UnreachableError, OSError) as error:
                if len(items) > 1:
                    errors.print(f"{item[0] if isinstance(item, tuple) else item}: {error}", style="red")
                failed.append(error)
                return None

    done = await asyncio.gather(*(one(item) for item in items))
    if failed:
        if len(items) > 1:
            errors.print(f"{len(failed):,} of {len(items):,} failed; the others are done.")
        raise failed[0]
    return [each for each in done if each is not None]


async def _push_file(
    session: Session,
    path: Path,
    described: dict[str, Any],
    completion: dict[str, Any],
    idempotency_key: str | None,
    progress: Progress,
    task: TaskID,
) -> dict[str, Any]:
    found = await asyncio.to_thread(path.stat)
    _enlarge(progress, task, found.st_size)
    wanted = {**described, "size": str(found.st_size), "mediaType": mimetypes.guess_type(path.name)[0]}
    note = _Note.of(session.client.url, path, found, wanted)
    key = idempotency_key or note.key
    upload = await _request(session, wanted, key)
    if upload is None:
        # what was begun has ended without this push: begin anew
        key = idempotency_key or note.renew()
        upload = await _request(session, wanted, key)
    if upload is None:
        raise ApiError("The push of this --idempotency-key has ended; use a new key.", {"code": "WRONG_STATE"})
    with path.open("rb") as file:
        # the bytes are read a second time from memory, while the network is what takes time
        hashing = asyncio.create_task(asyncio.to_thread(hash_file, path))
        try:
            await send_parts(session.client, upload, file, lambda sent: progress.advance(task, sent))
            _, digests = await hashing
        finally:
            hashing.cancel()
        now = os.fstat(file.fileno())
        if (now.st_size, now.st_mtime_ns) != (found.st_size, found.st_mtime_ns):
            await session.client.send(
                "mutation($input: AbortUploadInput!) { abortUpload(input: $input) { datum { id } } }",
                {"input": {"upload": upload}},
            )
            raise BadUserInputError(f"{path} changed while it was sent; push it again.")
    complete = partial(
        session.client.execute,
        f"mutation($input: CompleteUploadInput!) {{ completeUpload(input: $input) {{ datum {{ {_WHOLE} }}"
        " change { version alias { name } } } }",
        {
            "input": {
                "upload": upload,
                "md5": digests.md5,
                "sha1": digests.sha1,
                "sha256": digests.sha256,
                "idempotencyKey": key,
                **completion,
            }
        },
    )
    pushed: dict[str, Any] = (await patiently(complete))["completeUpload"]
    note.forget()
    return pushed


async def _request(session: Session, wanted: dict[str, Any], key: str) -> str | None:
    """The upload that belongs to the key; None if it has ended."""
    data = await session.client.execute(
        "mutation($input: RequestUploadInput!) { requestUpload(input: $input) { datum { status } upload { id } } }",
        {"input": {**wanted, "idempotencyKey": key}},
    )
    requested = data["requestUpload"]
    return str(requested["upload"]["id"]) if requested["datum"]["status"] in ("PENDING", "AVAILABLE") else None


@dataclass
class _Note:
    """What is remembered of a push until it is done: the key by which the server knows it."""

    path: Path

    @classmethod
    def of(cls, url: str, path: Path, found: os.stat_result, wanted: dict[str, Any]) -> _Note:
        """The note of this file, as it is now, on its way to this server."""
        what = [url, str(path.resolve()), found.st_size, found.st_mtime_ns, wanted]
        name = hashlib.sha256(orjson.dumps(what, option=orjson.OPT_SORT_KEYS)).hexdigest()
        return cls(state_dir() / "pushes" / name)

    @property
    def key(self) -> str:
        try:
            return self.path.read_text()
        except OSError:
            return self.renew()

    def renew(self) -> str:
        key = secrets.token_hex(16)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.write_text(key)
        except OSError as error:
            errors.print(f"This push could not be resumed if it were interrupted: {error}", style="dim")
        return key

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)


async def _check_alias(session: Session, alias: str) -> None:
    """Has the server refuse a wrong name before any byte is sent; one that points nowhere yet is a good one."""
    try:
        await resolve(session, f"datum://{alias}")
    except ApiError as error:
        if error.code == "BAD_USER_INPUT":
            raise


@command(group, "adopt")
async def _adopt(
    session: Session,
    address: Annotated[str, typer.Argument(help="The object's address, such as s3://bucket/key.")],
    name: Annotated[str | None, typer.Option(help="The file's name; the key's last part if not given.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A label to find it by; may be repeated.")] = None,
    property_: Properties = None,
    alias: Annotated[str | None, typer.Option(help="An alias to point at it.")] = None,
) -> None:
    """Make a file of an object that is in one of the project's stores already, without copying it."""
    data = await session.client.execute(
        f"mutation($input: AdoptDatumInput!) {{ adoptDatum(input: $input) {{ created datum {{ {_WHOLE} }} }} }}",
        {
            "input": {
                "project": await session.project_id(),
                "reference": address,
                "name": name,
                "tags": tag or [],
                "properties": named_values("--property", property_),
                "alias": alias,
            }
        },
    )
    adopted = data["adoptDatum"]
    how = "Adopted" if adopted["created"] else "Known already:"
    session.show(adopted, table=lambda: f"{how} {adopted['datum']['name']} as {adopted['datum']['uri']}")


@command(group, "pull")
async def _pull(
    session: Session,
    references: References,
    to: Annotated[Path | None, typer.Option("--to", help="The file or folder to write to; here if not given.")] = None,
    at: At = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Fetch files and verify them. A file appears under its final name only once it is whole."""
    if len(references) > 1 and to is not None and not to.is_dir():
        raise BadUserInputError(f"{to} is no folder, which --to has to be for {len(references)} files.")
    with _progress(session) as progress:
        task = progress.add_task(_title(references), total=0)

        async def pull(reference: str) -> dict[str, Any]:
            return await _pull_file(session, reference, to, at, force, progress, task)

        pulled = await _each(references, pull)

    def said() -> str:
        if len(pulled) > 1:
            return f"Pulled {len(pulled):,} files, {sum(int(each['datum']['size']) for each in pulled):,} bytes"
        (only,) = pulled
        if only["already"]:
            return f"{only['path']} is that file already, verified ({only['datum']['id']})"
        return f"Pulled {only['path']} ({only['datum']['id']})"

    session.show(pulled[0] if len(references) == 1 else pulled, table=said)


async def _pull_file(
    session: Session,
    reference: str,
    to: Path | None,
    at: str | None,
    force: bool,
    progress: Progress,
    task: TaskID,
) -> dict[str, Any]:
    datum = (await resolve(session, reference, at))["datum"]
    _enlarge(progress, task, int(datum["size"]))
    target = to or Path(datum["name"].rsplit("/", 1)[-1])
    if target.is_dir():
        target = target / datum["name"].rsplit("/", 1)[-1]
    if not force and target.is_file() and await asyncio.to_thread(_holds, target, datum):
        return {"path": str(target), "datum": datum, "already": True}
    if target.exists() and not force:
        raise BadUserInputError(
            f"{target} is there already, with other content; give --force to replace it, or --to another name."
        )
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with Hasher() as hasher, unfinished.open("xb") as file:

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
    return {"path": str(target), "datum": datum, "already": False}


def _enlarge(progress: Progress, task: TaskID, size: int) -> None:
    progress.update(task, total=(progress.tasks[0].total or 0) + size)


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
            "store": f"{datum['store']['name']}, {datum['storageUri']}"
            if datum["storageUri"]
            else datum["store"]["name"],
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
