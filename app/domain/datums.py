"""Datums: immutable files. What describes one (tags, properties) may change; its bytes never do."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import and_, cast, exists, or_, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import Text

from app.database import tables
from app.database.statements import Connection, Statement, columns
from app.domain import deletions
from app.domain.access import Caller, Scope
from app.domain.filters import (
    any_of,
    contains_all,
    equal,
    identity,
    moment_filter,
    overlaps,
    parameter,
    text_filter,
)
from app.domain.paging import Listing, Order
from app.domain.validation import LONGEST_REASON, require_object, require_tags, require_text
from app.errors import AliasInUseError, ForbiddenError, NotFoundError, WrongStateError


class DatumStatus(StrEnum):
    PENDING = "PENDING"
    AVAILABLE = "AVAILABLE"
    CORRUPT = "CORRUPT"
    EXPIRED = "EXPIRED"
    PURGED = "PURGED"


class DatumOrigin(StrEnum):
    UPLOAD = "UPLOAD"
    EXECUTION = "EXECUTION"
    ADOPTED = "ADOPTED"


class ChecksumEvidence(StrEnum):
    DECLARED = "DECLARED"
    ATTESTED = "ATTESTED"
    VERIFIED = "VERIFIED"


@dataclass(frozen=True, slots=True)
class Datum:
    id: UUID
    project_id: UUID
    store_id: UUID
    object_key: str
    #: The object as it was when its bytes became this datum's; reads insist on it.
    etag: str | None
    object_version: str | None
    name: str
    size: int
    media_type: str | None
    md5: str | None
    sha1: str | None
    sha256: str | None
    checksum_evidence: str
    origin: str
    status: str
    status_reason: str | None
    tags: list[str]
    properties: dict[str, Any]
    produced_by: UUID | None
    created_at: dt.datetime
    created_by: UUID | None
    purged_at: dt.datetime | None
    purged_by: UUID | None
    purge_reason: str | None


_datum = tables.datum
_DATUM = columns(Datum, "datum")

_CONDITIONS = {
    "text": _datum.c.search_text.like(parameter("text", Text)),
    **text_filter("name", _datum.c.name),
    **contains_all("tags_all", _datum.c.tags),
    **overlaps("tags_any", _datum.c.tags),
    "properties": _datum.c.properties.op("@>", is_comparison=True)(cast(parameter("properties", Text), JSONB)),
    "store": _datum.c.store_id == identity("store"),
    **equal("origin", _datum.c.origin),
    **equal("md5", _datum.c.md5),
    **equal("sha1", _datum.c.sha1),
    **equal("sha256", _datum.c.sha256),
    **any_of("status", _datum.c.status),
    "alias": exists(
        select(tables.alias.c.id).where(
            tables.alias.c.project_id == _datum.c.project_id,
            tables.alias.c.datum_id == _datum.c.id,
            tables.alias.c.name == parameter("alias", Text),
        )
    ),
    **moment_filter("created_at", _datum.c.created_at),
}

DATA = Listing(
    _datum,
    Datum,
    parent=lambda project_id: _datum.c.project_id == project_id,
    orders={
        "CREATED_AT": Order(("created_at", "id"), descending=True),
        "NAME": Order(("name", "id"), descending=True),
        "SIZE": Order(("size", "id"), descending=True),
    },
    conditions=_CONDITIONS,
)

OUTPUTS = Listing(
    _datum,
    Datum,
    # those of an attempt that lost its lease are not among them
    parent=lambda execution_id: and_(
        _datum.c.produced_by == execution_id,
        or_(
            _datum.c.attempt.is_(None),
            _datum.c.attempt
            == select(tables.execution.c.attempt).where(tables.execution.c.id == execution_id).scalar_subquery(),
        ),
    ),
    orders={"created_at": Order(("created_at", "id"))},
)

_BY_ID = Statement(f"SELECT {_DATUM} FROM datum WHERE id = ANY(:ids ::uuid[])")
_LOCK = Statement(f"SELECT {_DATUM} FROM datum WHERE id = :id FOR NO KEY UPDATE")
_DESCRIBE = Statement(f"UPDATE datum SET tags = :tags, properties = :properties WHERE id = :id RETURNING {_DATUM}")

# conflicts with FOR KEY SHARE, under which aliases are moved here and executions pin this
_LOCK_FOR_PURGE = Statement(f"SELECT {_DATUM} FROM datum WHERE id = :id FOR UPDATE")

# a statement after the lock, so that it sees all that was committed before the lock was given
_USES = Statement("""
    SELECT
        ARRAY(SELECT name FROM alias WHERE datum_id = :id ORDER BY name LIMIT 20) AS aliases,
        ARRAY(
            SELECT DISTINCT execution.number FROM execution_input_file AS file
            JOIN execution ON execution.id = file.execution_id
            WHERE file.datum_id = :id AND execution.status IN ('CREATED', 'QUEUED', 'STARTED', 'STOPPING')
            ORDER BY number LIMIT 20
        ) AS executions
