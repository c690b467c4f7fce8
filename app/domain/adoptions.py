"""Adopting: data made of objects that are in a store already, without copying a byte.

Stores are asked before the transaction; what they said is kept in it. The same object (store, key, etag) is one datum
in a project, however often it is adopted; once it has been replaced, it is another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from uuid import UUID

from app.database.statements import Connection, Statement, columns
from app.domain.access import Caller
from app.domain.data_stores import DataStore
from app.domain.datums import Datum
from app.domain.references import Reference, StoreAddress
from app.domain.validation import require_file_name
from app.errors import AppError, BadUserInputError, NotFoundError, StoreUnavailableError
from app.stores.base import BucketMissing, NotFound, Store, StoreError

MOST_FILES = 10_000
_MANAGED = re.compile(r"(^|/)waymark/[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}/")


@dataclass(frozen=True, slots=True)
class Found:
    """An object as its store described it."""

    address: StoreAddress
    store_id: UUID
    size: int
    etag: str | None
    md5: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Adopted:
    """The datum of an object; and the one that the same key was last, if the object has been replaced since."""

    datum: Datum
    created: bool
    previous: Datum | None


_DATUM = columns(Datum, "datum")

_ADOPT = Statement(f"""
    WITH made AS (
        INSERT INTO datum (project_id, store_id, object_key, etag, object_version, name, size, md5, sha256,
            checksum_evidence, origin, status, verify_at, created_by)
        SELECT DISTINCT ON (store_id, key) :project_id, store_id, key, etag, etag, name, size, md5, sha256,
            CASE WHEN coalesce(md5, sha256) IS NULL THEN 'DECLARED' ELSE 'ATTESTED' END, 'ADOPTED', 'AVAILABLE',
            clock_timestamp(), :actor_id
        FROM unnest(:store_ids ::uuid[], :keys ::text[], :etags ::text[], :names ::text[], :sizes ::bigint[],
            :md5s ::text[], :sha256s ::text[]) AS found (store_id, key, etag, name, size, md5, sha256)
        ORDER BY store_id, key
        ON CONFLICT (project_id, store_id, object_key, object_version)
            WHERE origin = 'ADOPTED' AND status = 'AVAILABLE' DO NOTHING
        RETURNING *
    )
    SELECT {columns(Datum, "made")} FROM made
""")

# a statement after the insertion, so that what a twin has adopted meanwhile is seen
_KNOWN = Statement(f"""
    SELECT {_DATUM} FROM datum JOIN unnest(:store_ids ::uuid[], :keys ::text[]) AS wanted (store_id, key)
        ON datum.store_id = wanted.store_id AND datum.object_key = wanted.key
    WHERE datum.project_id = :project_id AND datum.origin = 'ADOPTED' AND datum.status IN ('AVAILABLE', 'CORRUPT')
    ORDER BY datum.created_at
""")

_REPLACED = Statement("""
    UPDATE datum SET status = 'CORRUPT', verify_at = NULL,
        status_reason = 'the object was replaced in the store; what it is now is another datum'
    WHERE id = ANY(:ids ::uuid[]) AND status = 'AVAILABLE'
