"""Verifying in the background: every file is read once, by us, so that each has all three hashes and they are true."""

from __future__ import annotations

from app.database.statements import Connection, Statement, columns
from app.domain.datums import Datum
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

_VERIFIED = Statement("""
    UPDATE datum SET md5 = :md5, sha1 = :sha1, sha256 = :sha256, checksum_evidence = 'VERIFIED', verify_at = NULL
    WHERE id = :id AND status = 'AVAILABLE'
""")

_CORRUPT = Statement("""
    UPDATE datum SET status = 'CORRUPT', status_reason = :reason, verify_at = NULL
    WHERE id = :id AND status = 'AVAILABLE'
""")


async def claim_due(connection: Connection) -> list[Datum]:
    """A few files that are due, each given to one caller only for a while."""
    return [Datum(*row) for row in await _CLAIM.fetch(connection)]


async def verify(store: Store, datum: Datum) -> Digests | str | None:
    """Reads a file: its digests, or why it is not the file it was; None if that cannot be told now."""
    try:
        async with store.open(datum.object_key, if_match=datum.etag) as chunks:
            size, digests = await hash_chunks(chunks)
    except PreconditionFailed:
        return "the object in the store was changed outside Waymark"
    except NotFound:
        return "the object is gone from the store"
    except StoreError:
        return None
    known = Expected(datum.md5, datum.sha1, datum.sha256)
    if size != datum.size:
        return f"the object has {size} bytes; {datum.size} were announced"
    if differences := known.differences(digests):
        return "the object has other bytes: " + "; ".join(differences)
    return digests


async def finish(connection: Connection, datum: Datum, finding: Digests | str) -> None:
    """Keeps the digests, or marks the datum CORRUPT with the reason."""
    if isinstance(finding, str):
        await _CORRUPT.fetch(connection, id=datum.id, reason=finding)
    else:
        await _VERIFIED.fetch(connection, id=datum.id, md5=finding.md5, sha1=finding.sha1, sha256=finding.sha256)
