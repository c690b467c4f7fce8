"""Keyset paging: any list, of one parent or of many, is one statement, as fast on its last page as on its first."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Generic, NewType, TypeVar
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, FromClause, Select, bindparam, column, func, literal, select, true, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Integer, Uuid

from app.database.statements import Connection, Row, Statement, record_fields
from app.errors import BadUserInputError

Record = TypeVar("Record")

Int32 = NewType("Int32", int)

#: A row's condition, or what makes one that also speaks of the parent's id.
Condition = ColumnElement[bool] | Callable[[ColumnElement[UUID]], ColumnElement[bool]]

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 500


@dataclass(frozen=True, slots=True)
class Page:
    """Which page of a list: `size` items after (or, backward, before) the item whose sort key is `bound`."""

    size: int = DEFAULT_PAGE_SIZE
    backward: bool = False
    bound: tuple[Any, ...] | None = None
    #: Set when paging was asked for from the other side too; the page ends there.
    limit: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Slice(Generic[Record]):
    """One page: its records, each with its sort key (of which cursors are made), and what lies beyond."""

    records: list[Record] = field(default_factory=list)
    keys: list[tuple[Any, ...]] = field(default_factory=list)
    has_next: bool = False
    has_previous: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """A total order: `columns`, the last of them unique, all in one direction."""

    columns: tuple[str, ...]
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of a listing. Hashable, so that equal questions about many parents share one statement."""

    page: Page = Page()
    order: str = ""
    descending: bool | None = None
    #: Conditions by name, each with its value.
    where: tuple[tuple[str, Hashable], ...] = ()


class Listing(Generic[Record]):
    """A list that can be paged: rows of `source` below a parent, in one of `orders`, under any of `conditions`.

    `record` is a dataclass whose fields are columns of `source`, those of the orders among them; `parent` says of a row
    whether it is below the parent of an id (None: the list is the server's own).

    Conditions are SQL with a parameter of their own name (or of their name and a suffix); only their values vary.
    """

    def __init__(
        self,
        source: FromClause,
        record: type[Record],
        *,
        parent: Callable[[ColumnElement[UUID]], ColumnElement[bool]] | None,
        orders: Mapping[str, Order],
        conditions: Mapping[str, Condition] | None = None,
    ) -> None:
        self._source = source
        self._parent = parent
        self.orders = orders
        self._conditions = conditions or {}
        self._record = record
        self._attributes = frozenset(record_fields(record))
        self._columns = [source.c[name] for name in record_fields(record)]
        # one compiled statement per shape of a question
        self._page_statement = lru_cache(maxsize=256)(self._build_page_statement)
        self._count_statement = lru_cache(maxsize=256)(self._build_count_statement)

    def has(self, attribute: str) -> bool:
        """Whether its records have the attribute."""
        return attribute in self._attributes

    def key_types(self, order: str) -> list[Any]:
        return [Int32 if type(each.type) is Integer else each.type.python_type for each in self._key_columns(order)]

    def _key_columns(self, order: str) -> list[ColumnElement[Any]]:
        return [self._source.c[name] for name in self.orders[order].columns]

    async def fetch(self, connection: Connection, parents: Sequence[UUID], query: Query) -> list[Slice[Record]]:
        """One page for each parent, in the order of `parents`; one statement."""
        page = query.page
        order = self.orders[query.order]
        descending = order.descending if query.descending is None else query.descending
        statement = self._page_statement(
            query.order,
            descending != page.backward,
            page.bound is not None,
            page.limit is not None,
            tuple(name for name, _ in query.where),
        )
        values: dict[str, Any] = {"parents": list(parents), "rows": page.size + 1, **dict(query.where)}
        for prefix, key in (("bound", page.bound), ("limit", page.limit)):
            if key is not None:
                values |= {f"{prefix}_{position}": value for position, value in enumerate(key)}
        pages: list[list[Row]] = [[] for _ in parents]
        for row in await statement.fetch(connection, **values):
            pages[row["parent_position"] - 1].append(row)
        return [self._slice(rows, order, page) for rows in pages]

    async def count(self, connection: Connection, parents: Sequence[UUID], query: Query) -> list[int]:
        """How many rows there are for each parent; one statement."""
        statement = self._count_statement(tuple(name for name, _ in query.where))
        counts = [0] * len(parents)
        for row in await statement.fetch(connection, parents=list(parents), **dict(query.where)):
            counts[row["parent_position"] - 1] = row["rows"]
        return counts

    def _slice(self, rows: list[Row], order: Order, page: Page) -> Slice[Record]:
        more = len(rows) > page.size
        rows = rows[: page.size]
        if page.backward:
            rows.reverse()
        return Slice(
            records=[self._record(*tuple(row)[1:]) for row in rows],
            keys=[tuple(row[name] for name in order.columns) for row in rows],
            has_next=page.bound is not None if page.backward else more,
            has_previous=more if page.backward else page.bound is not None,
        )

    def _rows_of_parent(self, parents: FromClause, where: tuple[str, ...]) -> Select[Any]:
        rows = select(*self._columns)
        for name in where:
            condition = self._conditions[name]
            rows = rows.where(condition(parents.c.id) if callable(condition) else condition)
        return rows if self._parent is None else rows.where(self._parent(parents.c.id))

    def _build_page_statement(
        self, order_name: str, descending: bool, bounded: bool, limited: bool, where: tuple[str, ...]
    ) -> Statement:
        columns = self._key_columns(order_name)
        parents = _parents()
        rows = self._rows_of_parent(parents, where)

        def key(prefix: str) -> ColumnElement[Any]:
            return tuple_(*(bindparam(f"{prefix}_{place}", type_=each.type) for place, each in enumerate(columns)))

        here = tuple_(*columns)
        if bounded:
            rows = rows.where(here < key("bound") if descending else here > key("bound"))
        if limited:
            rows = rows.where(here > key("limit") if descending else here < key("limit"))
        rows = rows.order_by(*(each.desc() if descending else each.asc() for each in columns))
        page = rows.limit(bindparam("rows")).lateral("page")
        outer = [page.c[name] for name in self.orders[order_name].columns]
        return Statement(
            select(parents.c.position.label("parent_position"), page)
            .select_from(parents.join(page, true()))
            .order_by(parents.c.position, *(each.desc() if descending else each.asc() for each in outer))
        )

    def _build_count_statement(self, where: tuple[str, ...]) -> Statement:
        parents = _parents()
        rows = self._rows_of_parent(parents, where).with_only_columns(literal(1).label("one")).lateral("rows")
        return Statement(
            select(parents.c.position.label("parent_position"), func.count(rows.c.one).label("rows"))
            .select_from(parents.join(rows, true()))
            .group_by(parents.c.position)
        )


