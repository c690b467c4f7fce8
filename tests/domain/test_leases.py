"""Leases: one worker at a time, and none that is thought dead."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.domain import leases, logs, tasks
from app.domain.executions import Execution, ExecutionSpec, ExecutionStatus, create_execution
from app.domain.leases import Lease
from app.errors import LeaseLostError, WrongStateError
from tests.make import World


async def _queue(world: World, **values: Any) -> Execution:
    async with world.write() as connection:
        return await create_execution(
            connection,
            world.caller,
            world.project_id,
            ExecutionSpec(command=["true"], **values),
            secrets=world.secrets,
            claim=None,
            found={},
        )


async def _claim(world: World, *labels: str) -> Lease | None:
    async with world.write() as connection:
        return await leases.claim(connection, world.caller, worker="w", labels=list(labels))


async def _claimed(world: World) -> Lease:
    lease = await _claim(world)
    assert lease
    return lease


async def _finish(world: World, lease: Lease, exit_code: int | None = 0) -> str:
    async with world.write() as connection:
        ended = await leases.finish(connection, world.caller, lease.execution.id, lease.id, exit_code=exit_code)
    return ended.status


async def _lose(world: World, lease: Lease) -> int:
    """Lets the lease's time pass."""
    await world.rows("UPDATE execution SET leased_until = now() - interval '1 s' WHERE lease = $1", lease.id)
    async with world.write() as connection:
        return await leases.sweep(connection)


async def _is_lost(world: World, lease: Lease) -> bool:
    (row,) = await world.rows("SELECT lease FROM execution WHERE id = $1", lease.execution.id)
    return bool(row["lease"] != lease.id)


async def _status(world: World, execution_id: UUID) -> tuple[str, int]:
    (row,) = await world.rows("SELECT status, attempt FROM execution WHERE id = $1", execution_id)
    return row["status"], row["attempt"]


async def test_the_first_in_line_is_the_one_of_the_highest_priority_then_the_oldest(world: World) -> None:
    first, urgent, second = await _queue(world), await _queue(world, priority=5), await _queue(world)
    claimed = [await _claimed(world) for _ in range(3)]
    assert [lease.execution.id for lease in claimed] == [urgent.id, first.id, second.id]
    assert {(lease.execution.status, lease.execution.attempt) for lease in claimed} == {("STARTED", 1)}
    assert await _claim(world) is None


async def test_a_worker_gets_only_what_it_has_the_labels_for(world: World) -> None:
    gpu = await _queue(world, labels=["gpu", "large"])
    assert await _claim(world) is None
    assert await _claim(world, "gpu") is None
    lease = await _claim(world, "large", "gpu", "more")
    assert lease is not None
    assert lease.execution.id == gpu.id


async def test_a_worker_gets_only_what_its_token_sees(world: World) -> None:
    await _queue(world)
    stranger = replace(world.caller, project_ids=frozenset([uuid4()]))
    async with world.write() as connection:
        assert await leases.claim(connection, stranger, worker="w", labels=[]) is None


async def test_each_goes_to_one_worker_however_many_ask(world: World) -> None:
    wanted = {(await _queue(world)).id for _ in range(10)}
    claimed = [lease for lease in await asyncio.gather(*(_claim(world) for _ in range(15))) if lease]
    assert len(claimed) == 10
    assert {lease.execution.id for lease in claimed} == wanted


@pytest.mark.parametrize(("exit_code", "status"), [(0, "COMPLETE"), (3, "ERROR"), (None, "ERROR")])
async def test_how_it_ends_is_said_by_what_the_command_returned(
    world: World, exit_code: int | None, status: str
) -> None:
    await _queue(world)
    lease = await _claimed(world)
    assert await _finish(world, lease, exit_code) == status
    # the answer was lost, and the worker says it again
    assert await _finish(world, lease, 7) == status
    (row,) = await world.rows("SELECT exit_code, finished_at FROM execution")
    assert (row["exit_code"], row["finished_at"] is None) == (exit_code, False)


