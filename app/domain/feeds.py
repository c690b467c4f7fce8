"""Feeds: what was committed in a project, in an order that every server process and every restart agrees on.

Rows carry the id of the transaction that last wrote them. Transactions commit out of that order, so a feed reads only
below the oldest one that is still open: no row can appear there any more, and nobody who remembers where he was misses
or repeats one. A writer does nothing for it; each server process asks while somebody listens. (A transaction that stays
open long holds the feeds up for as long, and nothing else.)
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from uuid import UUID

import structlog

from app.database.engine import Pool
from app.database.statements import Connection, Statement, columns
from app.domain.access import Caller
from app.domain.aliases import AliasChange
from app.domain.executions import Execution, load_executions
from app.domain.logs import MOST_LINES, LogLine, lines_after
from app.domain.positions import HORIZON
from app.domain.tokens import tokens_in_force
from app.domain.transactions import reading
from app.errors import LimitExceededError, NotFoundError, StoreUnavailableError, UnauthenticatedError

log = structlog.get_logger("waymark.feeds")

_INTERVAL_SECONDS = 0.1
_TOKEN_CHECK_SECONDS = 1.0
_PAGE = 100
_LOG_SECONDS = 0.3

Record = TypeVar("Record")

_POSITION_OF_CHANGE = Statement("""
    SELECT feed_position, version, id FROM alias_history WHERE id = :id AND project_id = :project_id
""")


@dataclass(frozen=True, slots=True)
class _Position:
    """The last row that was read: rows of one transaction are ordered by a number of theirs, then by id."""

    transaction: int
    number: int
    id: UUID

    @classmethod
    def past(cls, transaction: int) -> _Position:
        """Past all rows of a transaction."""
        return cls(transaction, 2**31 - 1, UUID(int=2**128 - 1))


class _Source(Generic[Record]):
    """A table with feed positions. `columns` are what `record` makes a record of."""

    def __init__(
        self, table: str, number: str, columns: str, record: Callable[[Sequence[Any]], Record], joined: str = ""
    ) -> None:
        self.table = table
        self.record = record
        position = f"{table}.feed_position, {table}.{number}, {table}.id"
        self._page = Statement(f"""
            SELECT {position}, {columns} FROM {table} {joined}
            WHERE {table}.project_id = :project_id
                AND ({position}) > (:transaction ::bigint, :number ::integer, :id ::uuid)
                AND {table}.feed_position < {HORIZON}
            ORDER BY {position} LIMIT {_PAGE}
        """)
        # above the horizon, what is committed already is mixed with what is still to come
        self._now = Statement(f"""
            SELECT {HORIZON} AS horizon, {position} FROM (VALUES (1)) AS always
            LEFT JOIN {table} ON {table}.project_id = :project_id AND {table}.feed_position >= {HORIZON}
        """)

    async def now(self, connection: Connection, project_id: UUID) -> tuple[_Position, set[_Position]]:
        """Where to read on from to get what is committed from now on, and what to leave out of it."""
        rows = await self._now.fetch(connection, project_id=project_id)
        return _Position.past(rows[0]["horizon"] - 1), {_Position(*row[1:]) for row in rows if row["id"]}

    async def page(self, connection: Connection, project_id: UUID, after: _Position) -> list[tuple[_Position, Record]]:
        rows = await self._page.fetch(
            connection, project_id=project_id, transaction=after.transaction, number=after.number, id=after.id
        )
        return [(_Position(*row[:3]), self.record(row[3:])) for row in rows]


_CHANGES: _Source[tuple[str, AliasChange]] = _Source(
    "alias_history",
    "version",
    f"alias.name, {columns(AliasChange, 'alias_history')}",
    lambda row: (row[0], AliasChange(*row[1:])),
    joined="JOIN alias ON alias.id = alias_history.alias_id",
)
_EXECUTIONS: _Source[Execution] = _Source(
    "execution", "number", columns(Execution, "execution"), lambda row: Execution(*row)
)


def _newest(table: str) -> str:
    return f"""(
        SELECT feed_position FROM {table} WHERE project_id = wanted.id AND feed_position < {HORIZON}
        ORDER BY feed_position DESC LIMIT 1
    ) AS {table}"""


_NEWEST = Statement(f"""
    SELECT wanted.id, {_newest("alias_history")}, {_newest("execution")}
    FROM unnest(:project_ids ::uuid[]) AS wanted (id)
