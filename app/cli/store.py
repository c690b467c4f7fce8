"""`waymark store`."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from app.cli.session import Session, command, rows
from app.client.client import ApiError
from app.settings import store_credentials

group = typer.Typer(
    help="Stores: where a project's bytes are. Credentials are read from the environment, never from the command line.",
    no_args_is_help=True,
)
add = typer.Typer(help="Add a store; it is tried out before it is kept.", no_args_is_help=True)
rotate = typer.Typer(help="Give a store new credentials; they are tried out first.", no_args_is_help=True)
group.add_typer(add, name="add")
group.add_typer(rotate, name="rotate")

_STORE = "id name kind url isDefault createdAt project { slug }"

Name = Annotated[str, typer.Argument(help="The store's name in the project.")]
Default = Annotated[bool, typer.Option("--default", help="New files go here unless a store is named.")]
Bucket = Annotated[str, typer.Option(help="The bucket's name.")]
Prefix = Annotated[str | None, typer.Option(help="What every key begins with, such as team/.")]
Region = Annotated[str | None, typer.Option(help="The region, where it is not the vendor's first.")]
Account = Annotated[str, typer.Option(help="The storage account.")]
Container = Annotated[str, typer.Option(help="The container's name.")]
AuthUrl = Annotated[str, typer.Option(help="Keystone's address, ending in /v3, or TempAuth's, in /v1.0.")]
SwiftProject = Annotated[str | None, typer.Option(help="The project in Keystone.")]
Domain = Annotated[str | None, typer.Option(help="Its domain in Keystone; Default if not given.")]
Endpoint = Annotated[str | None, typer.Option(help="The address of a store that is not the vendor's own.")]


@command(group, "list")
async def _list(session: Session) -> None:
    """List the stores that the project may use; the one marked * takes new files."""
    found = await _stores(session)
    default = next((store["id"] for store in found if store["isDefault"]), None)
    session.show(
        found,
        table=lambda: rows(
            "",
            "NAME",
            "KIND",
            "ADDRESS",
            "OF",
            "ID",
            of=[
                [
                    "*" if store["id"] == default else "",
                    store["name"],
                    store["kind"],
                    store["url"],
                    "the project" if store["project"] else "the server",
                    store["id"],
                ]
                for store in found
            ],
        ),
    )


def _kind(kind: str, *, rotates: bool = True) -> Callable[[Callable[..., dict[str, Any]]], None]:
    """Registers a kind of store, from what gives its part of the input, with `add` and `rotate`.

    The function's parameters become options of both; its docstring says what the store is and where its keys are.
    """

    def register(describe: Callable[..., dict[str, Any]]) -> None:
        async def add_store(session: Session, name: Name, default: Default = False, **options: Any) -> None:
            data = await session.client.execute(
                "mutation($input: CreateDataStoreInput!) { createDataStore(input: $input) {"
                f" store {{ {_STORE} }} }} }}",
                {
                    "input": {
                        "project": await session.project_id(),
                        "name": name,
                        "isDefault": default,
                        kind: describe(**options),
                    }
                },
            )
            store = data["createDataStore"]["store"]
            session.show(store, table=lambda: f"Added {store['name']}, {store['url']}, tried out ({store['id']})")

        async def rotate_store(session: Session, name: Name, **options: Any) -> None:
            await _update(session, name, "has new credentials", **{kind: describe(**options)})

        registered = {add: (add_store, "Add")} | (
            {rotate: (rotate_store, "Give new credentials to")} if rotates else {}
        )
        for target, (function, verb) in registered.items():
            own = list(inspect.signature(function).parameters.values())[:-1]
            hints = get_type_hints(describe, include_extras=True)
            asked = [
                parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)
                for parameter in inspect.signature(describe).parameters.values()
            ]
            vars(function).update(__signature__=inspect.Signature([*own, *asked]))
            function.__annotations__ |= {parameter.name: parameter.annotation for parameter in asked}
            function.__doc__ = f"{verb} {describe.__doc__}"
            command(target, kind)(function)

    return register


@_kind("s3")
def _s3(bucket: Bucket, prefix: Prefix = None, region: Region = None, endpoint: Endpoint = None) -> dict[str, Any]:
    """a bucket of S3, with the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."""
    key_id, key = store_credentials("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return {
        "bucket": bucket,
        "prefix": prefix,
        "region": region,
        "endpointUrl": endpoint,
        "accessKeyId": key_id,
        "secretAccessKey": key,
    }


@_kind("azure")
def _azure(account: Account, container: Container, prefix: Prefix = None, endpoint: Endpoint = None) -> dict[str, Any]:
    """a container of Azure, with the key in AZURE_STORAGE_KEY or a token in AZURE_STORAGE_SAS_TOKEN."""
    key, token = store_credentials("AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN")
    return {
        "account": account,
        "container": container,
        "prefix": prefix,
        "endpointUrl": endpoint,
        "accountKey": key,
        "sasToken": token,
    }


@_kind("gcs")
def _gcs(bucket: Bucket, prefix: Prefix = None, endpoint: Endpoint = None) -> dict[str, Any]:
    """a bucket of Google Cloud Storage, with the service account's key in the file GOOGLE_APPLICATION_CREDENTIALS."""
    (file,) = store_credentials("GOOGLE_APPLICATION_CREDENTIALS")
    try:
        key = json.loads(Path(file).read_text()) if file else None
    except (OSError, ValueError) as error:
        raise ApiError(f"GOOGLE_APPLICATION_CREDENTIALS, {file}: {error}", {"code": "BAD_USER_INPUT"}) from error
    return {"bucket": bucket, "prefix": prefix, "endpointUrl": endpoint, "serviceAccountKey": key}