async def test_a_worker_that_is_gone_loses_its_lease_and_whatever_it_says_later_changes_nothing(world: World) -> None:
    await _queue(world)
    dead = await _claimed(world)
    assert await _lose(world, dead) == 1
    assert await _status(world, dead.execution.id) == ("QUEUED", 1)
    lease = await _claimed(world)
    assert (lease.execution.id, lease.execution.attempt, lease.last_line) == (dead.execution.id, 2, 1)
    late = logs.LogLine(dead.execution.id, 2, dead.execution.created_at, "STDOUT", "late")
    async with world.write() as connection:
        for work in (
            leases.extend(connection, dead.execution.id, dead.id),
            leases.hold(connection, dead.execution.id, dead.id),
            leases.finish(connection, world.caller, dead.execution.id, dead.id, exit_code=0),
        ):
            with pytest.raises(LeaseLostError):
                await work
        held = await leases.hold(connection, lease.execution.id, lease.id)
        await logs.append(connection, held, [replace(late, message="mine"), replace(late, sequence=3, message="x\0y")])
        await logs.append(connection, held, [replace(late, message="mine, again")])
    said = await world.rows("SELECT attempt, stream, message FROM log_line ORDER BY sequence")
    assert [tuple(row) for row in said] == [
        (1, "STATUS", "worker w is gone: attempt 1 of 3 lost its lease; queued again"),
        (2, "STDOUT", "mine"),
        (2, "STDOUT", "x\ufffdy"),
    ]
    assert await _finish(world, lease) == "COMPLETE"


async def test_after_three_attempts_it_is_given_up_and_says_so(world: World) -> None:
    execution = await _queue(world)
    for _ in range(3):
        await _lose(world, await _claimed(world))
    assert await _status(world, execution.id) == ("ERROR", 3)
    assert await _claim(world) is None
    (row,) = await world.rows("SELECT message FROM log_line ORDER BY sequence DESC LIMIT 1")
    assert row["message"] == "worker w is gone: attempt 3 of 3 lost its lease; given up"


async def test_who_began_earlier_and_ends_later_moves_the_alias_too_and_its_history_tells_the_order(
    world: World,
) -> None:
    executions = [await _queue(world), await _queue(world)]
    early, late = await _claimed(world), await _claimed(world)
    outputs = []
    for lease in (early, late):
        outputs.append(await world.a_datum())
        await world.rows(
            "UPDATE datum SET origin = 'EXECUTION', produced_by = $2, attempt = 1, staged_alias = 'model'"
            " WHERE id = $1",
            outputs[-1],
            lease.execution.id,
        )
    await _finish(world, late)
    await _finish(world, early)
    history = await world.rows(
        "SELECT version, from_datum_id, to_datum_id, execution_id, at FROM alias_history ORDER BY version"
    )
    assert [tuple(row)[:4] for row in history] == [
        (1, None, outputs[1], executions[1].id),
        (2, outputs[1], outputs[0], executions[0].id),
    ]
    assert history[0]["at"] < history[1]["at"]


async def test_a_heartbeat_keeps_the_lease(world: World) -> None:
    await _queue(world)
    lease = await _claimed(world)
    await world.rows("UPDATE execution SET leased_until = now() - interval '1 s'")
    async with world.write() as connection:
        assert (await leases.extend(connection, lease.execution.id, lease.id)).status == "STARTED"
        assert await leases.sweep(connection) == 0


async def test_stopping_what_runs_is_up_to_its_worker_and_what_waits_stops_at_once(world: World) -> None:
    await _queue(world)
    lease, waiting = await _claimed(world), await _queue(world)
    async with world.write() as connection:
        assert (await leases.stop_execution(connection, waiting.id)).status == "STOPPED"
        assert (await leases.stop_execution(connection, lease.execution.id)).status == "STOPPING"
        assert (await leases.stop_execution(connection, lease.execution.id)).status == "STOPPING"
        assert (await leases.extend(connection, lease.execution.id, lease.id)).status == "STOPPING"
    assert await _finish(world, lease, 0) == "STOPPED"
    await _queue(world)
    done = await _claimed(world)
    await _finish(world, done)
    async with world.write() as connection:
        with pytest.raises(WrongStateError):
            await leases.stop_execution(connection, done.execution.id)


