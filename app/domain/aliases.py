"""Aliases: mutable names for immutable files, and the history that is never rewritten.

An alias's row and its history row change in one statement, under the alias's row lock; the history's `at` is taken
after that lock, so that times rise with versions, and so is the feed position: a transaction that began earlier may get
the lock later, and its change comes after the other's nonetheless. A statement that finds an expectation unmet writes
nothing.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import or_, select

from app.database import tables
from app.database.statements import Connection, Statement, columns, record_fields
from app.domain.access import Caller
from app.domain.filters import any_of, identity, moment_filter, text_filter
from app.domain.idempotency import Claim
from app.domain.paging import Listing, Order
from app.domain.positions import OWN_POSITION
from app.domain.references import Reference, datum_fault, future_instant
from app.domain.validation import require_name, require_reason
from app.errors import BadUserInputError, ConflictError, NotFoundError, WrongStateError

MOST_MOVES = 1000


class ChangeKind(StrEnum):
    CREATED = "CREATED"
    MOVED = "MOVED"
    ROLLED_BACK = "ROLLED_BACK"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Alias:
    id: UUID
    project_id: UUID
    name: str
    #: None once deleted.
    datum_id: UUID | None
    version: int
    created_at: dt.datetime
    updated_at: dt.datetime
    deleted_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class AliasChange:
    """One row of history."""

    id: UUID
    project_id: UUID
    alias_id: UUID
    version: int
    kind: str
    at: dt.datetime
    from_datum_id: UUID | None
    to_datum_id: UUID | None
    actor_id: UUID | None
    via: str
    reason: str | None
    execution_id: UUID | None
    change_set_id: UUID
    rolled_back_to: int | None


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the caller believes of an alias. Version None: does not care; version 0: it never existed."""

    version: int | None = None
    #: Whether `datum_id` counts; None is then "points nowhere".
    cares_for_datum: bool = False
    datum_id: UUID | None = None

    def is_met_by(self, alias: Alias | None) -> bool:
        version, datum_id = (alias.version, alias.datum_id) if alias else (0, None)
        return self.version in (None, version) and (not self.cares_for_datum or self.datum_id == datum_id)


@dataclass(frozen=True, slots=True)
class Move:
    """An alias, and the file that it shall point at."""

    name: str
    target: Reference
    expectation: Expectation = Expectation()


@dataclass(frozen=True, slots=True)
class Outcome:
    """An alias after a mutation, and the change made; None where there was nothing to change."""

    alias: Alias
    change: AliasChange | None


@dataclass(frozen=True, slots=True)
class _Write:
    """A change of a locked alias."""

    alias: Alias
    kind: ChangeKind
    datum_id: UUID | None
    rolled_back_to: int | None = None


_ALIAS = len(record_fields(Alias))

# -- one alias: everything in one statement ----------------------------------------------------------------------------

# The datum is locked against a purge before its status is read; ON CONFLICT locks the alias before it is compared.
_SET = Statement(f"""
    WITH target AS (
        SELECT id, status, purged_at FROM datum
        WHERE project_id = :project_id AND id = coalesce(:target_id ::uuid, (
            SELECT datum_id FROM alias WHERE project_id = :project_id AND name = :target_alias ::text
        ))
        FOR KEY SHARE
    ), moved AS (
        INSERT INTO alias AS current (project_id, name, datum_id, version, created_at, updated_at)
        SELECT :project_id, :name, target.id, 1, clock.now, clock.now
        FROM target CROSS JOIN LATERAL (SELECT clock_timestamp() AS now WHERE target.status = 'AVAILABLE') AS clock
        WHERE :may_create OR EXISTS (SELECT FROM alias WHERE project_id = :project_id AND name = :name)
        ON CONFLICT (project_id, name) DO UPDATE SET
            datum_id = excluded.datum_id,
            version = current.version + 1,
            updated_at = greatest(clock_timestamp(), current.updated_at + interval '1 microsecond'),
            deleted_at = NULL,
            feed_position = greatest(excluded.feed_position, current.feed_position)
        WHERE current.datum_id IS DISTINCT FROM excluded.datum_id
            AND (:expected_version ::integer IS NULL OR current.version = :expected_version)
            AND (NOT :cares_for_datum OR current.datum_id IS NOT DISTINCT FROM :expected_datum_id ::uuid)
        RETURNING old.datum_id AS from_datum_id, new.*
    ), change AS (
        INSERT INTO alias_history
            (project_id, alias_id, version, kind, at, from_datum_id, to_datum_id, actor_id, via, reason, change_set_id,
             feed_position)
        SELECT project_id, id, version, CASE WHEN from_datum_id IS NULL THEN 'CREATED' ELSE 'MOVED' END, updated_at,
            from_datum_id, datum_id, :actor_id, :via, :reason, coalesce(:change_set_id ::uuid, uuidv7()), feed_position
        FROM moved
        RETURNING *
    )
    SELECT target.id, target.status, target.purged_at, {columns(Alias, "moved")}, {columns(AliasChange, "change")}
    FROM (VALUES (1)) AS always
    LEFT JOIN target ON true LEFT JOIN moved ON true LEFT JOIN change ON true
""")

