"""The connection pool."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import asyncpg
import orjson

from app.database.statements import Connection

# in quotes, as asyncpg's classes are generic for type checkers only
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Prepare: TypeAlias = "Callable[[Connection], Coroutine[Any, Any, None]]"


def _encode_json(value: object) -> str:
    return orjson.dumps(value).decode()


async def prepare(connection: Connection) -> None:
    """Teaches a new connection that jsonb values are Python values, and lets it look up the array types it will meet.

    It would otherwise do that inside the first transaction that uses one.
    """
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_encode_json, decoder=orjson.loads)
    await connection.fetch("SELECT NULL::uuid[], NULL::integer[], NULL::smallint[], NULL::timestamptz[], NULL::jsonb[]")


async def _keep(_: asyncpg.Connection[asyncpg.Record]) -> None:
    """Spares the round trip that resets a session: no statement on the pool may leave state in its session."""


async def create_pool(url: str, *, size: int = 10, prepare: Prepare = prepare) -> Pool:
    """Opens a pool of at most `size` connections; more backends only make contended writes slower."""
    return await asyncpg.create_pool(url, min_size=1, max_size=size, init=prepare, reset=_keep)
