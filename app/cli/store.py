"""`waymark store`."""

from __future__ import annotations

from typing import Annotated, Any

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
Region = Annotated[str | None, typer.Option(help="The region; us-east-1 if not given.")]
Account = Annotated[str, typer.Option(help="The storage account.")]
Container = Annotated[str, typer.Option(help="The container's name.")]
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


@command(add, "s3")
async def _add_s3(
    session: Session,
    name: Name,
    bucket: Bucket,
    prefix: Prefix = None,
    region: Region = None,
    endpoint: Endpoint = None,
    default: Default = False,
) -> None:
    """Add a bucket of S3, with the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."""
    await _add(session, name, default, s3=_s3(bucket, prefix, region, endpoint))


@command(add, "azure")
async def _add_azure(
    session: Session,
    name: Name,
    account: Account,
    container: Container,
    prefix: Prefix = None,
    endpoint: Endpoint = None,
    default: Default = False,
) -> None:
    """Add a container of Azure, with the key in AZURE_STORAGE_KEY or a token in AZURE_STORAGE_SAS_TOKEN."""
    await _add(session, name, default, azure=_azure(account, container, prefix, endpoint))


@command(add, "local")
async def _add_local(
    session: Session,
    name: Name,
    path: Annotated[str, typer.Option(help="A folder of the server's machine.")],
    default: Default = False,
) -> None:
    """Add a folder of the server's machine, below one that its operator has named."""
    await _add(session, name, default, local={"path": path})


@command(rotate, "s3")
async def _rotate_s3(
    session: Session,
    name: Name,
    bucket: Bucket,
    prefix: Prefix = None,
    region: Region = None,
    endpoint: Endpoint = None,
) -> None:
    """Give a store the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."""
    await _update(session, name, "has new credentials", s3=_s3(bucket, prefix, region, endpoint))


@command(rotate, "azure")
async def _rotate_azure(
    session: Session,
    name: Name,
    account: Account,
    container: Container,
    prefix: Prefix = None,
    endpoint: Endpoint = None,
) -> None:
    """Give a store the key in AZURE_STORAGE_KEY or the token in AZURE_STORAGE_SAS_TOKEN."""
    await _update(session, name, "has new credentials", azure=_azure(account, container, prefix, endpoint))


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


def _s3(bucket: str, prefix: str | None, region: str | None, endpoint: str | None) -> dict[str, Any]:
    key_id, key = store_credentials("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return {
        "bucket": bucket,
        "prefix": prefix,
        "region": region,
        "endpointUrl": endpoint,
        "accessKeyId": key_id,
        "secretAccessKey": key,
    }


def _azure(account: str, container: str, prefix: str | None, endpoint: str | None) -> dict[str, Any]:
    key, token = store_credentials("AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN")
    return {
        "account": account,
        "container": container,
        "prefix": prefix,
        "endpointUrl": endpoint,
        "accountKey": key,
        "sasToken": token,
    }


async def _add(session: Session, name: str, default: bool, **kind: dict[str, Any]) -> None:
    data = await session.client.execute(
        f"mutation($input: CreateDataStoreInput!) {{ createDataStore(input: $input) {{ store {{ {_STORE} }} }} }}",
        {"input": {"project": await session.project_id(), "name": name, "isDefault": default, **kind}},
    )
    store = data["createDataStore"]["store"]
    session.show(store, table=lambda: f"Added {store['name']}, {store['url']}, tried out ({store['id']})")


async def _update(session: Session, name: str, said: str, **changes: Any) -> None:
    data = await session.client.execute(
        f"mutation($input: UpdateDataStoreInput!) {{ updateDataStore(input: $input) {{ store {{ {_STORE} }} }} }}",
        {"input": {"id": await store_id(session, name), **changes}},
    )
    store = data["updateDataStore"]["store"]
    session.show(store, table=lambda: f"{store['name']}, {store['url']}, {said}")
