"""References: what a user writes for a file, and what it means, now or at an instant."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.database.statements import Connection, Row, Statement
from app.domain.validation import is_id, require_name
from app.errors import AppError, BadUserInputError, DatumPurgedError, NotFoundError, WrongStateError

_SCHEME = "datum://"


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference as written, and the one thing it names: a datum by id, or an alias of the project."""

    text: str
    datum_id: UUID | None = None
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    reference: Reference
    datum_id: UUID
    alias_id: UUID | None
    version: int | None


def parse_reference(text: str) -> Reference:
    """Reads `datum://<id>` or `datum://<alias>`. What has the form of an id is one, never an alias."""
    if not text.startswith(_SCHEME):
        raise BadUserInputError(f"{text!r} is no reference to a file; expected datum://<id> or datum://<alias>.")
    name = text.removeprefix(_SCHEME)
    if is_id(name):
        return Reference(text, datum_id=UUID(name))
    return Reference(text, alias=require_name(f"the alias in {text}", name))


def parse_datum(text: str) -> Reference:
    """Reads what an argument `datum` takes: a bare id, or any reference."""
    return Reference(text, datum_id=UUID(text)) if is_id(text) else parse_reference(text)


_NOW = Statement("""
    SELECT wanted.position, alias.id AS alias_id, alias.version, datum.id AS datum_id, datum.status, datum.purged_at,
        false AS is_future
    FROM unnest(:datum_ids ::uuid[], :aliases ::text[]) WITH ORDINALITY AS wanted (datum_id, alias, position)
    LEFT JOIN alias ON alias.project_id = :project_id AND alias.name = wanted.alias
    LEFT JOIN datum ON datum.project_id = :project_id AND datum.id = coalesce(wanted.datum_id, alias.datum_id)
    ORDER BY wanted.position
""")

_AT = Statement("""
    SELECT wanted.position, alias.id AS alias_id, change.version, datum.id AS datum_id, datum.status, datum.purged_at,
        :at > clock_timestamp() AS is_future
    FROM unnest(:datum_ids ::uuid[], :aliases ::text[]) WITH ORDINALITY AS wanted (datum_id, alias, position)
    LEFT JOIN alias ON alias.project_id = :project_id AND alias.name = wanted.alias
    LEFT JOIN LATERAL (
        SELECT version, to_datum_id FROM alias_history
        WHERE alias_id = alias.id AND at <= :at ORDER BY at DESC LIMIT 1
    ) AS change ON true
    LEFT JOIN datum ON datum.project_id = :project_id AND datum.id = coalesce(wanted.datum_id, change.to_datum_id)
    ORDER BY wanted.position
""")


async def resolve(
    connection: Connection, project_id: UUID, references: Sequence[Reference], at: dt.datetime | None = None
) -> list[Resolution | AppError]:
    """What each reference means, all in one snapshot; in place of one that means nothing stands the error."""
    values = {
        "project_id": project_id,
        "datum_ids": [reference.datum_id for reference in references],
        "aliases": [reference.alias for reference in references],
    }
    if at is None:
        rows = await _NOW.fetch(connection, **values)
    else:
        rows = await _AT.fetch(connection, at=at, **values)
        if rows and rows[0]["is_future"]:
            raise future_instant(at)
    return [_resolution(reference, row, at) for reference, row in zip(references, rows, strict=True)]


def _resolution(reference: Reference, row: Row, at: dt.datetime | None) -> Resolution | AppError:
    fault = datum_fault(reference, row["datum_id"], row["status"], row["purged_at"], at)
    return fault or Resolution(reference, row["datum_id"], row["alias_id"], row["version"])


def datum_fault(
    reference: Reference,
    datum_id: UUID | None,
    status: str | None,
    purged_at: dt.datetime | None,
    at: dt.datetime | None = None,
) -> AppError | None:
    """Why the file that a reference means cannot be used; None when it can."""
    if datum_id is None:
        when = f" at {at.isoformat()}" if at else ""
        if reference.alias is not None:
            return NotFoundError(
                f"{reference.text} means nothing{when}: no alias {reference.alias!r} points at a file."
            )
        return NotFoundError(f"There is no datum {reference.datum_id} in this project.")
    if status == "PURGED" and purged_at is not None:
        return DatumPurgedError(
            f"{reference.text} means datum {datum_id}, which was purged at {purged_at.isoformat()}.",
            datumId=str(datum_id),
            purgedAt=purged_at.isoformat(),
        )
    if status != "AVAILABLE":
        return WrongStateError(
            f"{reference.text} means datum {datum_id}, which is {status}; only AVAILABLE files can be used.",
            datumId=str(datum_id),
            status=status,
        )
    return None


def future_instant(at: dt.datetime) -> BadUserInputError:
    return BadUserInputError(f"at is {at.isoformat()}, which is in the future; what is then in force cannot be known.")