_BY_NAMES = Statement(f"""
    SELECT {columns(Alias, "alias")} FROM alias WHERE project_id = :project_id AND name = ANY(:names ::text[])
""")


async def set_alias(
    connection: Connection, caller: Caller, project_id: UUID, move: Move, *, reason: str | None, claim: Claim | None
) -> Outcome:
    """Points an alias at a file, making the alias if need be. Pointing it where it points already changes nothing."""
    check_move(move.name, reason)
    if claim and claim.replayed:
        return (await _replay(connection, project_id, claim, [move.name]))[0]
    expectation = move.expectation
    (row,) = await _SET.fetch(
        connection,
        project_id=project_id,
        name=move.name,
        target_id=move.target.datum_id,
        target_alias=move.target.alias,
        may_create=expectation.is_met_by(None),
        expected_version=expectation.version,
        cares_for_datum=expectation.cares_for_datum,
        expected_datum_id=expectation.datum_id,
        actor_id=caller.actor_id,
        via=caller.via,
        reason=reason,
        change_set_id=claim and claim.result_id,
    )
    target_id, status, purged_at, *moved = row
    if fault := datum_fault(move.target, target_id, status, purged_at):
        raise fault
    if moved[0] is not None:
        return _outcome(moved)
    # nothing was written, but the row is locked now: what it holds is why
    current = (await load_by_names(connection, project_id, [move.name])).get(move.name)
    if current is None or not expectation.is_met_by(current):
        raise _conflict({move.name: current})
    return Outcome(current, None)


# -- several aliases, or a change that depends on history: lock, decide, write -----------------------------------------

# New names first and in order, then every lock in order: two calls that name the same aliases cannot deadlock.
_RESERVE = Statement("""
    INSERT INTO alias (project_id, name, version)
    SELECT :project_id, name, 0 FROM unnest(:names ::text[]) AS name
    WHERE NOT EXISTS (SELECT FROM alias WHERE project_id = :project_id AND alias.name = name.name)
    ORDER BY name
    ON CONFLICT (project_id, name) DO NOTHING
""")

_LOCK = Statement(f"""
    SELECT {columns(Alias, "alias")} FROM alias
    WHERE project_id = :project_id AND name = ANY(:names ::text[])
    ORDER BY name FOR NO KEY UPDATE
""")

_LOCK_TARGETS = Statement("""
    WITH wanted AS (
        SELECT wanted.position, coalesce(wanted.datum_id, alias.datum_id) AS datum_id
        FROM unnest(:datum_ids ::uuid[], :aliases ::text[]) WITH ORDINALITY AS wanted (datum_id, alias, position)
        LEFT JOIN alias ON alias.project_id = :project_id AND alias.name = wanted.alias
    ), locked AS (
        SELECT id, status, purged_at FROM datum
        WHERE project_id = :project_id AND id IN (SELECT datum_id FROM wanted)
        ORDER BY id FOR KEY SHARE
    )
    SELECT locked.id, locked.status, locked.purged_at FROM wanted LEFT JOIN locked ON locked.id = wanted.datum_id
    ORDER BY wanted.position
""")