def _parents() -> FromClause:
    return (
        func.unnest(bindparam("parents", type_=ARRAY(Uuid)))
        .table_valued(column("id", Uuid), with_ordinality="position", name="parent")
        .render_derived()
    )


def encode_cursor(order: str, key: tuple[Any, ...]) -> str:
    """An opaque cursor: the order's name and the sort key of one item."""
    plain = [value.isoformat() if isinstance(value, dt.datetime) else str(value) for value in key]
    return base64.urlsafe_b64encode(orjson.dumps([order, *plain])).rstrip(b"=").decode()


def decode_cursor(cursor: str, order: str, types: Sequence[Hashable]) -> tuple[Any, ...]:
    """The sort key in a cursor; a cursor of another list or order is BAD_USER_INPUT."""
    try:
        name, *plain = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if name != order or len(plain) != len(types):
            raise ValueError(name)
        return tuple(_READ[each](value) for each, value in zip(types, plain, strict=True))
    except (ValueError, TypeError, AttributeError, OverflowError, binascii.Error) as error:
        raise BadUserInputError(
            f"{cursor!r} is no cursor of this list in this order; take one from pageInfo or an edge of it."
        ) from error


def _read_moment(text: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment.astimezone(dt.UTC)


def _read_integer(bits: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = int(text)
        if number.bit_length() >= bits:
            raise ValueError(text)
        return number

    return read


_READ: Mapping[Hashable, Callable[[str], Any]] = {
    dt.datetime: _read_moment,
    int: _read_integer(64),
    Int32: _read_integer(32),
    str: str,
    UUID: UUID,
}