async def test_a_lease_lost_while_stopping_ends_in_stopped(world: World) -> None:
    await _queue(world)
    lease = await _claimed(world)
    async with world.write() as connection:
        await leases.stop_execution(connection, lease.execution.id)
    await _lose(world, lease)
    assert await _status(world, lease.execution.id) == ("STOPPED", 1)


async def _task(world: World, count: int, **options: Any) -> UUID:
    async with world.write() as connection:
        task = await tasks.create_task(
            connection,
            world.caller,
            world.project_id,
            ExecutionSpec(command=["true"]),
            [{"n": number} for number in range(count)],
            **{"title": None, "max_concurrent": None, "on_child_error": tasks.OnChildError.CONTINUE, **options},
            secrets=world.secrets,
            claim=None,
            found={},
        )
    return task.id


async def _counts(world: World, task_id: UUID) -> dict[str, int]:
    async with world.pool.acquire() as connection:
        return {
            str(status): count
            for status, count in (await tasks.counts_of_tasks(connection, [task_id]))[task_id].items()
        }


async def test_of_a_task_only_so_many_run_at_once(world: World) -> None:
    task_id = await _task(world, 5, max_concurrent=2)
    assert await _counts(world, task_id) == {"CREATED": 3, "QUEUED": 2}
    running = [await _claimed(world), await _claimed(world)]
    assert await _claim(world) is None
    await asyncio.gather(*(_finish(world, lease) for lease in running))
    assert await _counts(world, task_id) == {"CREATED": 1, "QUEUED": 2, "COMPLETE": 2}
    await _finish(world, await _claimed(world), 1)
    assert await _counts(world, task_id) == {"QUEUED": 2, "COMPLETE": 2, "ERROR": 1}


async def test_a_task_may_end_with_the_first_of_its_executions_that_fails(world: World) -> None:
    task_id = await _task(world, 4, on_child_error=tasks.OnChildError.STOP_ALL)
    failing, other = await _claimed(world), await _claimed(world)
    await _finish(world, failing, 1)
    assert await _counts(world, task_id) == {"STOPPING": 1, "STOPPED": 2, "ERROR": 1}
    assert await _finish(world, other) == ExecutionStatus.STOPPED


async def test_of_500_none_is_lost_and_none_ends_twice_though_workers_die_all_the_time(world: World) -> None:
    await _task(world, 500)
    chance, ended, refused = random.Random(1), Counter[UUID](), 0

    async def work() -> None:
        nonlocal refused
        idle = 0
        while idle < 20:
            lease = await _claim(world)
            if lease is None:
                idle += 1
                await asyncio.sleep(0.02)
                continue
            idle = 0
            if chance.random() < 0.2:
                # It is thought dead, and says at the end that it has done its work. A sweep leaves out what a claim
                # that came too late for it holds for a moment.
                while not await _is_lost(world, lease):
                    await _lose(world, lease)
                with pytest.raises(LeaseLostError):
                    await _finish(world, lease)
                refused += 1
                continue
            await _finish(world, lease)
            ended[lease.execution.id] += 1

    await asyncio.gather(*(work() for _ in range(8)))
    statuses = Counter(row["status"] for row in await world.rows("SELECT status FROM execution"))
    assert statuses["COMPLETE"] + statuses["ERROR"] == 500
    assert statuses["COMPLETE"] == len(ended) == ended.total()
    # one in 125 is given up, after three workers have died on it
    assert statuses["ERROR"] < 20
    assert refused > 50


async def test_claiming_looks_at_what_waits_and_at_nothing_else(world: World) -> None:
    await _task(world, 1000)
    await world.rows("UPDATE execution SET status = 'COMPLETE' WHERE number > 3 RETURNING 1")
    async with world.pool.acquire() as connection:
        await connection.execute("ANALYZE execution")
        plan = await connection.fetch(
            "EXPLAIN SELECT id FROM execution WHERE status = 'QUEUED' AND labels <@ ARRAY['a']"
            " ORDER BY priority DESC, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED"
        )
    assert "execution_queue_idx" in "\n".join(row[0] for row in plan)
