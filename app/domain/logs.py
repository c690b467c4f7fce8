"""Logs: what an execution said, line by line, numbered by the one who may write."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from app.database import tables
from app.database.statements import Connection, Statement, columns
from app.domain.executions import Execution
from app.domain.paging import Listing, Order
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


# a line that came already was sent again because the answer was lost
_APPEND = Statement("""
    INSERT INTO log_line (project_id, execution_id, attempt, sequence, at, stream, message)
    SELECT :project_id, :execution_id, :attempt, line.*
    FROM unnest(:sequences ::integer[], :ats ::timestamptz[], :streams ::text[], :messages ::text[]) AS line
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
    )


async def lines_after(connection: Connection, execution_id: UUID, after: int) -> list[LogLine]:
    """The next lines, at most a thousand."""
    return [LogLine(*row) for row in await _AFTER.fetch(connection, execution_id=execution_id, after=after)]