# One `at` for the change set: the clock after the last lock, or just past the aliases' newest earlier change.
_WRITE = Statement(f"""
    WITH write AS (
        SELECT * FROM unnest(
            :alias_ids ::uuid[], :versions ::integer[], :kinds ::text[], :datum_ids ::uuid[],
            :rolled_back_to ::integer[]
        ) AS write (alias_id, version, kind, datum_id, rolled_back_to)
    ), moment AS (
        SELECT greatest(clock_timestamp(), max(updated_at) + interval '1 microsecond') AS at, uuidv7() AS change_set_id
        FROM alias JOIN write ON write.alias_id = alias.id
    ), moved AS (
        UPDATE alias SET
            datum_id = write.datum_id,
            version = alias.version + 1,
            created_at = CASE WHEN alias.version = 0 THEN moment.at ELSE alias.created_at END,
            updated_at = moment.at,
            deleted_at = CASE WHEN write.datum_id IS NULL THEN moment.at END,
            feed_position = greatest({OWN_POSITION}, alias.feed_position)
        FROM write, moment
        WHERE alias.id = write.alias_id AND alias.version = write.version
        RETURNING old.datum_id AS from_datum_id, write.kind, write.rolled_back_to, new.*
    ), change AS (
        INSERT INTO alias_history
            (project_id, alias_id, version, kind, at, from_datum_id, to_datum_id, actor_id, via, reason, execution_id,
             change_set_id, rolled_back_to, feed_position)
        SELECT moved.project_id, moved.id, moved.version, moved.kind, moment.at, moved.from_datum_id, moved.datum_id,
            :actor_id, :via, :reason, :execution_id, coalesce(:change_set_id ::uuid, moment.change_set_id),
            moved.rolled_back_to, moved.feed_position
        FROM moved, moment
        RETURNING *
    )
    SELECT {columns(Alias, "moved")}, {columns(AliasChange, "change")}
    FROM moved JOIN change ON change.alias_id = moved.id
""")


async def set_aliases(
    connection: Connection,
    caller: Caller,
    project_id: UUID,
    moves: Sequence[Move],
    *,
    reason: str | None,
    claim: Claim | None,
    execution_id: UUID | None = None,
) -> tuple[list[Outcome], UUID]:
    """Points many aliases, all or none, in one change set with one `at`; outcomes in the order of `moves`.

    `execution_id` is the execution whose completion moves them.
    The change set has an id also when there was nothing to change.
    """
    names = [move.name for move in moves]
    if not moves or len(moves) > MOST_MOVES:
        raise BadUserInputError(f"moves has {len(moves)} entries; expected 1 to {MOST_MOVES}.")
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise BadUserInputError(f"moves names an alias more than once: {', '.join(sorted(twice))}.")
    for move in moves:
        check_move(move.name, reason)
    if claim and claim.replayed:
        return await _replay(connection, project_id, claim, names), claim.result_id
    change_set_id = claim.result_id if claim else uuid4()
    await _RESERVE.fetch(connection, project_id=project_id, names=names)
    aliases = await _lock(connection, project_id, names)
    unmet = {move.name: _existing(aliases[move.name]) for move in moves if not _meets(aliases[move.name], move)}
    if unmet:
        raise _conflict(unmet)
    targets = await _lock_targets(connection, project_id, [move.target for move in moves])
    writes = [
        _Write(aliases[move.name], ChangeKind.MOVED if aliases[move.name].datum_id else ChangeKind.CREATED, target)
        for move, target in zip(moves, targets, strict=True)
        if aliases[move.name].datum_id != target
    ]
    written = await _write(
        connection, caller, writes, reason=reason, change_set_id=change_set_id, execution_id=execution_id
    )
    return [written.get(name) or Outcome(aliases[name], None) for name in names], change_set_id


# Back through what earlier roll-backs returned to, so that repeating a roll-back goes further back.
_VERSION_BEFORE = Statement("""
    WITH RECURSIVE in_force AS (
        SELECT version, rolled_back_to FROM alias_history WHERE alias_id = :alias_id AND version = :version
        UNION ALL
        SELECT earlier.version, earlier.rolled_back_to
        FROM in_force JOIN alias_history AS earlier
            ON earlier.alias_id = :alias_id AND earlier.version = in_force.rolled_back_to
    )
    SELECT version, to_datum_id FROM alias_history
    WHERE alias_id = :alias_id AND version < (SELECT min(version) FROM in_force)
        AND to_datum_id IS NOT NULL AND to_datum_id IS DISTINCT FROM :datum_id ::uuid
    ORDER BY version DESC LIMIT 1
""")

_VERSION = Statement("SELECT version, to_datum_id FROM alias_history WHERE alias_id = :alias_id AND version = :version")


