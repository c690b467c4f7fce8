"""Logs: what an execution said, line by line, numbered by the one who may write."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import and_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text

from app.database import tables
from app.database.statements import Connection, Statement, columns
from app.domain.executions import Execution
from app.domain.filters import parameter
from app.domain.paging import Listing, Order
from app.domain.validation import require_object
from app.errors import BadUserInputError

MOST_LINES = 1000
_LONGEST_LINE = 64 * 1024


class LogStream(StrEnum):
    STATUS = "STATUS"
    STDOUT = "STDOUT"
    STDERR = "STDERR"


@dataclass(frozen=True, slots=True)
class LogLine:
    execution_id: UUID
    sequence: int
    at: dt.datetime
    stream: str
    message: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """What an execution said of itself in one line."""

    execution_id: UUID
    sequence: int
    at: dt.datetime
    metadata: dict[str, Any]


# a line that came already was sent again because the answer was lost
_APPEND = Statement("""
    INSERT INTO log_line (project_id, execution_id, attempt, sequence, at, stream, message, metadata)
    SELECT :project_id, :execution_id, :attempt, line.*
    FROM unnest(
        :sequences ::integer[], :ats ::timestamptz[], :streams ::text[], :messages ::text[], :metadata ::jsonb[]
    ) AS line
    ON CONFLICT DO NOTHING
""")

_AFTER = Statement(f"""
    SELECT {columns(LogLine, "log_line")} FROM log_line
    WHERE execution_id = :execution_id AND sequence > :after ORDER BY sequence LIMIT {MOST_LINES}
""")

LOG_LINES = Listing(
    tables.log_line,
    LogLine,
    parent=lambda execution_id: tables.log_line.c.execution_id == execution_id,
    orders={"sequence": Order(("sequence",))},
)

_line = tables.log_line

METADATA = Listing(
    _line,
    Metadata,
    # a worker that was lost has said it of an attempt that no longer counts
    parent=lambda execution_id: and_(
        _line.c.execution_id == execution_id,
        _line.c.metadata.is_not(None),
        _line.c.attempt
        == select(tables.execution.c.attempt).where(tables.execution.c.id == _line.c.execution_id).scalar_subquery(),
    ),
    orders={"sequence": Order(("sequence",))},
    conditions={"keys_any": _line.c.metadata.op("?|", is_comparison=True)(parameter("keys_any", ARRAY(Text)))},
)


async def append(connection: Connection, execution: Execution, lines: Sequence[LogLine]) -> None:
    """Keeps lines of an execution that is held; each is kept once, however often it is sent."""
    if len(lines) > MOST_LINES:
        raise BadUserInputError(f"lines has {len(lines)} entries; expected at most {MOST_LINES}.")
    await _APPEND.fetch(
        connection,
        project_id=execution.project_id,
        execution_id=execution.id,
        attempt=execution.attempt,
        sequences=[line.sequence for line in lines],
        ats=[line.at for line in lines],
        streams=[line.stream for line in lines],
        # PostgreSQL keeps no NUL in texts
        messages=[line.message.replace("\0", "\ufffd")[:_LONGEST_LINE] for line in lines],
        metadata=[_metadata_of(line) for line in lines],
    )


def _metadata_of(line: LogLine) -> dict[str, Any] | None:
    """The object that a command printed; None where the line is none, or none that can be kept."""
    text = line.message.strip()
    # PostgreSQL's JSON has no U+0000 either
    if line.stream != LogStream.STDOUT or not text.startswith("{") or "\\u0000" in text:
        return None
    try:
        return require_object("metadata", orjson.loads(text))
    except (orjson.JSONDecodeError, BadUserInputError):
        return None


async def lines_after(connection: Connection, execution_id: UUID, after: int) -> list[LogLine]:
    """The next lines, at most a thousand."""
    return [LogLine(*row) for row in await _AFTER.fetch(connection, execution_id=execution_id, after=after)]