""")

_PURGE = Statement(f"""
    UPDATE datum SET status = 'PURGED', purged_at = clock_timestamp(), purged_by = :actor_id, purge_reason = :reason
    WHERE id = :id RETURNING {_DATUM}
""")


async def load_datums(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Datum]:
    return {row["id"]: Datum(*row) for row in await _BY_ID.fetch(connection, ids=ids)}


async def update_datum(
    connection: Connection,
    datum_id: UUID,
    *,
    add_tags: Sequence[str],
    remove_tags: Sequence[str],
    set_properties: dict[str, Any],
    remove_properties: Sequence[str],
) -> Datum:
    """Changes what describes a datum; what is given to both add and remove is added."""
    (row,) = await _LOCK.fetch(connection, id=datum_id)
    datum = Datum(*row)
    tags = [tag for tag in datum.tags if tag not in remove_tags] + list(add_tags)
    properties = {name: value for name, value in datum.properties.items() if name not in remove_properties}
    (row,) = await _DESCRIBE.fetch(
        connection,
        id=datum_id,
        tags=require_tags("tags", tags),
        properties=require_object("properties", properties | require_object("setProperties", set_properties)),
    )
    return Datum(*row)


async def purge_datum(connection: Connection, caller: Caller, datum_id: UUID, *, reason: str, force: bool) -> Datum:
    """Gives up a datum's bytes; its record, history and lineage stay. Purging a purged datum changes nothing."""
    require_text("reason", reason, longest=LONGEST_REASON)
    if force and not caller.may(Scope.ADMIN):
        raise ForbiddenError("A forced purge needs a token with scope ADMIN.")
    row = await _LOCK_FOR_PURGE.fetchrow(connection, id=datum_id)
    if row is None:
        raise NotFoundError(f"There is no datum {datum_id}.")
    datum = Datum(*row)
    if datum.status == DatumStatus.PURGED:
        return datum
    if datum.status in (DatumStatus.PENDING, DatumStatus.EXPIRED):
        raise WrongStateError(f"Datum {datum_id} is {datum.status}: it has no bytes to purge.")
    (uses,) = await _USES.fetch(connection, id=datum_id)
    if not force and (uses["aliases"] or uses["executions"]):
        blockers = [f"alias {name!r} points at it" for name in uses["aliases"]]
        blockers += [f"execution {number} is unfinished and pins it" for number in uses["executions"]]
        raise AliasInUseError(
            f"Datum {datum_id} is in use: {', '.join(blockers)}. Move them away, or force the purge.",
            aliases=uses["aliases"],
            executions=uses["executions"],
        )
    (row,) = await _PURGE.fetch(connection, id=datum_id, actor_id=caller.actor_id, reason=reason)
    purged = Datum(*row)
    if purged.origin != DatumOrigin.ADOPTED:
        await deletions.enqueue(connection, purged.project_id, purged.store_id, purged.object_key)
    return purged