async def rollback_alias(
    connection: Connection,
    caller: Caller,
    project_id: UUID,
    name: str,
    *,
    to_version: int | None,
    expected_version: int | None,
    reason: str | None,
    claim: Claim | None,
) -> Outcome:
    """Points an alias back at the file of an earlier version, as a change of its own; revives a deleted alias."""
    require_reason(reason)
    if claim and claim.replayed:
        return (await _replay(connection, project_id, claim, [name]))[0]
    alias = await _lock_one(connection, project_id, name, Expectation(expected_version))
    if to_version is None:
        row = await _VERSION_BEFORE.fetchrow(
            connection, alias_id=alias.id, version=alias.version, datum_id=alias.datum_id
        )
        if row is None:
            raise WrongStateError(f"{name!r} is at its first file: there is no version to roll back to.")
    else:
        row = await _VERSION.fetchrow(connection, alias_id=alias.id, version=to_version)
        if row is None:
            raise BadUserInputError(f"{name!r} has no version {to_version}; it has 1 to {alias.version}.")
        if row["to_datum_id"] is None:
            raise BadUserInputError(f"Version {to_version} deleted {name!r}; use deleteAlias to delete it again.")
    if row["to_datum_id"] == alias.datum_id:
        return Outcome(alias, None)
    back = Reference(f"version {row['version']} of {name!r}", datum_id=row["to_datum_id"])
    (target,) = await _lock_targets(connection, project_id, [back])
    write = _Write(alias, ChangeKind.ROLLED_BACK, target, rolled_back_to=row["version"])
    return await _write_one(connection, caller, write, reason=reason, claim=claim)


async def delete_alias(
    connection: Connection,
    caller: Caller,
    project_id: UUID,
    name: str,
    *,
    expected_version: int | None,
    reason: str | None,
    claim: Claim | None,
) -> Outcome:
    """Makes an alias point nowhere; its row, id, version count and history stay."""
    require_reason(reason)
    if claim and claim.replayed:
        return (await _replay(connection, project_id, claim, [name]))[0]
    alias = await _lock_one(connection, project_id, name, Expectation(expected_version))
    if alias.datum_id is None:
        return Outcome(alias, None)
    write = _Write(alias, ChangeKind.DELETED, None)
    return await _write_one(connection, caller, write, reason=reason, claim=claim)


async def _lock(connection: Connection, project_id: UUID, names: Sequence[str]) -> dict[str, Alias]:
    rows = await _LOCK.fetch(connection, project_id=project_id, names=names)
    return {row["name"]: Alias(*row) for row in rows}


async def _lock_one(connection: Connection, project_id: UUID, name: str, expectation: Expectation) -> Alias:
    alias = (await _lock(connection, project_id, [name])).get(name)
    if alias is None:
        raise NotFoundError(f"There is no alias {name!r} in this project.")
    if not expectation.is_met_by(alias):
        raise _conflict({name: alias})
    return alias


async def _lock_targets(connection: Connection, project_id: UUID, targets: Sequence[Reference]) -> list[UUID]:
    rows = await _LOCK_TARGETS.fetch(
        connection,
        project_id=project_id,
        datum_ids=[target.datum_id for target in targets],
        aliases=[target.alias for target in targets],
    )
    for target, row in zip(targets, rows, strict=True):
        if fault := datum_fault(target, *row):
            raise fault
    return [row["id"] for row in rows]


async def _write(
    connection: Connection,
    caller: Caller,
    writes: Sequence[_Write],
    *,
    reason: str | None,
    change_set_id: UUID | None,
    execution_id: UUID | None = None,
) -> dict[str, Outcome]:
    if not writes:
        return {}
    rows = await _WRITE.fetch(
        connection,
        alias_ids=[write.alias.id for write in writes],
        versions=[write.alias.version for write in writes],
        kinds=[write.kind for write in writes],
        datum_ids=[write.datum_id for write in writes],
        rolled_back_to=[write.rolled_back_to for write in writes],
        actor_id=caller.actor_id,
        via=caller.via,
        reason=reason,
        execution_id=execution_id,
        change_set_id=change_set_id,
    )
    outcomes = [_outcome(tuple(row)) for row in rows]
    return {outcome.alias.name: outcome for outcome in outcomes}


async def _write_one(
    connection: Connection, caller: Caller, write: _Write, *, reason: str | None, claim: Claim | None
) -> Outcome:
    change_set_id = claim.result_id if claim else None
    return (await _write(connection, caller, [write], reason=reason, change_set_id=change_set_id))[write.alias.name]


