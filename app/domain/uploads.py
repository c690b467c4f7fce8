"""Uploads: from the announcement of a file to its AVAILABLE datum. The bytes go straight to the store."""

from __future__ import annotations

import datetime as dt
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.database.statements import Connection, Statement, columns, record_fields
from app.domain import deletions
from app.domain.access import Caller
from app.domain.aliases import AliasChange, Move, changes_of_set, set_alias
from app.domain.data_stores import DataStore
from app.domain.datums import ChecksumEvidence, Datum, DatumStatus, update_datum
from app.domain.executions import Execution
from app.domain.idempotency import Claim
from app.domain.references import Reference
from app.domain.validation import require_file_name, require_object, require_tags, require_text
from app.errors import (
    AppError,
    BadUserInputError,
    ChecksumMismatchError,
    NotFoundError,
    StoreUnavailableError,
    WrongStateError,
)
from app.stores.base import (
    BadCredentials,
    BucketMissing,
    ChecksumMismatch,
    Expected,
    Forbidden,
    NotFound,
    SizeMismatch,
    Store,
    StoreError,
    Unsupported,
    UploadPlan,
)
from app.transfer.hashing import hash_chunks

LARGEST_FILE = 5 * 1024**4
_HEX_DIGITS = {"md5": 32, "sha1": 40, "sha256": 64}


@dataclass(frozen=True, slots=True)
class Upload:
    id: UUID
    project_id: UUID
    datum_id: UUID
    part_size: int
    part_count: int
    #: What the store knows the upload by.
    session: str
    expires_at: dt.datetime
    ended_at: dt.datetime | None

    def plan(self, datum: Datum) -> UploadPlan:
        return UploadPlan(datum.size, self.part_size, self.part_count)


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the client says of a file that it is about to send."""

    name: str
    size: int
    media_type: str | None = None
    expected: Expected = field(default_factory=Expected)
    tags: list[str] = field(default_factory=list)
    properties: dict[str, Any] = field(default_factory=dict)


_DATUM = columns(Datum, "datum")
_UPLOAD = columns(Upload, "upload")

_REQUEST = Statement(f"""
    WITH datum AS (
        INSERT INTO datum (id, project_id, store_id, object_key, name, size, media_type, md5, sha1, sha256,
            checksum_evidence, origin, status, tags, properties, created_by, produced_by, attempt)
        SELECT fresh.id, :project_id, :store_id,
            concat(:prefix ::text, 'waymark/', :project_id ::uuid, '/', fresh.id, '/', :secret ::text), :name,
            :size, :media_type, :md5, :sha1, :sha256, 'DECLARED',
            CASE WHEN :execution_id ::uuid IS NULL THEN 'UPLOAD' ELSE 'EXECUTION' END, 'PENDING', :tags, :properties,
            :actor_id, :execution_id, :attempt
        FROM (SELECT coalesce(:datum_id ::uuid, uuidv7()) AS id) AS fresh
        RETURNING *
    ), upload AS (
        INSERT INTO upload (project_id, datum_id, part_size, part_count, expires_at)
        SELECT :project_id, datum.id, :part_size, :part_count, clock_timestamp() + :lifetime ::interval FROM datum
        RETURNING *
    )
    SELECT {_DATUM}, {_UPLOAD} FROM datum, upload
""")

_BY_DATUM = Statement(f"""
    SELECT {_DATUM}, {_UPLOAD} FROM datum JOIN upload ON upload.datum_id = datum.id WHERE datum.id = :datum_id
""")

_BY_ID = Statement(f"SELECT {_UPLOAD} FROM upload WHERE id = ANY(:ids ::uuid[])")

_KEEP_SESSION = Statement(f"""
    UPDATE upload SET session = CASE WHEN session = '' THEN :session ELSE session END WHERE id = :id
    RETURNING {_UPLOAD}