""")


@dataclass
class _Project:
    """What listeners of one project wait for."""

    listeners: int = 0
    newest: dict[str, int] = field(default_factory=dict)
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        self.moved.set()
        self.moved = asyncio.Event()


class Feeds:
    """One server process's streams. Nothing is queued for a listener: it reads on from where it is when it is ready."""

    def __init__(self, pool: Pool, *, most_per_token: int) -> None:
        self._pool = pool
        self._most_per_token = most_per_token
        self._projects: dict[UUID, _Project] = {}
        self._tokens: Counter[UUID] = Counter()
        self._refused: set[UUID] = set()
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Runs for ever: while somebody listens, asks what is new, and which of the listeners' tokens still count."""
        while True:
            await self._wanted.wait()
            try:
                await self._check_tokens()
                async with asyncio.timeout(_TOKEN_CHECK_SECONDS):
                    while self._projects:
                        await self._poll()
                        await asyncio.sleep(_INTERVAL_SECONDS)
            except TimeoutError:
                pass
            except StoreUnavailableError:
                await asyncio.sleep(_TOKEN_CHECK_SECONDS)

    async def alias_changes(
        self, caller: Caller, project_id: UUID, names: Sequence[str] | None, after: UUID | None
    ) -> AsyncGenerator[AliasChange, None]:
        """Changes as they are committed, of these aliases or all; those after the change `after`, or from now on."""
        wanted = None if names is None else frozenset(names)
        start: _Position | None = None
        if after is not None:
            async with reading(self._pool) as connection:
                row = await _POSITION_OF_CHANGE.fetchrow(connection, id=after, project_id=project_id)
            if row is None:
                raise NotFoundError(f"after is {after}, and there is no such change in this project.")
            start = _Position(*row)
        async with aclosing(self._follow(_CHANGES, caller, project_id, start)) as changes:
            async for name, change in changes:
                if wanted is None or name in wanted:
                    yield change

    async def execution_updates(
        self, caller: Caller, project_id: UUID, execution_id: UUID | None
    ) -> AsyncGenerator[Execution, None]:
        """Executions as they are created and change, from now on; changes in quick succession may come as one."""
        async with aclosing(self._follow(_EXECUTIONS, caller, project_id, None)) as executions:
            async for execution in executions:
                if execution_id in (None, execution.id):
                    yield execution

    async def log_lines(self, caller: Caller, execution: Execution, after: int) -> AsyncGenerator[LogLine, None]:
        """An execution's lines after one, as they are written, until the execution has ended.

        One writer numbers them, in the order of its commits: who knows the last number has missed none.
        """
        with self._listening(caller, execution.project_id):
            while True:
                self._require_token(caller)
                try:
                    async with reading(self._pool) as connection:
                        # first, so that what an ended execution has not said by now it never says
                        now = (await load_executions(connection, [execution.id]))[execution.id]
                        lines = await lines_after(connection, execution.id, after)
                except StoreUnavailableError:
                    await asyncio.sleep(_TOKEN_CHECK_SECONDS)
                    continue
                for line in lines:
                    yield line
                    after = line.sequence
                if now.finished_at is not None and len(lines) < MOST_LINES:
                    return
                if not lines:
                    await asyncio.sleep(_LOG_SECONDS)

    async def _follow(
        self, source: _Source[Record], caller: Caller, project_id: UUID, start: _Position | None
    ) -> AsyncGenerator[Record, None]:
        with self._listening(caller, project_id) as project:
            position, known_already = start, set[_Position]()
            while True:
                self._require_token(caller)
                moved, known = project.moved, project.newest.get(source.table, 0)
                try:
                    async with reading(self._pool) as connection:
                        if position is None:
                            position, known_already = await source.now(connection, project_id)
                        rows = await source.page(connection, project_id, position)
                except StoreUnavailableError:
                    await asyncio.sleep(_TOKEN_CHECK_SECONDS)
                    continue
                for position, record in rows:
                    if position not in known_already:
                        self._require_token(caller)
                        yield record
                if len(rows) == _PAGE:
                    continue
                if known > position.transaction:
                    # a row known from there has been written again meanwhile, and comes later
                    position = _Position.past(known)
                while project.newest.get(source.table, 0) <= position.transaction:
                    await moved.wait()
                    self._require_token(caller)
                    moved = project.moved

    @contextmanager
    def _listening(self, caller: Caller, project_id: UUID) -> Iterator[_Project]:
        token = caller.token_id
        if self._tokens[token] >= self._most_per_token:
            raise LimitExceededError(
                f"This token has {self._tokens[token]} streams open on this server process; at most"
                f" {self._most_per_token} are allowed (WAYMARK_MAX_STREAMS): end one first."
            )
        project = self._projects.setdefault(project_id, _Project())
        project.listeners += 1
        self._tokens[token] += 1
        self._wanted.set()
        try:
            yield project
        finally:
            project.listeners -= 1
            self._tokens[token] -= 1
            if not project.listeners:
                del self._projects[project_id]
            if not self._tokens[token]:
                del self._tokens[token]
                self._refused.discard(token)
            if not self._projects:
                self._wanted.clear()

    def _require_token(self, caller: Caller) -> None:
        if caller.token_id in self._refused:
            raise UnauthenticatedError("The stream's token was revoked or has expired.")

    async def _poll(self) -> None:
        async with reading(self._pool) as connection:
            rows = await _NEWEST.fetch(connection, project_ids=list(self._projects))
        for row in rows:
            newest = {name: position or 0 for name, position in list(row.items())[1:]}
            project = self._projects.get(row["id"])
            if project is not None and project.newest != newest:
                project.newest = newest
                project.wake()

    async def _check_tokens(self) -> None:
        # a stream that opens while the database answers has not been asked about
        asked = set(self._tokens)
        async with reading(self._pool) as connection:
            in_force = await tokens_in_force(connection, list(asked))
        refused = (asked - in_force) & self._tokens.keys()
        if refused - self._refused:
            self._refused |= refused
            for project in self._projects.values():
                project.wake()