@_kind("swift")
def _swift(
    auth_url: AuthUrl,
    container: Container,
    prefix: Prefix = None,
    swift_project: SwiftProject = None,
    domain: Domain = None,
    region: Region = None,
) -> dict[str, Any]:
    """a container of Swift, with the keys in OS_USERNAME and OS_PASSWORD or OS_APPLICATION_CREDENTIAL_ID and _SECRET.

    SWIFT_TEMP_URL_KEY may hold the key that links are signed with.
    """
    user, password, temp_url_key = store_credentials("OS_USERNAME", "OS_PASSWORD", "SWIFT_TEMP_URL_KEY")
    credential, secret = store_credentials("OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_SECRET")
    if not (credential and secret) and not (user and password):
        raise ApiError(
            "Set OS_USERNAME and OS_PASSWORD, or OS_APPLICATION_CREDENTIAL_ID and OS_APPLICATION_CREDENTIAL_SECRET.",
            {"code": "BAD_USER_INPUT"},
        )
    return {
        "authUrl": auth_url,
        "container": container,
        "prefix": prefix,
        "project": swift_project,
        "domain": domain,
        "region": region,
        "username": credential if secret else user,
        "password": secret if credential else password,
        "applicationCredential": bool(credential and secret),
        "tempUrlKey": temp_url_key,
    }


@_kind("local", rotates=False)
def _local(path: Annotated[str, typer.Option(help="A folder of the server's machine.")]) -> dict[str, Any]:
    """a folder of the server's machine, below one that its operator has named."""
    return {"path": path}


@command(group, "default")
async def _default(session: Session, name: Name) -> None:
    """Let new files go to a store of the project unless one is named."""
    await _update(session, name, "takes new files now", isDefault=True)


@command(group, "check")
async def _check(session: Session, name: Name) -> None:
    """Try a store out: write, read and delete a small object."""
    data = await session.client.execute(
        "mutation($input: CheckDataStoreInput!) { checkDataStore(input: $input) {"
        f" ok message store {{ {_STORE} }} }} }}",
        {"input": {"id": await store_id(session, name)}},
    )
    result = data["checkDataStore"]
    session.show(result, table=lambda: f"{name} works" if result["ok"] else f"{name} does not work")
    if not result["ok"]:
        raise ApiError(result["message"], {"code": "STORE_UNAVAILABLE"})


async def store_id(session: Session, name: str) -> str:
    """The id of a store that the project may use, its own before the server's."""
    for store in await _stores(session):
        if store["name"] == name:
            return str(store["id"])
    raise ApiError(
        f"There is no store {name!r} in project {session.project!r}; `waymark store list` shows them.",
        {"code": "NOT_FOUND"},
    )


async def _stores(session: Session) -> list[dict[str, Any]]:
    data = await session.client.execute(
        f"query($slug: String!) {{ project(slug: $slug) {{ stores {{ {_STORE} }} }} }}", {"slug": session.project}
    )
    if data["project"] is None:
        raise ApiError(f"There is no project {session.project!r}.", {"code": "NOT_FOUND"})
    found: list[dict[str, Any]] = data["project"]["stores"]
    return found


async def _update(session: Session, name: str, said: str, **changes: Any) -> None:
    data = await session.client.execute(
        f"mutation($input: UpdateDataStoreInput!) {{ updateDataStore(input: $input) {{ store {{ {_STORE} }} }} }}",
        {"input": {"id": await store_id(session, name), **changes}},
    )
    store = data["updateDataStore"]["store"]
    session.show(store, table=lambda: f"{store['name']}, {store['url']}, {said}")