def check_move(name: str, reason: str | None) -> None:
    require_name("name", name)
    require_reason(reason)


def _meets(alias: Alias, move: Move) -> bool:
    return move.expectation.is_met_by(_existing(alias))


def _existing(alias: Alias) -> Alias | None:
    """None for a name that was only reserved a moment ago."""
    return alias if alias.version else None


def _outcome(values: Sequence[Any]) -> Outcome:
    return Outcome(Alias(*values[:_ALIAS]), AliasChange(*values[_ALIAS:]))


def _conflict(aliases: Mapping[str, Alias | None]) -> ConflictError:
    conflicts = [
        {
            "name": name,
            "version": alias.version if alias else 0,
            "datumId": str(alias.datum_id) if alias and alias.datum_id else None,
        }
        for name, alias in aliases.items()
    ]
    now = "; ".join(
        f"{each['name']!r} is at version {each['version']} and points "
        + (f"at {each['datumId']}" if each["datumId"] else "nowhere")
        for each in conflicts
    )
    return ConflictError(f"Not as expected: {now}.", conflicts=conflicts)


# -- reading -----------------------------------------------------------------------------------------------------------

_CHANGES_OF_SET = Statement(f"""
    SELECT {columns(AliasChange, "alias_history")} FROM alias_history
    WHERE change_set_id = :change_set_id AND project_id = :project_id
""")

_BY_KEYS = Statement(f"""
    SELECT {columns(Alias, "alias")} FROM alias JOIN unnest(:project_ids ::uuid[], :names ::text[]) AS wanted (id, name)
        ON alias.project_id = wanted.id AND alias.name = wanted.name
""")

_BY_ID = Statement(f"SELECT {columns(Alias, 'alias')} FROM alias WHERE id = ANY(:ids ::uuid[])")

_CHANGES_BY_ID = Statement(f"""
    SELECT {columns(AliasChange, "alias_history")} FROM alias_history WHERE id = ANY(:ids ::uuid[])
""")

_POINTING_AT = Statement(f"""
    SELECT {columns(Alias, "alias")} FROM alias WHERE datum_id = ANY(:datum_ids ::uuid[]) ORDER BY name
""")

_OF_EXECUTIONS = Statement(f"""
    SELECT {columns(AliasChange, "alias_history")} FROM alias_history
    WHERE execution_id = ANY(:execution_ids ::uuid[]) ORDER BY at, id
""")

_IN_FORCE_AT = Statement(f"""
    SELECT wanted.position, wanted.at > clock_timestamp() AS is_future, {columns(AliasChange, "change")}
    FROM unnest(:alias_ids ::uuid[], :moments ::timestamptz[]) WITH ORDINALITY AS wanted (alias_id, at, position)
    LEFT JOIN LATERAL (
        SELECT * FROM alias_history AS earlier
        WHERE earlier.alias_id = wanted.alias_id AND earlier.at <= wanted.at ORDER BY earlier.at DESC LIMIT 1
    ) AS change ON true
    ORDER BY wanted.position
""")

_BY_VERSION = Statement(f"""
    SELECT {columns(AliasChange, "change")}
    FROM unnest(:alias_ids ::uuid[], :versions ::integer[]) AS wanted (alias_id, version)
    JOIN alias_history AS change ON change.alias_id = wanted.alias_id AND change.version = wanted.version
""")

ALIASES = Listing(
    tables.alias,
    Alias,
    parent=lambda project_id: tables.alias.c.project_id == project_id,
    orders={"NAME": Order(("name",)), "UPDATED_AT": Order(("updated_at", "id"))},
    conditions={
        **text_filter("name", tables.alias.c.name),
        "datum": tables.alias.c.datum_id == identity("datum"),
        "live": tables.alias.c.datum_id.is_not(None),
    },
)

_history = tables.alias_history
_HISTORY_CONDITIONS = {
    **any_of("kinds", _history.c.kind),
    **any_of("via", _history.c.via),
    "actor": _history.c.actor_id == identity("actor"),
    "datum": or_(_history.c.from_datum_id == identity("datum"), _history.c.to_datum_id == identity("datum")),
    "execution": _history.c.execution_id == identity("execution"),
    "change_set": _history.c.change_set_id == identity("change_set"),
    **moment_filter("at", _history.c.at),
}

