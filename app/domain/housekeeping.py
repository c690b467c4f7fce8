"""What happens without being asked: uploads expire, bytes given up are deleted, old idempotency keys are forgotten."""

from __future__ import annotations

import asyncio

import asyncpg
import structlog

from app.database.engine import Pool
from app.domain import deletions, leases, verifications
from app.domain.data_stores import load_data_stores
from app.domain.datums import Datum
from app.domain.idempotency import forget_old_claims
from app.domain.secrets import SecretBox
from app.domain.sessions import forget_old_sessions
from app.domain.transactions import reading, writing
from app.domain.uploads import expire_uploads
from app.errors import StoreUnavailableError
from app.stores.base import StoreError
from app.stores.registry import StoreRegistry

log = structlog.get_logger("waymark.housekeeping")

_INTERVAL_SECONDS = 30.0


async def keep_house(pool: Pool, stores: StoreRegistry, secrets: SecretBox, due: asyncio.Event) -> None:
    """Runs for ever: a round every half minute, and at once when `due` is set. Several servers may."""
    while True:
        try:
            await keep_house_once(pool, stores, secrets)
        except (StoreUnavailableError, asyncpg.PostgresError) as error:
            log.warning("housekeeping failed; it goes on", error=str(error))
        try:
            async with asyncio.timeout(_INTERVAL_SECONDS):
                await due.wait()
        except TimeoutError:
            pass
        due.clear()


async def keep_house_once(pool: Pool, stores: StoreRegistry, secrets: SecretBox) -> None:
    """One round: everything that is due now."""
    async with writing(pool) as connection:
        if expired := await expire_uploads(connection):
            log.info("uploads expired", count=expired)
        if swept := await leases.sweep(connection):
            log.warning("workers are gone; their executions were taken from them", count=swept)
        await forget_old_claims(connection)
        await forget_old_sessions(connection)
    while True:
        async with writing(pool) as connection:
            due = await deletions.claim_due(connection)
        for deletion in due:
            await _delete(pool, stores, secrets, deletion)
        if not due:
            break
    while True:
        async with writing(pool) as connection:
            unverified = await verifications.claim_due(connection)
        for datum in unverified:
            await _verify(pool, stores, secrets, datum)
        if not unverified:
            return


async def _delete(pool: Pool, stores: StoreRegistry, secrets: SecretBox, deletion: deletions.Deletion) -> None:
    async with reading(pool) as connection:
        record = (await load_data_stores(connection, [deletion.store_id]))[deletion.store_id]
    error = None
    try:
        store = record.opened(stores, secrets)
        await store.abort_upload(deletion.object_key, deletion.session)
        await store.delete(deletion.object_key)
    except StoreError as failure:
        error = failure.cause
        log.warning("deleting bytes failed; it is tried again", store=record.name, error=error)
    async with writing(pool) as connection:
        await deletions.finish(connection, deletion, error)


async def _verify(pool: Pool, stores: StoreRegistry, secrets: SecretBox, datum: Datum) -> None:
    async with reading(pool) as connection:
        record = (await load_data_stores(connection, [datum.store_id]))[datum.store_id]
    store = record.opened(stores, secrets)
    finding = await verifications.verify(store, datum)
    if finding is None:
        log.warning("a file could not be verified; it is tried again", store=record.name, datum=str(datum.id))
        return
    async with writing(pool) as connection:
        await verifications.finish(connection, datum, finding)
    if isinstance(finding, str):
        log.error("a file is not what it was", datum=str(datum.id), reason=finding)
