"""What kind of thing an id belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from app.database.statements import Connection, Statement

NODE_TABLES = ("project", "data_store", "datum", "alias", "alias_history", "execution", "task")

_KINDS = Statement(
    " UNION ALL ".join(
        f"SELECT id, '{table}' AS kind FROM {table} WHERE id = ANY(:ids ::uuid[])" for table in NODE_TABLES
    )
)


async def kinds_of(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, str]:
    """The table of each id that exists."""
    return {row["id"]: row["kind"] for row in await _KINDS.fetch(connection, ids=ids)}
