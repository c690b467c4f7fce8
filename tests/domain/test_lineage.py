"""Lineage: exact on chains, diamonds, fans and copies, bounded, and a statement a level."""

from __future__ import annotations

from uuid import UUID

import pytest

from app.domain.executions import Execution
from app.domain.lineage import Direction, Lineage, Question, Subject, SubjectKind, require_bounds, trace
from app.errors import BadUserInputError
from tests.make import World


async def _run(world: World, *inputs: UUID, outputs: int = 1) -> tuple[Execution, list[UUID]]:
    """An execution that used these files, and the files that it made."""
    execution = await world.an_execution(data=[f"datum://{datum}" for datum in inputs])
    made = [await world.a_datum() for _ in range(outputs)]
    async with world.write() as connection:
        await connection.execute(
            "UPDATE datum SET produced_by = $1, origin = 'EXECUTION' WHERE id = ANY($2)", execution.id, made
        )
    return execution, made


def _of(datum: UUID, direction: Direction, depth: int = 20, max_nodes: int = 500) -> Question:
    return Question(Subject(SubjectKind.DATUM, datum), direction, depth, max_nodes)


async def _trace(world: World, *questions: Question) -> list[Lineage]:
    async with world.pool.acquire() as connection:
        found = await trace(connection, questions)
    return [found[question] for question in questions]


def _depths(lineage: Lineage) -> dict[UUID, int]:
    return {subject.id: depth for subject, depth in lineage.depths.items()}


async def test_a_chain_is_walked_both_ways_with_its_distances(world: World) -> None:
    first = await world.a_datum()
    one, (second,) = await _run(world, first)
    two, (third,) = await _run(world, second)
    down, up, both = await _trace(
        world,
        _of(first, Direction.DOWNSTREAM),
        _of(third, Direction.UPSTREAM),
        _of(second, Direction.BOTH),
    )
    assert _depths(down) == {first: 0, one.id: 1, second: 2, two.id: 3, third: 4}
    assert _depths(up) == {third: 0, two.id: 1, second: 2, one.id: 3, first: 4}
    assert _depths(both) == {second: 0, one.id: 1, first: 2, two.id: 1, third: 2}
    assert set(down.edges) == set(up.edges) == set(both.edges)
    assert [(edge.kind, edge.input_name) for edge in down.edges] == [
        ("INPUT", "data"),
        ("OUTPUT", None),
        ("INPUT", "data"),
        ("OUTPUT", None),
    ]
    assert [each.truncated for each in (down, up, both)] == [False] * 3


async def test_a_diamond_has_each_node_once_and_every_edge(world: World) -> None:
    root = await world.a_datum()
    _, (left,) = await _run(world, root)
    _, (right,) = await _run(world, root)
    join, (end,) = await _run(world, left, right)
    (down,) = await _trace(world, _of(root, Direction.DOWNSTREAM))
    assert len(down.depths) == 7
    assert _depths(down)[end] == 4
    assert sum(edge.to_id == join.id for edge in down.edges) == 2
    assert len(down.edges) == 7


async def test_edges_carry_the_reference_and_the_aliases_version(world: World) -> None:
    datum = await world.a_datum()
    await world.point("train", await world.a_datum())
    await world.point("train", datum)
    await world.an_execution(images="datum://train")
    (down,) = await _trace(world, _of(datum, Direction.DOWNSTREAM))
    (edge,) = down.edges
    assert (edge.input_name, edge.reference, edge.alias_version) == ("images", "datum://train", 2)


async def test_lineage_follows_exact_files_and_not_what_aliases_point_at(world: World) -> None:
    old, new = await world.a_datum(), await world.a_datum()
    await world.point("train", old)
    await world.an_execution(data="datum://train")
    await world.point("train", new)
    (down,) = await _trace(world, _of(new, Direction.DOWNSTREAM))
    assert _depths(down) == {new: 0}


async def test_depth_and_nodes_bound_the_walk_and_say_so(world: World) -> None:
    root = await world.a_datum()
    _, made = await _run(world, root, outputs=30)
    near, few, exact = await _trace(
        world,
        _of(root, Direction.DOWNSTREAM, depth=1),
        _of(root, Direction.DOWNSTREAM, max_nodes=10),
        _of(root, Direction.DOWNSTREAM, depth=2, max_nodes=32),
    )
    assert (len(near.depths), near.truncated) == (2, True)
    assert (len(few.depths), few.truncated) == (10, True)
    assert (len(exact.depths), exact.truncated) == (32, False)
    assert {edge.to_id for edge in exact.edges} >= set(made)


async def test_a_file_that_a_run_used_twice_is_one_node_with_two_edges(world: World) -> None:
    datum = await world.a_datum()
    execution = await world.an_execution(first=f"datum://{datum}", second=f"datum://{datum}")
    (down,) = await _trace(world, _of(datum, Direction.DOWNSTREAM))
    assert _depths(down) == {datum: 0, execution.id: 1}
    assert len(down.edges) == 2


async def test_many_walks_take_a_statement_a_level(world: World) -> None:
    roots = []
    for _ in range(10):
        root = await world.a_datum()
        _, (middle,) = await _run(world, root)
        await _run(world, middle)
        roots.append(root)
    sent: list[str] = []
    async with world.pool.acquire() as connection:
        connection.add_query_logger(lambda record: sent.append(record.query))
        found = await trace(connection, [_of(root, Direction.DOWNSTREAM) for root in roots])
    assert all(len(lineage.depths) == 5 for lineage in found.values())
    # four levels, and one that finds nothing more
    assert len(sent) == 5


@pytest.mark.parametrize(("depth", "max_nodes"), [(-1, 1), (101, 1), (1, 0), (1, 5001)])
def test_unreasonable_bounds_are_refused(depth: int, max_nodes: int) -> None:
    with pytest.raises(BadUserInputError):
        require_bounds(depth, max_nodes)
