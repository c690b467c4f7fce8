"""Data stores: where a project's bytes are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from secrets import token_urlsafe
from typing import Any
from uuid import UUID, uuid4

import orjson

from app.database.statements import Connection, Statement, columns
from app.domain.access import Caller
from app.domain.secrets import SecretBox
from app.domain.validation import require_name
from app.errors import BadUserInputError, NotFoundError
from app.stores.base import Store
from app.stores.registry import StoreRegistry


class DataStoreKind(StrEnum):
    S3 = "S3"
    AZURE = "AZURE"
    GCS = "GCS"
    SWIFT = "SWIFT"
    LOCAL = "LOCAL"


@dataclass(frozen=True, slots=True)
class DataStore:
    id: UUID
    #: None: the server's own, for projects that have none.
    project_id: UUID | None
    name: str
    kind: str
    is_default: bool
    config: dict[str, Any]
    #: A JSON object, encrypted.
    credentials: str | None
    created_at: dt.datetime

    def options(self, secrets: SecretBox) -> dict[str, Any]:
        """What opens the store, credentials and all."""
        return self.config | (orjson.loads(secrets.decrypt(self.credentials)) if self.credentials else {})

    def opened(self, stores: StoreRegistry, secrets: SecretBox) -> Store:
        """The store itself."""
        sealed = (self.name, orjson.dumps(self.config), self.credentials)
        return stores.open(self.id, self.kind, self.name, sealed, lambda: self.options(secrets))

    @property
    def prefix(self) -> str:
        """What every key of the store begins with."""
        return str(self.config.get("prefix") or "")

    @property
    def url(self) -> str:
        """Its address, without credentials."""
        return f"{address_of(self.kind, self.name, self.config)}/{self.prefix}"

    def address_of(self, key: str) -> str:
        return f"{address_of(self.kind, self.name, self.config)}/{key}"


_SCHEMES: dict[str, str] = {
    DataStoreKind.S3: "s3",
    DataStoreKind.AZURE: "azure",
    DataStoreKind.GCS: "gs",
    DataStoreKind.SWIFT: "swift",
}


def address_of(kind: str, name: str, config: Mapping[str, Any]) -> str:
    """What the addresses of its objects begin with."""
    if kind == DataStoreKind.LOCAL:
        return f"local://{name}"
    containers = [config[part] for part in ("account", "project", "bucket") if config.get(part)]
    return f"{_SCHEMES[kind]}://{'/'.join(containers)}"


_COLUMNS = columns(DataStore, "data_store")

_BY_ID = Statement(f"SELECT {_COLUMNS} FROM data_store WHERE id = ANY(:ids ::uuid[])")

_OF_PROJECTS = Statement(f"""
    SELECT {_COLUMNS} FROM data_store WHERE project_id = ANY(:project_ids ::uuid[]) OR project_id IS NULL
    ORDER BY project_id NULLS LAST, created_at, id
""")


_NO_DEFAULT = Statement("""
    UPDATE data_store SET is_default = false WHERE project_id = :project_id AND is_default AND id <> :id
""")

_CREATE = Statement(f"""
    INSERT INTO data_store (id, project_id, name, kind, is_default, config, address, credentials, created_by)
    VALUES (:id, :project_id, :name, :kind, :is_default, :config, :address, :credentials, :actor_id)
    RETURNING {_COLUMNS}
""")

_LOCK = Statement(f"SELECT {_COLUMNS} FROM data_store WHERE id = :id FOR NO KEY UPDATE")

_UPDATE = Statement(f"""
    UPDATE data_store SET name = :name, is_default = :is_default, config = :config, address = :address,
        credentials = :credentials
    WHERE id = :id RETURNING {_COLUMNS}