""")


async def find(
    stores: Sequence[DataStore], references: Sequence[Reference], open_store: Callable[[DataStore], Store]
) -> dict[str, list[Found]]:
    """What each reference to a store means now: one object, or those that a pattern matches, by key.

    `stores` are those that a project may use; only its own are asked. Holds no database connection.
    """
    own = [store for store in stores if store.project_id is not None]
    found: dict[str, list[Found]] = {}
    for reference in references:
        if reference.address is not None and reference.text not in found:
            record = _store_of(own, reference.address)
            found[reference.text] = await _look_up(open_store(record), record, reference)
    return found


def _store_of(stores: Sequence[DataStore], address: StoreAddress) -> DataStore:
    begins = f"{address.scheme}://{'/'.join(address.container)}"
    literal = address.key.partition("*")[0]
    holding = [store for store in stores if store.url.startswith(f"{begins}/") and literal.startswith(store.prefix)]
    if not holding:
        raise NotFoundError(
            f"{address} is in no store of this project; `waymark store add` adds one, and `waymark store list` shows"
            " them."
        )
    return max(holding, key=lambda store: len(store.prefix))


async def _look_up(store: Store, record: DataStore, reference: Reference) -> list[Found]:
    address = reference.address
    if address is None:
        raise LookupError(reference.text)
    try:
        if not address.is_pattern:
            _refuse_managed(address)
            stat = await store.stat(address.key)
            return [Found(address, record.id, stat.size, stat.etag, md5=stat.attested.md5, sha256=stat.attested.sha256)]
        matches = _matcher(address.key)
        found = []
        async for entry in store.list(address.key.partition("*")[0]):
            if matches(entry.key) and not _MANAGED.search(entry.key):
                place = StoreAddress(address.scheme, address.container, entry.key)
                found.append(Found(place, record.id, entry.size, entry.etag))
            if len(found) > MOST_FILES:
                raise BadUserInputError(f"{reference.text} matches more than {MOST_FILES} objects.")
    except NotFound as error:
        raise NotFoundError(f"There is no object {reference.text}.") from error
    except BucketMissing as error:
        raise NotFoundError(f"{reference.text}: {error.cause}.") from error
    except StoreError as error:
        raise StoreUnavailableError(f"Store {error.store} failed on {reference.text}: {error.cause}.") from error
    if not found:
        raise NotFoundError(f"{reference.text} matches no object.")
    return found


def _refuse_managed(address: StoreAddress) -> None:
    if _MANAGED.search(address.key):
        raise BadUserInputError(f"{address} is kept by Waymark; refer to it by its datum's id.")


def _matcher(pattern: str) -> Callable[[str], bool]:
    """`*` is anything within one level, `**` at any depth."""
    parts = re.split(r"(\*\*/?|\*)", pattern)
    translated = {"*": "[^/]*", "**": ".*", "**/": "(?:.*/)?"}
    compiled = re.compile("".join(translated.get(part) or re.escape(part) for part in parts), re.DOTALL)
    return lambda key: compiled.fullmatch(key) is not None


async def adopt(
    connection: Connection,
    caller: Caller,
    project_id: UUID,
    found: Sequence[Found],
    *,
    names: Mapping[str, str] = MappingProxyType({}),
) -> dict[StoreAddress, Adopted]:
    """Makes a datum of each object that has none, and marks those that the objects were before they were replaced.

    `names` gives the name of an object by its key, where it is not the key's last part.
    """
    if not found:
        return {}
    wanted = [_file_name(each, names) for each in found]
    created = {
        row["id"]
        for row in await _ADOPT.fetch(
            connection,
            project_id=project_id,
            store_ids=[each.store_id for each in found],
            keys=[each.address.key for each in found],
            etags=[each.etag for each in found],
            names=wanted,
            sizes=[each.size for each in found],
            md5s=[each.md5 for each in found],
            sha256s=[each.sha256 for each in found],
            actor_id=caller.actor_id,
        )
    }
    keys = {(each.store_id, each.address.key) for each in found}
    rows = await _KNOWN.fetch(
        connection,
        project_id=project_id,
        store_ids=[store_id for store_id, _ in keys],
        keys=[key for _, key in keys],
    )
    known: dict[tuple[UUID, str], list[Datum]] = {}
    for row in rows:
        datum = Datum(*row)
        known.setdefault((datum.store_id, datum.object_key), []).append(datum)
    adopted = {}
    replaced: list[UUID] = []
    for each in found:
        same = known.get((each.store_id, each.address.key), [])
        now = next((it for it in reversed(same) if it.etag == each.etag and it.status == "AVAILABLE"), None)
        if now is None:
            raise StoreUnavailableError(f"{each.address} was replaced at this moment. Try again.")
        earlier = [datum for datum in same if datum.id != now.id]
        replaced += [datum.id for datum in earlier if datum.status == "AVAILABLE"]
        previous = earlier[-1] if earlier and now.id in created else None
        adopted[each.address] = Adopted(now, now.id in created, previous)
    if replaced:
        await _REPLACED.fetch(connection, ids=replaced)
    return adopted


def _file_name(found: Found, names: Mapping[str, str]) -> str:
    name = names.get(found.address.key) or found.address.key.rstrip("/").rpartition("/")[2]
    try:
        return require_file_name("name", name)
    except AppError as error:
        raise BadUserInputError(f"{found.address}: {error.message} Give adoptDatum a name.") from error
