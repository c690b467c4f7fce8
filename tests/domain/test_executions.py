"""Executions: pinned to exact files, whatever happens to the aliases."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from app.domain.aliases import Move, set_aliases
from app.domain.executions import (
    EnvironmentVariable,
    Execution,
    ExecutionSpec,
    InputSpec,
    copy_execution,
    create_execution,
)
from app.domain.leases import stop_execution
from app.domain.references import parse_reference
from app.errors import AppError, BadUserInputError, DatumPurgedError, NotFoundError
from tests.make import World


async def _pins(world: World, execution: Execution) -> list[tuple[str, str, UUID, int | None]]:
    rows = await world.rows(
        "SELECT input.name, file.reference, file.datum_id, file.alias_version FROM execution_input_file AS file"
        " JOIN execution_input AS input ON input.id = file.input_id WHERE file.execution_id = $1"
        " ORDER BY input.position, file.position",
        execution.id,
    )
    return [tuple(row) for row in rows]


async def _copy(world: World, execution: Execution, **options: Any) -> Execution:
    async with world.write() as connection:
        return await copy_execution(
            connection,
            world.caller,
            execution,
            **{
                "title": None,
                "reresolve": False,
                "inputs": [],
                "parameters": {},
                "claim": None,
                "command": None,
                **options,
            },
            secrets=world.secrets,
            found={},
        )


async def test_inputs_are_pinned_with_reference_file_and_alias_version(world: World) -> None:
    model, data = await world.a_datum(), await world.a_datum()
    await world.point("model-prod", data)
    await world.point("model-prod", model)
    execution = await world.an_execution(model="datum://model-prod", data=[f"datum://{data}", "datum://model-prod"])
    await world.point("model-prod", data)
    assert await _pins(world, execution) == [
        ("model", "datum://model-prod", model, 2),
        ("data", f"datum://{data}", data, None),
        ("data", "datum://model-prod", model, 2),
    ]


async def test_an_execution_never_sees_half_of_a_set(world: World) -> None:
    names = [f"part-{number}" for number in range(10)]
    data = [await world.a_datum() for _ in range(4)]

    async def set_all(datum: UUID) -> None:
        target = parse_reference(f"datum://{datum}")
        async with world.write() as connection:
            moves = [Move(name, target) for name in names]
            await set_aliases(connection, world.caller, world.project_id, moves, reason=None, claim=None)

    async def keep_moving() -> None:
        for round_ in range(40):
            await set_all(data[round_ % 4])

    await set_all(data[0])
    inputs: dict[str, str | list[str]] = {name: f"datum://{name}" for name in names}

    async def keep_creating() -> list[Execution]:
        return [await world.an_execution(**inputs) for _ in range(25)]

    moving = asyncio.create_task(keep_moving())
    created = await asyncio.gather(*(keep_creating() for _ in range(4)))
    await moving
    executions = [execution for some in created for execution in some]
    for execution in executions:
        pins = await _pins(world, execution)
        assert len(pins) == 10
        assert len({datum_id for _, _, datum_id, _ in pins}) == 1
    assert sorted(execution.number for execution in executions) == list(range(1, 101))


async def test_purge_against_create_execution_never_pins_a_purged_file(world: World) -> None:
    for _ in range(60):
        datum = await world.a_datum()
        purged, created = await asyncio.gather(
            world.purge(datum), world.an_execution(data=f"datum://{datum}"), return_exceptions=True
        )
        status = (await world.rows("SELECT status FROM datum WHERE id = $1", datum))[0]["status"]
        if status == "PURGED":
            assert purged is None
            assert isinstance(created, DatumPurgedError)
        else:
            assert isinstance(purged, AppError)
            assert isinstance(created, Execution)


async def test_an_input_that_means_nothing_makes_no_execution_and_burns_no_number(world: World) -> None:
    datum = await world.a_datum()
    with pytest.raises(NotFoundError, match=r"Input 'model'.*nothing"):
        await world.an_execution(data=f"datum://{datum}", model="datum://nothing")
    assert await world.rows("SELECT * FROM execution") == []
    assert (await world.an_execution(data=f"datum://{datum}")).number == 1


async def test_a_copy_keeps_its_files_after_the_aliases_moved_and_reresolve_takes_the_new_ones(world: World) -> None:
    old, new = await world.a_datum(), await world.a_datum()
    await world.point("model", old)
    original = await world.an_execution(model="datum://model")
    await world.point("model", new)
    kept, renewed = await _copy(world, original), await _copy(world, original, reresolve=True)
    assert await _pins(world, kept) == [("model", "datum://model", old, 1)]
    assert await _pins(world, renewed) == [("model", "datum://model", new, 2)]
    assert kept.copy_of == renewed.copy_of == original.id


async def test_a_copy_replaces_the_inputs_and_parameters_given_and_keeps_the_rest(world: World) -> None:
    old, new = await world.a_datum(), await world.a_datum()
    await world.point("a", old)
    original = await world.an_execution(first="datum://a", second="datum://a")
    await world.point("a", new)
    copy = await _copy(
        world,
        original,
        inputs=[InputSpec("second", ["datum://a"]), InputSpec("third", [f"datum://{old}"])],
        parameters={"lr": 0.1},
    )
    assert await _pins(world, copy) == [
        ("first", "datum://a", old, 1),
        ("second", "datum://a", new, 2),
        ("third", f"datum://{old}", old, None),
    ]
    assert copy.parameters == {"lr": 0.1}


async def test_a_copy_whose_file_was_purged_is_refused(world: World) -> None:
    datum = await world.a_datum()
    original = await world.an_execution(data=f"datum://{datum}")
    async with world.write() as connection:
        await stop_execution(connection, original.id)
    await world.purge(datum)
    with pytest.raises(DatumPurgedError):
        await _copy(world, original)


async def test_secret_variables_are_encrypted_where_they_are_kept(world: World) -> None:
    spec = ExecutionSpec(command=["run"], environment=[EnvironmentVariable("PASSWORD", "hunter2", secret=True)])
    async with world.write() as connection:
        await create_execution(
            connection, world.caller, world.project_id, spec, secrets=world.secrets, claim=None, found={}
        )
    (row,) = await world.rows("SELECT environment::text AS kept, environment FROM execution")
    assert "hunter2" not in row["kept"]
    assert world.secrets.decrypt(row["environment"][0]["value"]) == "hunter2"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ExecutionSpec(command=[]), "command is empty"),
        (ExecutionSpec(command=["run"], inputs=[InputSpec("a", [])]), "no references"),
        (ExecutionSpec(command=["run"], inputs=[InputSpec("a", ["ftp://bucket/key"])]), "Input 'a'.*no reference"),
        (
            ExecutionSpec(
                command=["run"], inputs=[InputSpec("a", [], optional=True), InputSpec("a", [], optional=True)]
            ),
            "more than once",
        ),
        (ExecutionSpec(command=["run"], time_limit=0), "timeLimit"),
        (ExecutionSpec(command=["run"], inputs=[InputSpec("../a", [], optional=True)]), "an input's name"),
    ],
)
async def test_bad_input_is_named(world: World, spec: ExecutionSpec, message: str) -> None:
    with pytest.raises(BadUserInputError, match=message):
        async with world.write() as connection:
            await create_execution(
                connection, world.caller, world.project_id, spec, secrets=world.secrets, claim=None, found={}
            )
