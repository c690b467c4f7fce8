"""Tasks: executions made together, from one template and a table of parameter values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from app.database import tables
from app.database.statements import Connection, Statement, columns
from app.domain.access import Caller
from app.domain.adoptions import Found
from app.domain.executions import ExecutionSpec, ExecutionStatus, create_executions_of_task
from app.domain.idempotency import Claim
from app.domain.paging import Listing, Order
from app.domain.secrets import SecretBox
from app.domain.task_plans import MOST_SETS
from app.domain.validation import require_object, require_text
from app.errors import BadUserInputError, NotFoundError


class TaskStatus(StrEnum):
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    ERROR = "ERROR"
    COMPLETE = "COMPLETE"


class OnChildError(StrEnum):
    CONTINUE = "CONTINUE"
    STOP_ALL = "STOP_ALL"


@dataclass(frozen=True, slots=True)
class Task:
    id: UUID
    project_id: UUID
    number: int
    title: str | None
    #: How many of its executions may run at once; None for no limit.
    max_concurrent: int | None
    on_child_error: str
    created_at: dt.datetime
    created_by: UUID | None


_CREATE = Statement(f"""
    WITH numbered AS (
        UPDATE project SET last_task_number = last_task_number + 1 WHERE id = :project_id
        RETURNING last_task_number AS number
    ), task AS (
        INSERT INTO task (id, project_id, number, title, max_concurrent, on_child_error, created_by)
        SELECT coalesce(:id ::uuid, uuidv7()), :project_id, number, :title, :max_concurrent, :on_child_error, :actor_id
        FROM numbered
        RETURNING *
    )
    SELECT {columns(Task, "task")} FROM task
""")
_BY_ID = Statement(f"SELECT {columns(Task, 'task')} FROM task WHERE id = ANY(:ids ::uuid[])")
_BY_NUMBER = Statement(f"""
    SELECT {columns(Task, "task")}
    FROM task JOIN unnest(:project_ids ::uuid[], :numbers ::integer[]) AS wanted (id, number)
        ON task.project_id = wanted.id AND task.number = wanted.number
""")
_COUNTS = Statement("""
    SELECT task_id, status, count(*) FROM execution WHERE task_id = ANY(:ids ::uuid[]) GROUP BY task_id, status
""")

_LOCK = Statement(f"SELECT {columns(Task, 'task')} FROM task WHERE id = :id FOR NO KEY UPDATE")
_STOP_ALL = Statement("""
    UPDATE execution SET feed_position = DEFAULT,
        status = CASE WHEN status = 'STARTED' THEN 'STOPPING' ELSE 'STOPPED' END,
        finished_at = CASE WHEN status <> 'STARTED' THEN clock_timestamp() END
    WHERE task_id = :task_id AND status IN ('CREATED', 'QUEUED', 'STARTED')
""")
_QUEUE_NEXT = Statement("""
    WITH next AS (
        SELECT id FROM execution WHERE task_id = :task_id AND status = 'CREATED' ORDER BY number LIMIT greatest(0, (
            SELECT :at_once ::bigint - count(*) FROM execution
            WHERE task_id = :task_id AND status IN ('QUEUED', 'STARTED', 'STOPPING')
        ))
    )
    UPDATE execution SET status = 'QUEUED', queued_at = clock_timestamp(), feed_position = DEFAULT
    FROM next WHERE execution.id = next.id
""")

TASKS = Listing(
    tables.task,
    Task,
    parent=lambda project_id: tables.task.c.project_id == project_id,
    orders={"number": Order(("number",), descending=True)},
)


async def create_task(
    connection: Connection,
    caller: Caller,
    project_id: UUID,
    template: ExecutionSpec,
    parameter_sets: Sequence[object],
    *,
    title: str | None,
    max_concurrent: int | None,
    on_child_error: OnChildError,
    own_commands: Sequence[list[str]] = (),
    secrets: SecretBox,
    claim: Claim | None,
    found: Mapping[str, list[Found]],
) -> Task:
    """Makes a task and an execution for each parameter set, whose values go over those of the template.

    `own_commands` has the command of each, where a config makes them of the parameters.
    The template's references are resolved once: all executions are pinned to the same files.
    """
    if claim and claim.replayed:
        return (await load_tasks(connection, [claim.result_id]))[claim.result_id]
    if title is not None:
        require_text("title", title, longest=1024)
    if max_concurrent is not None and max_concurrent < 1:
        raise BadUserInputError(f"maxConcurrent is {max_concurrent}; expected a number from 1.")
    if not 1 <= len(parameter_sets) <= MOST_SETS:
        raise BadUserInputError(f"parameterSets has {len(parameter_sets)} entries; expected 1 to {MOST_SETS}.")
    checked = [require_object(f"parameterSets[{place}]", each) for place, each in enumerate(parameter_sets)]
    row = await _CREATE.fetchrow(
        connection,
        id=claim and claim.result_id,
        project_id=project_id,
        title=title,
        max_concurrent=max_concurrent,
        on_child_error=on_child_error,
        actor_id=caller.actor_id,
    )
    if row is None:
        raise NotFoundError(f"There is no project {project_id}.")
    task = Task(*row)
    await create_executions_of_task(
        connection,
        caller,
        project_id,
        template,
        checked,
        task_id=task.id,
        max_concurrent=max_concurrent,
        own_commands=own_commands,
        secrets=secrets,
        found=found,
    )
    return task


async def go_on(connection: Connection, task_id: UUID, *, failed: bool) -> None:
    """After one of a task's executions has ended: queues those whose turn it is, or stops them all if it says so."""
    (row,) = await _LOCK.fetch(connection, id=task_id)
    task = Task(*row)
    if failed and task.on_child_error == OnChildError.STOP_ALL:
        await _STOP_ALL.fetch(connection, task_id=task_id)
    elif task.max_concurrent is not None:
        await _QUEUE_NEXT.fetch(connection, task_id=task_id, at_once=task.max_concurrent)


def status_of(counts: Mapping[ExecutionStatus, int]) -> TaskStatus:
    """What a task is at, by how many of its executions have each status."""
    ended = {ExecutionStatus.STOPPED, ExecutionStatus.ERROR, ExecutionStatus.COMPLETE}
    unfinished = counts.keys() - ended
    if unfinished == {ExecutionStatus.STOPPING}:
        return TaskStatus.STOPPING
    if unfinished:
        return TaskStatus.RUNNING
    if ExecutionStatus.ERROR in counts:
        return TaskStatus.ERROR
    return TaskStatus.STOPPED if ExecutionStatus.STOPPED in counts else TaskStatus.COMPLETE


async def load_tasks(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Task]:
    return {row["id"]: Task(*row) for row in await _BY_ID.fetch(connection, ids=ids)}


async def load_tasks_by_number(
    connection: Connection, keys: Sequence[tuple[UUID, int]]
) -> dict[tuple[UUID, int], Task]:
    rows = await _BY_NUMBER.fetch(connection, project_ids=[key[0] for key in keys], numbers=[key[1] for key in keys])
    return {(row["project_id"], row["number"]): Task(*row) for row in rows}


async def counts_of_tasks(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, dict[ExecutionStatus, int]]:
    """How many executions of each task have each status, in the order of the statuses; those of none are left out."""
    found: dict[UUID, dict[ExecutionStatus, int]] = {task_id: {} for task_id in ids}
    rows = await _COUNTS.fetch(connection, ids=ids)
    for row in sorted(rows, key=lambda row: list(ExecutionStatus).index(row["status"])):
        found[row["task_id"]][ExecutionStatus(row["status"])] = row["count"]
    return found