HISTORY_OF_ALIAS = Listing(
    _history,
    AliasChange,
    parent=lambda alias_id: _history.c.alias_id == alias_id,
    orders={"version": Order(("version",), descending=True)},
    conditions=_HISTORY_CONDITIONS,
)

HISTORY_OF_PROJECT = Listing(
    _history,
    AliasChange,
    parent=lambda project_id: _history.c.project_id == project_id,
    orders={"at": Order(("at", "id"), descending=True)},
    conditions=_HISTORY_CONDITIONS,
)

HISTORY_OF_DATUM = Listing(
    _history,
    AliasChange,
    parent=lambda datum_id: _history.c.id.in_(
        select(_history.c.id).where(or_(_history.c.from_datum_id == datum_id, _history.c.to_datum_id == datum_id))
    ),
    orders={"at": Order(("at", "id"), descending=True)},
)


async def load_by_names(connection: Connection, project_id: UUID, names: Sequence[str]) -> dict[str, Alias]:
    rows = await _BY_NAMES.fetch(connection, project_id=project_id, names=names)
    return {row["name"]: Alias(*row) for row in rows}


async def load_by_project_and_name(
    connection: Connection, keys: Sequence[tuple[UUID, str]]
) -> dict[tuple[UUID, str], Alias]:
    rows = await _BY_KEYS.fetch(connection, project_ids=[key[0] for key in keys], names=[key[1] for key in keys])
    return {(row["project_id"], row["name"]): Alias(*row) for row in rows}


async def load_aliases(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Alias]:
    return {row["id"]: Alias(*row) for row in await _BY_ID.fetch(connection, ids=ids)}


async def load_changes(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, AliasChange]:
    return {row["id"]: AliasChange(*row) for row in await _CHANGES_BY_ID.fetch(connection, ids=ids)}


async def aliases_pointing_at(connection: Connection, datum_ids: Sequence[UUID]) -> dict[UUID, list[Alias]]:
    found: dict[UUID, list[Alias]] = {datum_id: [] for datum_id in datum_ids}
    for row in await _POINTING_AT.fetch(connection, datum_ids=datum_ids):
        found[row["datum_id"]].append(Alias(*row))
    return found


async def changes_of_set(connection: Connection, project_id: UUID, change_set_id: UUID) -> list[AliasChange]:
    rows = await _CHANGES_OF_SET.fetch(connection, project_id=project_id, change_set_id=change_set_id)
    return [AliasChange(*row) for row in rows]


async def changes_of_executions(connection: Connection, execution_ids: Sequence[UUID]) -> dict[UUID, list[AliasChange]]:
    found: dict[UUID, list[AliasChange]] = {execution_id: [] for execution_id in execution_ids}
    for row in await _OF_EXECUTIONS.fetch(connection, execution_ids=execution_ids):
        found[row["execution_id"]].append(AliasChange(*row))
    return found


async def changes_in_force(
    connection: Connection, keys: Sequence[tuple[UUID, dt.datetime]]
) -> dict[tuple[UUID, dt.datetime], AliasChange]:
    """The change of each alias in force at its instant, if there was one. A future instant is BAD_USER_INPUT."""
    rows = await _IN_FORCE_AT.fetch(connection, alias_ids=[key[0] for key in keys], moments=[key[1] for key in keys])
    for (_, at), row in zip(keys, rows, strict=True):
        if row["is_future"]:
            raise future_instant(at)
    return {key: AliasChange(*tuple(row)[2:]) for key, row in zip(keys, rows, strict=True) if row["id"]}


async def changes_by_version(
    connection: Connection, keys: Sequence[tuple[UUID, int]]
) -> dict[tuple[UUID, int], AliasChange]:
    rows = await _BY_VERSION.fetch(connection, alias_ids=[key[0] for key in keys], versions=[key[1] for key in keys])
    return {(row["alias_id"], row["version"]): AliasChange(*row) for row in rows}


async def _replay(connection: Connection, project_id: UUID, claim: Claim, names: Sequence[str]) -> list[Outcome]:
    """The outcomes of an earlier request of the same key."""
    changes = {each.alias_id: each for each in await changes_of_set(connection, project_id, claim.result_id)}
    aliases = await load_by_names(connection, project_id, names)
    return [Outcome(aliases[name], changes.get(aliases[name].id)) for name in names]
