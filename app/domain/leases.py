"""Leases: how an execution gets to one worker at a time, and what becomes of it when that worker is gone.

A lease is a secret between the server and a worker, for one attempt. Who cannot show the one in force changes nothing:
what a worker that was thought dead still reports is refused.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from app.database.statements import Connection, Statement, columns
from app.domain import tasks
from app.domain.access import Caller, Via
from app.domain.aliases import Move, set_aliases
from app.domain.executions import Execution, ExecutionStatus, Warned, warn
from app.domain.references import Reference
from app.domain.validation import require_tags, require_text
from app.errors import LeaseLostError, WrongStateError

LIFETIME = dt.timedelta(seconds=60)
MOST_ATTEMPTS = 3

_EXECUTION = columns(Execution, "execution")


@dataclass(frozen=True, slots=True)
class Lease:
    """An execution in the hands of a worker."""

    execution: Execution
    id: UUID
    #: The last line of its log, which the worker goes on from.
    last_line: int


_CLAIM = Statement(f"""
    WITH next AS (
        SELECT id FROM execution
        WHERE status = 'QUEUED' AND labels <@ :labels ::text[] AND (image IS NOT NULL OR NOT :image_only ::boolean)
            AND (:project_ids ::uuid[] IS NULL OR project_id = ANY(:project_ids ::uuid[]))
        ORDER BY priority DESC, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE execution SET status = 'STARTED', attempt = attempt + 1, lease = gen_random_uuid(),
        leased_until = clock_timestamp() + :lifetime ::interval, worker = :worker, started_at = clock_timestamp(),
        feed_position = DEFAULT
    FROM next WHERE execution.id = next.id
    RETURNING lease, (SELECT coalesce(max(sequence), 0) FROM log_line WHERE execution_id = execution.id),
        {_EXECUTION}
""")

_EXTEND = Statement(f"""
    UPDATE execution SET leased_until = clock_timestamp() + :lifetime ::interval
    WHERE id = :id AND lease = :lease AND status IN ('STARTED', 'STOPPING')
    RETURNING {_EXECUTION}
""")

# against a sweep and against another report; heartbeats wait for a moment
_HOLD = Statement(f"""
    SELECT lease = :lease AND status IN ('STARTED', 'STOPPING') AS held, lease = :lease AS own, {_EXECUTION}
    FROM execution WHERE id = :id FOR NO KEY UPDATE
""")

_FINISH = Statement(f"""
    UPDATE execution SET status = :status, exit_code = :exit_code, finished_at = clock_timestamp(),
        feed_position = DEFAULT
    WHERE id = :id RETURNING {_EXECUTION}
""")

# purged and corrupt ones have no bytes that an alias could point at
_STAGED = Statement("""
    SELECT id, staged_alias FROM datum
    WHERE produced_by = :execution_id AND attempt = :attempt AND staged_alias IS NOT NULL AND status = 'AVAILABLE'
    ORDER BY staged_alias
""")

_LOCK = Statement(f"SELECT {_EXECUTION} FROM execution WHERE id = :id FOR NO KEY UPDATE")
_STOP = Statement(f"""
    UPDATE execution SET feed_position = DEFAULT,
        status = CASE WHEN status = 'STARTED' THEN 'STOPPING' ELSE 'STOPPED' END,
        finished_at = CASE WHEN status <> 'STARTED' THEN clock_timestamp() END
    WHERE id = :id RETURNING {_EXECUTION}
""")

_LATE = Statement("""
    SELECT id FROM execution
    WHERE status IN ('STARTED', 'STOPPING') AND leased_until < clock_timestamp()
    ORDER BY id LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED
""")

# The line is the newest of its log: nobody else may write one now. (In the statement that takes the locks, another
# sweep's line could be missing from the snapshot.)
_SWEEP = Statement(f"""
    WITH late AS (
        SELECT id, worker FROM execution WHERE id = ANY(:ids ::uuid[])
    ), swept AS (
        UPDATE execution SET lease = NULL, leased_until = NULL, feed_position = DEFAULT,
            status = CASE WHEN status = 'STOPPING' THEN 'STOPPED' WHEN attempt < {MOST_ATTEMPTS} THEN 'QUEUED'
                ELSE 'ERROR' END,
            queued_at = CASE WHEN status = 'STARTED' AND attempt < {MOST_ATTEMPTS} THEN clock_timestamp()
                ELSE queued_at END,
            finished_at = CASE WHEN status = 'STOPPING' OR attempt >= {MOST_ATTEMPTS} THEN clock_timestamp() END
        FROM late WHERE execution.id = late.id
        RETURNING execution.*
    ), said AS (
        INSERT INTO log_line (project_id, execution_id, sequence, attempt, stream, message)
        SELECT project_id, id, (SELECT coalesce(max(sequence), 0) + 1 FROM log_line WHERE execution_id = swept.id),
            attempt, 'STATUS', concat('worker ', worker, ' is gone: attempt ', attempt, ' of {MOST_ATTEMPTS} lost its',
            ' lease; ', CASE status WHEN 'STOPPED' THEN 'stopped, as was asked' WHEN 'QUEUED' THEN 'queued again'
                ELSE 'given up' END)
        FROM swept
    )
    SELECT {columns(Execution, "swept")} FROM swept
""")


async def claim(
    connection: Connection, caller: Caller, *, worker: str, labels: Sequence[str], image_only: bool = False
) -> Lease | None:
    """Gives the next execution whose labels a worker has to it; None when there is none for it.

    `image_only` is for a worker that runs commands in containers alone.
    """
    require_text("worker", worker, longest=255)
    row = await _CLAIM.fetchrow(
        connection,
        labels=require_tags("labels", labels),
        image_only=image_only,
        project_ids=None if caller.project_ids is None else list(caller.project_ids),
        lifetime=LIFETIME,
        worker=worker,
    )
    return None if row is None else Lease(Execution(*tuple(row)[2:]), row[0], row[1])


async def extend(connection: Connection, execution_id: UUID, lease: UUID) -> Execution:
    """The heartbeat: keeps the lease, and tells whether the execution is to be stopped."""
    row = await _EXTEND.fetchrow(connection, id=execution_id, lease=lease, lifetime=LIFETIME)
    if row is None:
        raise lost(execution_id)
    return Execution(*row)


async def hold(connection: Connection, execution_id: UUID, lease: UUID) -> Execution:
    """The execution, whose lease cannot be lost before the transaction ends; LEASE_LOST if it has been."""
    row = await _HOLD.fetchrow(connection, id=execution_id, lease=lease)
    if row is None or not row["held"]:
        raise lost(execution_id)
    return Execution(*tuple(row)[2:])


async def finish(
    connection: Connection,
    caller: Caller,
    execution_id: UUID,
    lease: UUID,
    *,
    exit_code: int | None,
    warnings: Sequence[Warned] = (),
) -> Execution:
    """Ends an execution: COMPLETE if its command returned 0, STOPPED if that was asked for, else ERROR.

    One that completes moves the aliases that its outputs asked for, in the name of who created it.
    Again with the same lease, it changes nothing: the answer to the first time may have been lost.
    """
    row = await _HOLD.fetchrow(connection, id=execution_id, lease=lease)
    if row is None or not row["own"]:
        raise lost(execution_id)
    execution = Execution(*tuple(row)[2:])
    if not row["held"]:
        return execution
    if execution.status == ExecutionStatus.STOPPING:
        status = ExecutionStatus.STOPPED
    else:
        status = ExecutionStatus.COMPLETE if exit_code == 0 else ExecutionStatus.ERROR
    await warn(connection, execution, warnings)
    if status == ExecutionStatus.COMPLETE:
        await _move_aliases(connection, caller, execution)
    (ended,) = await _FINISH.fetch(connection, id=execution_id, status=status, exit_code=exit_code)
    if execution.task_id is not None:
        await tasks.go_on(connection, execution.task_id, failed=status == ExecutionStatus.ERROR)
    return Execution(*ended)


async def _move_aliases(connection: Connection, caller: Caller, execution: Execution) -> None:
    rows = await _STAGED.fetch(connection, execution_id=execution.id, attempt=execution.attempt)
    moves = [Move(row["staged_alias"], Reference(f"datum://{row['id']}", datum_id=row["id"])) for row in rows]
    if moves:
        author = replace(caller, actor_id=execution.created_by or caller.actor_id, via=Via.EXECUTION)
        await set_aliases(
            connection, author, execution.project_id, moves, reason=None, claim=None, execution_id=execution.id
        )


async def stop_execution(connection: Connection, execution_id: UUID) -> Execution:
    """Stops an execution, or has its worker do so; stopping a stopped one changes nothing."""
    (row,) = await _LOCK.fetch(connection, id=execution_id)
    execution = Execution(*row)
    if execution.status in (ExecutionStatus.STOPPING, ExecutionStatus.STOPPED):
        return execution
    if execution.status in (ExecutionStatus.COMPLETE, ExecutionStatus.ERROR):
        raise WrongStateError(f"Execution {execution.number} has ended: it is {execution.status}.")
    (row,) = await _STOP.fetch(connection, id=execution_id)
    stopped = Execution(*row)
    if stopped.task_id is not None and stopped.status == ExecutionStatus.STOPPED:
        await tasks.go_on(connection, stopped.task_id, failed=False)
    return stopped


async def sweep(connection: Connection) -> int:
    """Takes executions from workers that have not been heard of; returns how many."""
    late = [row["id"] for row in await _LATE.fetch(connection)]
    if not late:
        return 0
    swept = [Execution(*row) for row in await _SWEEP.fetch(connection, ids=late)]
    for execution in swept:
        if execution.task_id is not None and execution.status != ExecutionStatus.QUEUED:
            await tasks.go_on(connection, execution.task_id, failed=execution.status == ExecutionStatus.ERROR)
    return len(swept)


def lost(execution_id: UUID) -> LeaseLostError:
    return LeaseLostError(f"Execution {execution_id} is not leased to this worker, or not any more.")
