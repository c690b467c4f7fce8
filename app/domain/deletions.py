"""Bytes to delete after the commit that decided it. The rows outlive a crash and a store that is down."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from app.database.statements import Connection, Statement, columns


@dataclass(frozen=True, slots=True)
class Deletion:
    id: UUID
    store_id: UUID
    object_key: str
    #: The upload that may be under way there.
    session: str


_ENQUEUE = Statement("""
    INSERT INTO deletion (project_id, store_id, object_key, session)
    VALUES (:project_id, :store_id, :object_key, :session)
""")

# Claimed by putting off the next attempt, further each time, so that no lock is held while a store is talked to.
_CLAIM = Statement(f"""
    UPDATE deletion
    SET attempts = attempts + 1,
        due_at = clock_timestamp() + least(interval '1 hour', interval '30 seconds' * power(2, least(attempts, 10)))
    WHERE id IN (
        SELECT id FROM deletion WHERE due_at <= clock_timestamp() ORDER BY due_at LIMIT 100 FOR UPDATE SKIP LOCKED
    )
    RETURNING {columns(Deletion, "deletion")}
""")

_DONE = Statement("DELETE FROM deletion WHERE id = :id")
_FAILED = Statement("UPDATE deletion SET last_error = :error WHERE id = :id")


async def enqueue(
    connection: Connection, project_id: UUID, store_id: UUID, object_key: str, *, session: str = ""
) -> None:
    await _ENQUEUE.fetch(connection, project_id=project_id, store_id=store_id, object_key=object_key, session=session)


async def claim_due(connection: Connection) -> list[Deletion]:
    """The deletions that are due, each given to one caller only for a while."""
    return [Deletion(*row) for row in await _CLAIM.fetch(connection)]


async def finish(connection: Connection, deletion: Deletion, error: str | None) -> None:
    """Forgets a deletion that succeeded; notes why one failed, to be tried again."""
    if error is None:
        await _DONE.fetch(connection, id=deletion.id)
    else:
        await _FAILED.fetch(connection, id=deletion.id, error=error)
