"""Data stores: where a project's bytes are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from app.database.statements import Connection, Statement, columns
from app.errors import NotFoundError


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
    created_at: dt.datetime


_COLUMNS = columns(DataStore, "data_store")

_BY_ID = Statement(f"SELECT {_COLUMNS} FROM data_store WHERE id = ANY(:ids ::uuid[])")

_OF_PROJECTS = Statement(f"""
    SELECT {_COLUMNS} FROM data_store WHERE project_id = ANY(:project_ids ::uuid[]) OR project_id IS NULL
    ORDER BY project_id NULLS LAST, created_at, id
""")


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