""")

_LOCK_DATUM = Statement(f"SELECT {_DATUM} FROM datum WHERE id = :datum_id FOR NO KEY UPDATE")

_COMPLETE = Statement(f"""
    WITH ended AS (UPDATE upload SET ended_at = clock_timestamp() WHERE datum_id = :datum_id)
    UPDATE datum SET status = 'AVAILABLE', md5 = :md5, sha1 = :sha1, sha256 = :sha256, checksum_evidence = :evidence,
        etag = :etag, object_version = :object_version,
        verify_at = CASE WHEN :evidence <> 'VERIFIED' THEN clock_timestamp() END
    WHERE id = :datum_id RETURNING {_DATUM}
""")

_STAGE = Statement("UPDATE datum SET staged_alias = :alias WHERE id = :datum_id")

_OUTPUT = Statement("""
    SELECT FROM datum
    WHERE id = :id AND produced_by = :execution_id AND attempt = :attempt AND status = 'AVAILABLE'
""")

_END = Statement(f"""
    WITH ended AS (UPDATE upload SET ended_at = clock_timestamp() WHERE datum_id = :datum_id)
    UPDATE datum SET status = 'EXPIRED', status_reason = :reason WHERE id = :datum_id RETURNING {_DATUM}
""")

# locks data before uploads, as completing and aborting do
_EXPIRE = Statement("""
    WITH late AS (
        SELECT upload.id, upload.datum_id, upload.session FROM upload JOIN datum ON datum.id = upload.datum_id
        WHERE upload.ended_at IS NULL AND upload.expires_at < clock_timestamp()
        ORDER BY upload.expires_at LIMIT 1000 FOR NO KEY UPDATE OF datum SKIP LOCKED
    ), ended AS (
        UPDATE upload SET ended_at = clock_timestamp() FROM late WHERE upload.id = late.id
    ), expired AS (
        UPDATE datum SET status = 'EXPIRED', status_reason = 'its bytes never came' FROM late
        WHERE datum.id = late.datum_id AND datum.status = 'PENDING'
        RETURNING datum.id, datum.project_id, datum.store_id, datum.object_key
    ), swept AS (
        INSERT INTO deletion (project_id, store_id, object_key, session)
        SELECT expired.project_id, expired.store_id, expired.object_key, late.session
        FROM expired JOIN late ON late.datum_id = expired.id
    )
    SELECT count(*) FROM expired