""")


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """A store as an administrator describes it: what all may see, and what none may."""

    kind: DataStoreKind
    config: dict[str, Any]
    credentials: dict[str, Any]

    def encrypted(self, secrets: SecretBox) -> str | None:
        return secrets.encrypt(orjson.dumps(self.credentials).decode()) if self.credentials else None


async def create_data_store(
    connection: Connection,
    caller: Caller,
    project_id: UUID,
    spec: StoreSpec,
    *,
    name: str,
    is_default: bool,
    secrets: SecretBox,
) -> DataStore:
    """Keeps a store that has been tried out."""
    require_name("name", name)
    store_id = uuid4()
    if is_default:
        await _NO_DEFAULT.fetch(connection, project_id=project_id, id=store_id)
    (row,) = await _CREATE.fetch(
        connection,
        id=store_id,
        project_id=project_id,
        name=name,
        kind=spec.kind,
        is_default=is_default,
        config=spec.config,
        address=address_of(spec.kind, name, spec.config),
        credentials=spec.encrypted(secrets),
        actor_id=caller.actor_id,
    )
    return DataStore(*row)


async def update_data_store(
    connection: Connection,
    store_id: UUID,
    spec: StoreSpec | None,
    *,
    name: str | None,
    is_default: bool | None,
    secrets: SecretBox,
) -> DataStore:
    """Renames a store, rotates its credentials, or makes it the default. It stays the same place for the same bytes."""
    (row,) = await _LOCK.fetch(connection, id=store_id)
    store = DataStore(*row)
    if name is not None:
        require_name("name", name)
    if spec is not None:
        check_same_place(store, spec)
    if is_default:
        await _NO_DEFAULT.fetch(connection, project_id=store.project_id, id=store_id)
    name = store.name if name is None else name
    config = store.config if spec is None else spec.config
    (row,) = await _UPDATE.fetch(
        connection,
        id=store_id,
        name=name,
        is_default=store.is_default if is_default is None else is_default,
        config=config,
        address=address_of(store.kind, name, config),
        credentials=store.credentials if spec is None else spec.encrypted(secrets),
    )
    return DataStore(*row)


def probe_key(prefix: str) -> str:
    """A key for trying a store out, which nothing else has."""
    return f"{prefix}waymark/.probe-{token_urlsafe(12)}"


def check_same_place(store: DataStore, spec: StoreSpec) -> None:
    if spec.kind != store.kind:
        raise BadUserInputError(f"Store {store.name!r} is {store.kind}; it cannot become {spec.kind}.")
    for name in ("bucket", "account", "project", "prefix", "endpoint_url", "auth_url", "path"):
        if spec.config.get(name) != store.config.get(name):
            raise BadUserInputError(
                f"Store {store.name!r} has {name} {store.config.get(name)!r}, where its files are; add another store"
                f" for {spec.config.get(name)!r}."
            )


async def load_data_stores(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, DataStore]:
    return {row["id"]: DataStore(*row) for row in await _BY_ID.fetch(connection, ids=ids)}


async def stores_of_projects(connection: Connection, project_ids: Sequence[UUID]) -> dict[UUID, list[DataStore]]:
    """The stores that each project may use, its own before the server's."""
    stores = [DataStore(*row) for row in await _OF_PROJECTS.fetch(connection, project_ids=project_ids)]
    return {
        project_id: [store for store in stores if store.project_id in (project_id, None)] for project_id in project_ids
    }


def default_of(stores: Sequence[DataStore]) -> DataStore | None:
    """A project's default store among those it may use: its own, else the server's."""
    return next((store for store in stores if store.is_default), None)


async def store_for_upload(connection: Connection, project_id: UUID, store_id: UUID | None) -> DataStore:
    """The store that new bytes of a project go to: the one named, else the default one."""
    stores = (await stores_of_projects(connection, [project_id]))[project_id]
    if store_id is None:
        store = default_of(stores)
    else:
        store = next((store for store in stores if store.id == store_id), None)
    if store is None:
        raise NotFoundError(f"There is no store {store_id}." if store_id else "The project has no default store.")
    return store
