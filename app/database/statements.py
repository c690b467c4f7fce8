"""Statements: written with SQLAlchemy or as plain SQL with `:names`, compiled once, run by asyncpg.

Executing through SQLAlchemy costs more than the rest of a request; compiling with it costs once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, TypeAlias

import asyncpg
from sqlalchemy import ClauseElement, text
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.engine import Dialect

# in quotes, as asyncpg's classes are generic for type checkers only
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Row = asyncpg.Record

# called through a variable, as SQLAlchemy leaves the constructor untyped
_make_dialect: Callable[[], Dialect] = PGDialect_asyncpg
_DIALECT = _make_dialect()


class Statement:
    """One statement with named parameters, as asyncpg takes it: `$1` text and values in order."""

    def __init__(self, clause: ClauseElement | str) -> None:
        compiled = (text(clause) if isinstance(clause, str) else clause).compile(dialect=_DIALECT)
        self.sql = str(compiled)
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}
        self._order: Sequence[str] = getattr(compiled, "positiontup", None) or ()

    def _values(self, values: dict[str, Any]) -> list[Any]:
        return [values[name] if name in values else self._constants[name] for name in self._order]

    async def fetch(self, connection: Connection, **values: Any) -> list[Row]:
        return await connection.fetch(self.sql, *self._values(values))

    async def fetchrow(self, connection: Connection, **values: Any) -> Row | None:
        return await connection.fetchrow(self.sql, *self._values(values))

    async def fetchval(self, connection: Connection, **values: Any) -> Any:
        return await connection.fetchval(self.sql, *self._values(values))


def record_fields(record: type) -> list[str]:
    """The columns of which a record is made: `record` is a dataclass, and its fields are columns by name."""
    return [field.name for field in fields(record)]


def columns(record: type, source: str) -> str:
    """The same for the select list of plain SQL; a row of it is `record(*row)`."""
    return ", ".join(f'{source}."{name}"' for name in record_fields(record))