""")


async def load_uploads(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Upload]:
    return {row["id"]: Upload(*row) for row in await _BY_ID.fetch(connection, ids=ids)}


async def request_upload(
    connection: Connection,
    caller: Caller,
    project_id: UUID,
    announcement: Announcement,
    *,
    record: DataStore,
    store: Store,
    lifetime: dt.timedelta,
    claim: Claim | None,
    producer: Execution | None = None,
) -> tuple[Datum, Upload]:
    """Reserves a PENDING datum, and a key in the store that nobody can guess.

    `producer` is the execution whose output it is, held for this transaction.
    """
    require_file_name("name", announcement.name)
    if not 0 <= announcement.size <= LARGEST_FILE:
        raise BadUserInputError(f"size is {announcement.size}; expected 0 to {LARGEST_FILE} bytes.")
    if announcement.media_type is not None:
        require_media_type(announcement.media_type)
    require_hashes(announcement.expected)
    if claim and claim.replayed:
        (row,) = await _BY_DATUM.fetch(connection, datum_id=claim.result_id)
    else:
        try:
            plan = store.plan_upload(announcement.size)
        except StoreError as error:
            raise store_failure(error) from error
        (row,) = await _REQUEST.fetch(
            connection,
            datum_id=claim and claim.result_id,
            project_id=project_id,
            store_id=record.id,
            prefix=record.prefix,
            secret=secrets.token_urlsafe(16),
            name=announcement.name,
            size=announcement.size,
            media_type=announcement.media_type,
            md5=announcement.expected.md5,
            sha1=announcement.expected.sha1,
            sha256=announcement.expected.sha256,
            tags=require_tags("tags", announcement.tags),
            properties=require_object("properties", announcement.properties),
            part_size=plan.part_size,
            part_count=plan.part_count,
            lifetime=lifetime,
            actor_id=caller.actor_id,
            execution_id=producer and producer.id,
            attempt=producer and producer.attempt,
        )
    values = tuple(row)
    width = len(record_fields(Datum))
    return Datum(*values[:width]), Upload(*values[width:])


async def begin_upload(store: Store, upload: Upload, datum: Datum) -> str | None:
    """Has the store prepare for the parts, outside of any transaction; None where that was done before."""
    if upload.session or upload.ended_at:
        return None
    try:
        return await store.begin_upload(datum.object_key, upload.plan(datum)) or None
    except StoreError as error:
        raise store_failure(error) from error


async def keep_session(connection: Connection, upload: Upload, session: str) -> Upload:
    """Keeps what the store knows the upload by, unless a twin of the request was faster."""
    (row,) = await _KEEP_SESSION.fetch(connection, id=upload.id, session=session)
    return Upload(*row)


@dataclass(frozen=True, slots=True)
class Arrived:
    """The object that an upload became, and who vouches for its hashes."""

    hashes: Expected
    evidence: ChecksumEvidence
    etag: str | None
    object_version: str | None


async def verify_upload(store: Store, upload: Upload, datum: Datum, declared: Expected) -> Arrived | None:
    """Has the store make the object of its parts; compares size and hashes. Before the transaction.

    What the client declared and the store does not vouch for is compared by reading the object. None when there is
    nothing left to verify, because the upload has ended one way or the other.
    """
    require_hashes(declared)
    if datum.status != DatumStatus.PENDING:
        return None
    wanted: dict[str, str | None] = {}
    for name in _HEX_DIGITS:
        announced, now = getattr(datum, name), getattr(declared, name)
        if announced and now and announced != now:
            raise ChecksumMismatchError(f"{name} is {now}, but requestUpload announced {announced}.")
        wanted[name] = now or announced
    expected = Expected(**wanted)
    try:
        stat = await store.complete_upload(datum.object_key, upload.session, upload.plan(datum), expected)
        digests = stat.verified
        attested = any(getattr(stat.attested, name) and wanted[name] for name in _HEX_DIGITS)
        if digests is None and not attested and any(wanted.values()):
            async with store.open(datum.object_key, if_match=stat.etag) as chunks:
                _, digests = await hash_chunks(chunks)
            if differences := expected.differences(digests):
                await store.delete(datum.object_key)
                raise ChecksumMismatch(store.name, "complete", datum.object_key, "; ".join(differences))
    except StoreError as error:
        raise store_failure(error) from error
    version = stat.version or stat.etag
    if digests is not None:
        hashes = Expected(digests.md5, digests.sha1, digests.sha256)
        return Arrived(hashes, ChecksumEvidence.VERIFIED, stat.etag, version)
    known = {name: wanted[name] or getattr(stat.attested, name) for name in _HEX_DIGITS}
    evidence = ChecksumEvidence.ATTESTED if any(known.values()) else ChecksumEvidence.DECLARED
    return Arrived(Expected(**known), evidence, stat.etag, version)


async def complete_upload(
    connection: Connection,
    caller: Caller,
    upload: Upload,
    verified: Arrived | None,
    *,
    alias: str | None,
    reason: str | None,
    claim: Claim | None,
    producer: Execution | None = None,
) -> tuple[Datum, AliasChange | None]:
    """Makes the datum AVAILABLE and, in the same transaction, points an alias at it.

    That of an execution's output is pointed at it once the execution completes.
    Completing again changes nothing. A datum that came out EXPIRED lost a race against its abortion or expiry.
    """
    (row,) = await _LOCK_DATUM.fetch(connection, datum_id=upload.datum_id)
    datum = Datum(*row)
    if claim and claim.replayed:
        changes = await changes_of_set(connection, datum.project_id, claim.result_id)
        return datum, next(iter(changes), None)
    if verified is None:
        return datum, None
    if datum.status == DatumStatus.EXPIRED:
        await deletions.enqueue(connection, datum.project_id, datum.store_id, datum.object_key, session=upload.session)
    if datum.status != DatumStatus.PENDING:
        return datum, None
    (row,) = await _COMPLETE.fetch(
        connection,
        datum_id=datum.id,
        md5=verified.hashes.md5,
        sha1=verified.hashes.sha1,
        sha256=verified.hashes.sha256,
        evidence=verified.evidence,
        etag=verified.etag,
        object_version=verified.object_version,
    )
    datum = Datum(*row)
    if alias is None:
        return datum, None
    if producer is not None:
        await _STAGE.fetch(connection, datum_id=datum.id, alias=alias)
        return datum, None
    move = Move(alias, Reference(f"datum://{datum.id}", datum_id=datum.id))
    outcome = await set_alias(connection, caller, datum.project_id, move, reason=reason, claim=claim)
    return datum, outcome.change


async def describe_output(
    connection: Connection,
    producer: Execution,
    datum_id: UUID,
    *,
    tags: Sequence[str],
    properties: dict[str, Any],
    alias: str | None,
) -> Datum:
    """Adds to what is said of an output that was stored while its execution, held for this transaction, still ran.

    Its alias, if any, is the one given now.
    """
    if await _OUTPUT.fetchrow(connection, id=datum_id, execution_id=producer.id, attempt=producer.attempt) is None:
        raise NotFoundError(f"Execution {producer.number} has made no datum {datum_id} in this attempt.")
    await _STAGE.fetch(connection, datum_id=datum_id, alias=alias)
    return await update_datum(
        connection, datum_id, add_tags=tags, remove_tags=[], set_properties=properties, remove_properties=[]
    )


def ended_upload(upload: Upload, datum: Datum) -> AppError:
    return WrongStateError(
        f"Upload {upload.id} has ended: its datum is {datum.status}"
        + (f" ({datum.status_reason})" if datum.status_reason else "")
        + ". Request a new upload."
    )


async def abort_upload(connection: Connection, upload: Upload) -> Datum:
    """Gives up an upload; aborting again changes nothing."""
    (row,) = await _LOCK_DATUM.fetch(connection, datum_id=upload.datum_id)
    datum = Datum(*row)
    if datum.status == DatumStatus.EXPIRED:
        return datum
    if datum.status != DatumStatus.PENDING:
        raise WrongStateError(f"The upload is complete: datum {datum.id} is {datum.status}. Purge it instead.")
    (row,) = await _END.fetch(connection, datum_id=datum.id, reason="the upload was aborted")
    await deletions.enqueue(connection, datum.project_id, datum.store_id, datum.object_key, session=upload.session)
    return Datum(*row)


async def expire_uploads(connection: Connection) -> int:
    """Ends the uploads whose time is over, up to a thousand; returns how many data became EXPIRED."""
    return int(await _EXPIRE.fetchval(connection))


def require_hashes(hashes: Expected) -> None:
    for name, digits in _HEX_DIGITS.items():
        value = getattr(hashes, name)
        if value is not None and not re.fullmatch(rf"[0-9a-f]{{{digits}}}", value):
            raise BadUserInputError(f"{name} is {value!r}; expected {digits} lower-case hexadecimal digits.")


def require_media_type(media_type: str) -> None:
    require_text("mediaType", media_type, longest=255)
    if not re.fullmatch(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(; ?[\w!#$&^.+-]+=[\w!#$&^.+-]+)*", media_type, re.ASCII):
        raise BadUserInputError(f"mediaType is {media_type!r}; expected a form such as 'text/csv'.")


def store_failure(error: StoreError) -> AppError:
    """A store's failure as the caller is told of it; keys stay inside."""
    match error:
        case ChecksumMismatch():
            return ChecksumMismatchError(f"The bytes that arrived are others: {error.cause}. Push the file again.")
        case SizeMismatch():
            return ChecksumMismatchError(f"The bytes that arrived are others: {error.cause}.")
        case NotFound():
            return WrongStateError(f"The upload is not complete: {error.cause}.")
        case BadCredentials() | Forbidden() | BucketMissing() | Unsupported():
            return StoreUnavailableError(
                f"Store {error.store} refuses: {error.cause}. `waymark store check` tells more."
            )
        case _:
            return StoreUnavailableError(f"Store {error.store} failed: {error.cause}.")
