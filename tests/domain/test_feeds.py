"""Feeds: gapless and without repeats, whatever the order in which transactions commit."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest

from app.database.engine import Pool, create_pool, prepare
from app.database.statements import Connection
from app.domain.access import Scope
from app.domain.aliases import AliasChange, Expectation, Move, set_alias, set_aliases
from app.domain.feeds import Feeds
from app.domain.positions import ensure_feed_positions
from app.domain.references import parse_datum
from app.domain.tokens import create_token
from app.errors import NotFoundError
from tests.make import World

_WRITERS = 8
_CHANGES = 25
_ALIASES = ["a", "b", "c", "d"]


@asynccontextmanager
async def _running(pool: Pool) -> AsyncIterator[Feeds]:
    """What one server process has."""
    feeds = Feeds(pool, most_per_token=10)
    task = asyncio.create_task(feeds.run())
    try:
        yield feeds
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def _overheard(database_url: str) -> AsyncIterator[tuple[Feeds, list[str]]]:
    """What one server process has, and the statements that it sends."""
    statements: list[str] = []

    async def listen(connection: Connection) -> None:
        await prepare(connection)
        connection.add_query_logger(lambda record: statements.append(record.query))

    async with await create_pool(database_url, prepare=listen) as pool, _running(pool) as feeds:
        yield feeds, statements


async def _until_sent(statements: list[str], part: str, times: int) -> None:
    """Until so many statements that contain `part` have been answered."""
    async with asyncio.timeout(60):
        while sum(part in statement for statement in statements) < times:
            await asyncio.sleep(0.01)


async def _write(world: World, data: list[UUID]) -> None:
    """One transaction, open for a while before and after it takes its alias."""
    async with world.write() as connection:
        # takes its transaction id long before its alias, as a claim of an idempotency key does
        await connection.execute("SELECT pg_current_xact_id()")
        await asyncio.sleep(random.random() * 0.03)
        if random.random() < 0.7:
            move = Move(random.choice(_ALIASES), parse_datum(str(random.choice(data))), Expectation())
            await set_alias(connection, world.caller, world.project_id, move, reason=None, claim=None)
        else:
            moves = [
                Move(name, parse_datum(str(random.choice(data))), Expectation()) for name in random.sample(_ALIASES, 2)
            ]
            await set_aliases(connection, world.caller, world.project_id, moves, reason=None, claim=None)
        await asyncio.sleep(random.random() * 0.03)


async def _follow(world: World, after: UUID, last: UUID) -> list[AliasChange]:
    """All changes after one up to another, by a client whose server process is restarted again and again."""
    found: list[AliasChange] = []
    while not found or found[-1].id != last:
        async with _running(world.pool) as feeds:
            stream = feeds.alias_changes(world.caller, world.project_id, None, found[-1].id if found else after)
            try:
                async with asyncio.timeout(random.random() * 0.5), aclosing(stream):
                    async for change in stream:
                        found.append(change)
                        if change.id == last:
                            return found
            except TimeoutError:
                pass
    return found


async def test_eight_writers_that_commit_out_of_order_are_followed_without_gaps_or_repeats(world: World) -> None:
    data = [await world.a_datum() for _ in range(20)]
    first = (await world.point("first", data[0])).change
    assert first is not None

    async def writer() -> None:
        for _ in range(_CHANGES):
            await _write(world, data)

    async def end() -> None:
        await asyncio.gather(*(writer() for _ in range(_WRITERS)))
        outcome = await world.point("last", data[0])
        assert outcome.change
        last.set_result(outcome.change.id)

    last: asyncio.Future[UUID] = asyncio.get_running_loop().create_future()
    writing = asyncio.create_task(end())

    async def follower() -> list[AliasChange]:
        early: list[AliasChange] = []
        async with _running(world.pool) as feeds:
            # one stream while the writers write, then others that go on from where it was cut
            stream = feeds.alias_changes(world.caller, world.project_id, None, first.id)
            async with aclosing(stream):
                async for change in stream:
                    early.append(change)
                    if len(early) == 40:
                        break
        return early + await _follow(world, early[-1].id, await last)

    followers = await asyncio.gather(*(follower() for _ in range(3)))
    await writing
    rows = await world.rows("SELECT id FROM alias_history WHERE id <> $1", first.id)
    for found in followers:
        ids = [change.id for change in found]
        assert len(ids) == len(set(ids))
        assert set(ids) == {row["id"] for row in rows}
        assert ids == [change.id for change in followers[0]]
        versions: dict[UUID, int] = {}
        for change in found:
            assert change.version == versions.get(change.alias_id, 0) + 1
            versions[change.alias_id] = change.version


async def test_a_stream_from_now_on_has_what_was_open_when_it_began_and_nothing_that_was_committed(
    world: World, database_url: str
) -> None:
    datum = await world.a_datum()
    async with _overheard(database_url) as (feeds, statements):
        async with world.write() as connection:
            move = Move("open", parse_datum(str(datum)), Expectation())
            await set_alias(connection, world.caller, world.project_id, move, reason=None, claim=None)
            # committed after the open one began, and before the stream
            await world.point("committed", datum)
            stream = feeds.alias_changes(world.caller, world.project_id, None, None)
            waiting = asyncio.ensure_future(anext(stream))
            await _until_sent(statements, "AS horizon", 1)
            await asyncio.sleep(0.3)
            assert not waiting.done()
        change = await asyncio.wait_for(waiting, 60)
        (row,) = await world.rows("SELECT name FROM alias WHERE id = $1", change.alias_id)
        assert row["name"] == "open"
        await stream.aclose()


async def test_a_change_of_another_project_is_no_place_to_go_on_from(world: World) -> None:
    async with _running(world.pool) as feeds:
        with pytest.raises(NotFoundError):
            await anext(feeds.alias_changes(world.caller, world.project_id, None, world.project_id))


async def test_a_stream_that_opens_while_tokens_are_checked_is_not_taken_for_a_revoked_one(
    world: World, database_url: str
) -> None:
    async with world.write() as connection:
        other, _ = await create_token(
            connection, world.caller, name="other", scopes=[Scope.READ], project_ids=None, expires_at=None
        )
    late = replace(world.caller, token_id=other.id)
    async with _overheard(database_url) as (feeds, statements):
        early_stream = feeds.alias_changes(world.caller, world.project_id, None, None)
        late_stream = feeds.alias_changes(late, world.project_id, None, None)
        async with world.write() as connection:
            await connection.execute("LOCK TABLE token IN ACCESS EXCLUSIVE MODE")
            waiting = [asyncio.ensure_future(anext(early_stream))]
            await _until_sent(statements, "AS horizon", 1)
            await asyncio.sleep(0.2)  # the check has begun, with one token to ask about
            waiting.append(asyncio.ensure_future(anext(late_stream)))
            await _until_sent(statements, "AS horizon", 2)
        await asyncio.sleep(0.2)  # and has ended
        await world.point("a", await world.a_datum())
        for change in waiting:
            await asyncio.wait_for(change, 60)
        await early_stream.aclose()
        await late_stream.aclose()


async def test_nobody_asks_while_nobody_listens(world: World, database_url: str) -> None:
    change = (await world.point("a", await world.a_datum())).change
    assert change
    await world.point("b", await world.a_datum())
    async with _overheard(database_url) as (feeds, statements):
        async with aclosing(feeds.alias_changes(world.caller, world.project_id, None, change.id)) as stream:
            await anext(stream)
            await _until_sent(statements, "AS wanted", 2)
        await asyncio.sleep(0.5)  # the last question may be on its way
        statements.clear()
        await asyncio.sleep(0.5)
        assert not statements


async def test_after_a_move_to_another_cluster_the_feed_goes_on(world: World, database_url: str) -> None:
    """A dump restored elsewhere has positions that the new cluster's own count reaches only in a long time."""
    data = [await world.a_datum() for _ in range(3)]
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE feed_cluster SET system_identifier = 1")
    await connection.execute("ALTER TABLE alias ALTER COLUMN feed_position SET DEFAULT 1000000000")
    earlier = (await world.point("a", data[0])).change
    assert earlier
    await connection.execute("SET search_path = public")
    async with connection.transaction():
        await ensure_feed_positions(connection)
    async with connection.transaction():
        await ensure_feed_positions(connection)
    assert await connection.fetchval("SELECT count(*) FROM feed_cluster") == 2
    await connection.close()
    async with _running(world.pool) as feeds:
        stream = feeds.alias_changes(world.caller, world.project_id, None, earlier.id)
        for datum in data[1:]:
            change = (await world.point("a", datum)).change
            assert await asyncio.wait_for(anext(stream), 60) == change
        await stream.aclose()
