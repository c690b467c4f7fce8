"""Tasks: many executions, one transaction, one resolution of the aliases."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.executions import ExecutionSpec, ExecutionStatus, InputSpec
from app.domain.tasks import OnChildError, Task, TaskStatus, counts_of_tasks, create_task, status_of
from app.domain.transactions import reading
from app.errors import AppError, BadUserInputError, NotFoundError
from tests.make import World


async def _a_task(world: World, sets: list[Any], **inputs: str) -> Task:
    template = ExecutionSpec(
        command=["train"],
        inputs=[InputSpec(name, [reference]) for name, reference in inputs.items()],
        parameters={"epochs": 5, "lr": 0.1},
    )
    async with world.write() as connection:
        return await create_task(
            connection,
            world.caller,
            world.project_id,
            template,
            sets,
            title=None,
            max_concurrent=None,
            on_child_error=OnChildError.CONTINUE,
            secrets=world.secrets,
            claim=None,
            found={},
        )


async def test_each_parameter_set_becomes_an_execution_with_the_templates_other_parameters(world: World) -> None:
    await world.an_execution()
    task = await _a_task(world, [{"lr": 0.2}, {"lr": 0.3, "depth": 4}, {}])
    rows = await world.rows("SELECT number, parameters FROM execution WHERE task_id = $1 ORDER BY number", task.id)
    assert [(row["number"], row["parameters"]) for row in rows] == [
        (2, {"epochs": 5, "lr": 0.2}),
        (3, {"epochs": 5, "lr": 0.3, "depth": 4}),
        (4, {"epochs": 5, "lr": 0.1}),
    ]
    assert (await world.an_execution()).number == 5
    assert (task.number, (await _a_task(world, [{}])).number) == (1, 2)


async def test_a_thousand_executions_are_all_pinned_to_what_the_alias_meant_at_once(world: World) -> None:
    datum = await world.a_datum()
    await world.point("model-prod", datum)
    task = await _a_task(world, [{"seed": seed} for seed in range(1000)], model="datum://model-prod")
    await world.point("model-prod", await world.a_datum())
    rows = await world.rows(
        "SELECT file.datum_id, file.alias_version, count(DISTINCT execution.id) AS executions, count(*) AS files"
        " FROM execution JOIN execution_input_file AS file ON file.execution_id = execution.id"
        " JOIN execution_input AS input ON input.id = file.input_id AND input.execution_id = execution.id"
        " WHERE execution.task_id = $1 GROUP BY 1, 2",
        task.id,
    )
    assert [tuple(row) for row in rows] == [(datum, 1, 1000, 1000)]


@pytest.mark.parametrize(
    ("sets", "error"),
    [
        ([], BadUserInputError),
        ([{"lr": 1}, [1]], BadUserInputError),
        ([{}] * 10_001, BadUserInputError),
        ([{"lr": 1}], NotFoundError),
    ],
)
async def test_a_task_that_cannot_be_made_leaves_nothing(world: World, sets: list[Any], error: type[AppError]) -> None:
    with pytest.raises(error):
        await _a_task(world, sets, model="datum://nothing")
    assert await world.rows("SELECT FROM task") == await world.rows("SELECT FROM execution") == []
    numbers = await world.rows("SELECT last_task_number, last_execution_number FROM project")
    assert [tuple(row) for row in numbers] == [(0, 0)]


async def test_counts_follow_the_executions(world: World) -> None:
    task, other = await _a_task(world, [{}] * 3), await _a_task(world, [{}])
    await world.rows("UPDATE execution SET status = 'COMPLETE' WHERE task_id = $1 AND number = 1 RETURNING 1", task.id)
    async with reading(world.pool) as connection:
        counts = await counts_of_tasks(connection, [other.id, task.id])
    assert counts == {
        task.id: {ExecutionStatus.QUEUED: 2, ExecutionStatus.COMPLETE: 1},
        other.id: {ExecutionStatus.QUEUED: 1},
    }


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ("CREATED COMPLETE", TaskStatus.RUNNING),
        ("QUEUED ERROR", TaskStatus.RUNNING),
        ("STARTED STOPPING", TaskStatus.RUNNING),
        ("STOPPING STOPPED COMPLETE", TaskStatus.STOPPING),
        ("STOPPED COMPLETE", TaskStatus.STOPPED),
        ("STOPPED COMPLETE ERROR", TaskStatus.ERROR),
        ("COMPLETE", TaskStatus.COMPLETE),
    ],
)
def test_a_tasks_status_follows_its_executions(statuses: str, status: TaskStatus) -> None:
    assert status_of({ExecutionStatus(each): 1 for each in statuses.split()}) is status
