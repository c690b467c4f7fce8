"""Aliases: exact under races, gapless, append-only, and every way back."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
from uuid import UUID

import asyncpg
import pytest

from app.domain.aliases import (
    ChangeKind,
    Expectation,
    Move,
    Outcome,
    delete_alias,
    rollback_alias,
    set_aliases,
)
from app.domain.idempotency import Claim, Request, claim
from app.domain.references import Reference, Resolution, parse_reference, resolve
from app.errors import (
    AppError,
    BadUserInputError,
    ConflictError,
    DatumPurgedError,
    IdempotencyMismatchError,
    NotFoundError,
    WrongStateError,
)
from tests.make import World, assert_gapless


async def _rollback(world: World, name: str, to_version: int | None = None, claim_: Claim | None = None) -> Outcome:
    async with world.write() as connection:
        return await rollback_alias(
            connection,
            world.caller,
            world.project_id,
            name,
            to_version=to_version,
            expected_version=None,
            reason=None,
            claim=claim_,
        )


async def _delete(world: World, name: str, expected_version: int | None = None) -> Outcome:
    async with world.write() as connection:
        return await delete_alias(
            connection,
            world.caller,
            world.project_id,
            name,
            expected_version=expected_version,
            reason=None,
            claim=None,
        )


async def _set_many(world: World, moves: list[Move]) -> list[Outcome]:
    async with world.write() as connection:
        outcomes, _ = await set_aliases(connection, world.caller, world.project_id, moves, reason=None, claim=None)
        return outcomes


async def _resolve(world: World, *texts: str, at: dt.datetime | None = None) -> list[Resolution | AppError]:
    async with world.pool.acquire() as connection:
        return await resolve(connection, world.project_id, [parse_reference(text) for text in texts], at)


async def test_pointing_an_alias_makes_it_then_moves_it(world: World) -> None:
    first, second = await world.a_datum(), await world.a_datum()
    created = await world.point("model-prod", first)
    moved = await world.point("model-prod", second)
    assert created.change is not None
    assert moved.change is not None
    assert (created.change.kind, created.change.from_datum_id, created.alias.version) == ("CREATED", None, 1)
    assert (moved.change.kind, moved.change.from_datum_id, moved.change.to_datum_id) == ("MOVED", first, second)
    assert moved.alias.id == created.alias.id
    assert moved.alias.updated_at == moved.change.at
    assert created.alias.created_at == created.change.at
    assert moved.change.actor_id == world.caller.actor_id


async def test_pointing_an_alias_where_it_points_already_writes_nothing(world: World) -> None:
    datum = await world.a_datum()
    await world.point("a", datum)
    outcome = await world.point("a", datum)
    assert outcome.change is None
    assert outcome.alias.version == 1
    assert len(await world.history("a")) == 1


async def test_expectations_are_checked_before_sameness(world: World) -> None:
    datum = await world.a_datum()
    await world.point("a", datum)
    with pytest.raises(ConflictError) as caught:
        await world.point("a", datum, expect=Expectation(version=7))
    assert caught.value.details["conflicts"] == [{"name": "a", "version": 1, "datumId": str(datum)}]


@pytest.mark.parametrize(
    "expectation",
    [Expectation(version=1), Expectation(cares_for_datum=True, datum_id=UUID(int=1))],
)
async def test_what_expects_an_alias_does_not_make_one(world: World, expectation: Expectation) -> None:
    with pytest.raises(ConflictError) as caught:
        await world.point("a", await world.a_datum(), expect=expectation)
    assert caught.value.details["conflicts"] == [{"name": "a", "version": 0, "datumId": None}]
    assert await world.rows("SELECT * FROM alias") == []


async def test_expecting_nowhere_makes_an_alias_and_revives_a_deleted_one_but_moves_none(world: World) -> None:
    first, second = await world.a_datum(), await world.a_datum()
    nowhere = Expectation(cares_for_datum=True, datum_id=None)
    await world.point("a", first, expect=nowhere)
    with pytest.raises(ConflictError):
        await world.point("a", second, expect=nowhere)
    await _delete(world, "a")
    assert (await world.point("a", second, expect=nowhere)).alias.version == 3


async def test_expecting_version_zero_only_makes_aliases(world: World) -> None:
    first, second = await world.a_datum(), await world.a_datum()
    await world.point("a", first, expect=Expectation(version=0))
    with pytest.raises(ConflictError):
        await world.point("a", second, expect=Expectation(version=0))


async def test_racing_writers_leave_a_gapless_history_and_one_winner_per_expected_version(world: World) -> None:
    data = [await world.a_datum() for _ in range(8)]
    await world.point("raced", data[0])
    for round_ in range(200):
        version = (await world.rows("SELECT version FROM alias"))[0]["version"]
        chosen = random.sample(data, 8)
        expected = version if round_ % 2 else None

        async def write(datum: UUID, expected: int | None = expected) -> Outcome | None:
            try:
                return await world.point("raced", datum, expect=Expectation(version=expected))
            except ConflictError:
                return None

        outcomes = await asyncio.gather(*(write(datum) for datum in chosen))
        if expected is not None:
            assert sum(1 for outcome in outcomes if outcome and outcome.change) == 1
    changes = await world.history("raced")
    assert_gapless(changes)
    assert (await world.rows("SELECT version FROM alias"))[0]["version"] == len(changes)


async def test_racing_creators_make_one_alias(world: World) -> None:
    data = [await world.a_datum() for _ in range(16)]
    await asyncio.gather(*(world.point("new", datum) for datum in data))
    changes = await world.history("new")
    assert_gapless(changes)
    assert [change.kind for change in changes] == ["CREATED"] + ["MOVED"] * 15


async def test_sets_in_opposite_orders_never_deadlock_nor_are_seen_half_applied(world: World) -> None:
    names = [f"alias-{number:02}" for number in range(12)]
    data = [await world.a_datum() for _ in range(6)]

    async def move_all(number: int) -> None:
        for round_ in range(15):
            order = list(names) if (number + round_) % 2 else list(reversed(names))
            target = parse_reference(f"datum://{data[(number + round_) % len(data)]}")
            await _set_many(world, [Move(name, target) for name in order])

    async def watch() -> None:
        for _ in range(60):
            found = await _resolve(world, *(f"datum://{name}" for name in names))
            assert len({each.datum_id if isinstance(each, Resolution) else None for each in found}) == 1

    await asyncio.gather(*(move_all(number) for number in range(8)), watch())
    instants = await world.rows(
        "SELECT change_set_id, count(DISTINCT at) AS moments, min(at) AS at FROM alias_history GROUP BY 1"
    )
    assert all(row["moments"] == 1 for row in instants)
    for row in random.sample(instants, 20):
        for at in (row["at"], row["at"] - dt.timedelta(microseconds=1)):
            found = await _resolve(world, *(f"datum://{name}" for name in names), at=at)
            assert len({each.datum_id if isinstance(each, Resolution) else None for each in found}) == 1
    for name in names:
        assert_gapless(await world.history(name))


async def test_a_set_with_one_conflict_moves_nothing_and_names_each_conflict(world: World) -> None:
    first, second = await world.a_datum(), await world.a_datum()
    await world.point("a", first)
    await world.point("b", first)
    moves = [
        Move("a", Reference("x", datum_id=second), Expectation(version=1)),
        Move("b", Reference("x", datum_id=second), Expectation(version=9)),
        Move("c", Reference("x", datum_id=second), Expectation(version=2)),
    ]
    with pytest.raises(ConflictError) as caught:
        await _set_many(world, moves)
    assert caught.value.details["conflicts"] == [
        {"name": "b", "version": 1, "datumId": str(first)},
        {"name": "c", "version": 0, "datumId": None},
    ]
    assert len(await world.rows("SELECT * FROM alias_history")) == 2
    assert len(await world.rows("SELECT * FROM alias")) == 2


async def test_a_set_reads_its_references_as_they_were_before_it(world: World) -> None:
    first, second = await world.a_datum(), await world.a_datum()
    await world.point("a", first)
    await world.point("b", second)
    await _set_many(world, [Move("a", parse_reference("datum://b")), Move("b", parse_reference("datum://a"))])
    found = await _resolve(world, "datum://a", "datum://b")
    assert [each.datum_id for each in found if isinstance(each, Resolution)] == [second, first]


async def test_a_set_that_names_an_alias_twice_is_refused(world: World) -> None:
    target = Reference("x", datum_id=await world.a_datum())
    with pytest.raises(BadUserInputError, match="more than once: a"):
        await _set_many(world, [Move("a", target), Move("a", target)])


async def test_purge_against_set_alias_never_leaves_an_alias_moved_to_a_purged_file(world: World) -> None:
    old = await world.a_datum()
    await world.point("a", old)
    for _ in range(60):
        datum = await world.a_datum()
        purged, moved = await asyncio.gather(world.purge(datum), world.point("a", datum), return_exceptions=True)
        status = (await world.rows("SELECT status FROM datum WHERE id = $1", datum))[0]["status"]
        if status == "PURGED":
            assert purged is None
            assert isinstance(moved, DatumPurgedError)
        else:
            assert isinstance(purged, AppError)
            assert isinstance(moved, Outcome)
        await world.point("a", old)


async def test_history_refuses_update_delete_and_truncate(world: World) -> None:
    await world.point("a", await world.a_datum())
    for statement in (
        "UPDATE alias_history SET reason = 'another'",
        "DELETE FROM alias_history",
        "TRUNCATE alias_history CASCADE",
    ):
        async with world.pool.acquire() as connection:
            with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
                await connection.execute(statement)
    assert len(await world.history("a")) == 1


async def test_resolving_at_an_instant_is_exact_around_every_change(world: World) -> None:
    data = [await world.a_datum() for _ in range(5)]
    for datum in data:
        await world.point("a", datum)
    tick = dt.timedelta(microseconds=1)
    changes = await world.history("a")
    for change in changes:
        before, at, after = [
            (await _resolve(world, "datum://a", at=change.at + shift))[0] for shift in (-tick, 0 * tick, tick)
        ]
        if change.version == 1:
            assert isinstance(before, NotFoundError)
        else:
            assert isinstance(before, Resolution)
            assert (before.datum_id, before.version) == (data[change.version - 2], change.version - 1)
        assert isinstance(at, Resolution)
        assert (at.datum_id, at.version) == (change.to_datum_id, change.version)
        assert isinstance(after, Resolution)
        assert after.version == (change.version if after.datum_id == change.to_datum_id else change.version + 1)


async def test_resolving_at_an_instant_is_one_index_look_up_among_100_000_changes(world: World) -> None:
    first, second = await world.a_datum(), await world.a_datum()
    alias = (await world.point("deep", first)).alias
    async with world.write() as connection:
        await connection.execute(
            "INSERT INTO alias_history (project_id, alias_id, version, kind, at, from_datum_id, to_datum_id, via,"
            " change_set_id) SELECT $1, $2, n, 'MOVED', $3::timestamptz - interval '1 second' * (100001 - n),"
            " CASE n % 2 WHEN 0 THEN $4::uuid ELSE $5::uuid END, CASE n % 2 WHEN 0 THEN $5::uuid ELSE $4::uuid END,"
            " 'API', uuidv7() FROM generate_series(2, 100000) AS n",
            world.project_id,
            alias.id,
            alias.updated_at,
            first,
            second,
        )
        await connection.execute("ANALYZE alias_history")
    tick = dt.timedelta(microseconds=1)
    for version in (2, 3, 777, 50_000, 99_999, 100_000):
        at = alias.updated_at - dt.timedelta(seconds=100_001 - version)
        (exact,) = await _resolve(world, "datum://deep", at=at)
        assert isinstance(exact, Resolution)
        assert (exact.version, exact.datum_id) == (version, second if version % 2 == 0 else first)
        (before,) = await _resolve(world, "datum://deep", at=at - tick)
        assert isinstance(before, NotFoundError) if version == 2 else isinstance(before, Resolution)
    async with world.pool.acquire() as connection:
        plan = await connection.fetch(
            "EXPLAIN SELECT version FROM alias_history WHERE alias_id = $1 AND at <= $2 ORDER BY at DESC LIMIT 1",
            alias.id,
            alias.updated_at,
        )
    assert "Index Scan Backward using alias_history_alias_id_at_idx" in str([row[0] for row in plan])


async def test_a_future_instant_is_refused(world: World) -> None:
    await world.point("a", await world.a_datum())
    with pytest.raises(BadUserInputError, match="future"):
        await _resolve(world, "datum://a", at=dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1))


async def test_repeated_rollback_goes_further_back_and_past_the_first_version_is_an_error(world: World) -> None:
    data = [await world.a_datum() for _ in range(4)]
    for datum in data:
        await world.point("a", datum)
    for back, datum in ((3, data[2]), (2, data[1]), (1, data[0])):
        outcome = await _rollback(world, "a")
        assert outcome.change is not None
        assert (outcome.change.kind, outcome.change.rolled_back_to) == (ChangeKind.ROLLED_BACK, back)
        assert outcome.alias.datum_id == datum
    with pytest.raises(WrongStateError, match="no version to roll back to"):
        await _rollback(world, "a")
    assert_gapless(await world.history("a"))


async def test_rollback_to_a_version_returns_there_and_to_the_present_changes_nothing(world: World) -> None:
    data = [await world.a_datum() for _ in range(3)]
    for datum in data:
        await world.point("a", datum)
    assert (await _rollback(world, "a", 1)).alias.datum_id == data[0]
    assert (await _rollback(world, "a", 4)).change is None
    with pytest.raises(BadUserInputError, match="no version 9"):
        await _rollback(world, "a", 9)


async def test_a_move_after_a_rollback_can_itself_be_rolled_back(world: World) -> None:
    first, second, third = [await world.a_datum() for _ in range(3)]
    await world.point("a", first)
    await world.point("a", second)
    await _rollback(world, "a")
    await world.point("a", third)
    assert (await _rollback(world, "a")).alias.datum_id == first


async def test_a_deleted_alias_keeps_its_id_and_count_and_is_created_again_or_revived(world: World) -> None:
    first, second = await world.a_datum(), await world.a_datum()
    alias = (await world.point("a", first)).alias
    deleted = await _delete(world, "a")
    assert (deleted.alias.datum_id, deleted.alias.version, deleted.alias.id) == (None, 2, alias.id)
    assert deleted.alias.deleted_at is not None
    assert (await _delete(world, "a")).change is None
    assert isinstance((await _resolve(world, "datum://a"))[0], NotFoundError)
    revived = await _rollback(world, "a")
    assert (revived.alias.datum_id, revived.alias.version, revived.alias.deleted_at) == (first, 3, None)
    await _delete(world, "a")
    again = await world.point("a", second)
    assert again.change is not None
    assert (again.change.kind, again.change.from_datum_id, again.alias.version) == ("CREATED", None, 5)
    with pytest.raises(BadUserInputError, match="deleted"):
        await _rollback(world, "a", 4)
    with pytest.raises(ConflictError):
        await _delete(world, "a", expected_version=1)


async def test_rolling_back_to_a_purged_file_is_refused_and_past_it_works(world: World) -> None:
    first, second, third = [await world.a_datum() for _ in range(3)]
    for datum in (first, second, third):
        await world.point("a", datum)
    await world.purge(second)
    with pytest.raises(DatumPurgedError) as caught:
        await _rollback(world, "a")
    assert "purgedAt" in caught.value.details
    assert (await _rollback(world, "a", 1)).alias.datum_id == first


@pytest.mark.parametrize("status", ["PENDING", "EXPIRED", "CORRUPT"])
async def test_only_available_files_can_be_pointed_at(world: World, status: str) -> None:
    datum = await world.a_datum(status=status)
    with pytest.raises(WrongStateError, match=status):
        await world.point("a", datum)
    assert await world.rows("SELECT * FROM alias") == []


async def _claimed_rollback(world: World, key: str, content: bytes = b"same") -> Outcome:
    async with world.write() as connection:
        found = await claim(connection, world.caller, world.project_id, Request("rollbackAlias", key, content))
        return await rollback_alias(
            connection,
            world.caller,
            world.project_id,
            "a",
            to_version=None,
            expected_version=None,
            reason=None,
            claim=found,
        )


async def test_a_key_makes_one_change_however_many_twins_run_at_once(world: World) -> None:
    data = [await world.a_datum() for _ in range(4)]
    for datum in data:
        await world.point("a", datum)
    outcomes = await asyncio.gather(*(_claimed_rollback(world, "key") for _ in range(10)))
    assert {outcome.change.version for outcome in outcomes if outcome.change} == {5}
    assert len(await world.history("a")) == 5
    again = await _claimed_rollback(world, "key")
    assert again.change is not None
    assert again.change.version == 5


async def test_a_key_used_with_another_input_is_a_mismatch(world: World) -> None:
    for _ in range(3):
        await world.point("a", await world.a_datum())
    await _claimed_rollback(world, "key")
    with pytest.raises(IdempotencyMismatchError):
        await _claimed_rollback(world, "key", b"other")


async def test_a_key_whose_change_failed_can_be_used_again(world: World) -> None:
    await world.point("a", await world.a_datum())
    with pytest.raises(WrongStateError):
        await _claimed_rollback(world, "key")
    await world.point("a", await world.a_datum())
    assert (await _claimed_rollback(world, "key")).change is not None


async def test_a_key_older_than_seven_days_counts_as_new(world: World) -> None:
    for _ in range(4):
        await world.point("a", await world.a_datum())
    await _claimed_rollback(world, "key")
    async with world.write() as connection:
        await connection.execute("UPDATE idempotency SET created_at = created_at - interval '8 days'")
    assert (await _claimed_rollback(world, "key", b"other")).alias.version == 6
