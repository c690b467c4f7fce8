"""Verifying in the background: every file is read once, by us, so that each has all three hashes and they are true."""

from __future__ import annotations

from app.database.statements import Connection, Statement, columns
from app.domain.datums import ChecksumEvidence, Datum
from app.stores.base import Expected, NotFound, PreconditionFailed, Store, StoreError
from app.transfer.hashing import Digests, hash_chunks

# Claimed by putting off the next attempt, further each time; a large file takes its time to read.
_CLAIM = Statement(f"""
    UPDATE datum
    SET verify_attempts = verify_attempts + 1,
        verify_at = clock_timestamp()
            + least(interval '1 day', interval '10 minutes' * power(2, least(verify_attempts, 8)))
    WHERE id IN (
        SELECT id FROM datum WHERE verify_at <= clock_timestamp()
        ORDER BY verify_at LIMIT 4 FOR NO KEY UPDATE SKIP LOCKED
    )
    RETURNING {columns(Datum, "datum")}
""")

# adopted objects are their owner's to change, so they are looked at again every day
_VERIFIED = Statement("""
    UPDATE datum SET md5 = :md5, sha1 = :sha1, sha256 = :sha256, checksum_evidence = 'VERIFIED', verify_attempts = 0,
        verify_at = CASE WHEN origin = 'ADOPTED' THEN clock_timestamp() + interval '1 day' END
    WHERE id = :id AND status = 'AVAILABLE'
""")

_CORRUPT = Statement("""
    UPDATE datum SET status = 'CORRUPT', status_reason = :reason, verify_at = NULL
    WHERE id = :id AND status = 'AVAILABLE'
""")


_CHANGED = "the object in the store was changed outside Waymark"


async def claim_due(connection: Connection) -> list[Datum]:
    """A few files that are due, each given to one caller only for a while."""
    return [Datum(*row) for row in await _CLAIM.fetch(connection)]


async def verify(store: Store, datum: Datum) -> Digests | str | None:
    """A file's digests, or why it is not the file it was; None if that cannot be told now.

    A file is read once; after that its store's description is compared.
    """
    try:
        if changed := await change_of(store, datum):
            return changed
        if datum.checksum_evidence == ChecksumEvidence.VERIFIED and datum.md5 and datum.sha1 and datum.sha256:
            return Digests(datum.md5, datum.sha1, datum.sha256)
        async with store.open(datum.object_key, if_match=datum.etag) as chunks:
            _, digests = await hash_chunks(chunks)
    except PreconditionFailed:
        return _CHANGED
    except StoreError:
        return None
    if differences := Expected(datum.md5, datum.sha1, datum.sha256).differences(digests):
        return "the object has other bytes: " + "; ".join(differences)
    return digests


async def change_of(store: Store, datum: Datum) -> str | None:
    """Why an object is not the one that the datum was made of, as far as its store's description tells."""
    try:
        stat = await store.stat(datum.object_key)
    except NotFound:
        return "the object is gone from the store"
    if stat.size != datum.size or (datum.etag is not None and stat.etag != datum.etag):
        return _CHANGED
    return None


async def finish(connection: Connection, datum: Datum, finding: Digests | str) -> None:
    """Keeps the digests, or marks the datum CORRUPT with the reason."""
    if isinstance(finding, str):
        await _CORRUPT.fetch(connection, id=datum.id, reason=finding)
    else:
        await _VERIFIED.fetch(connection, id=datum.id, md5=finding.md5, sha1=finding.sha1, sha256=finding.sha256)
