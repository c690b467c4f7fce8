"""What happens without being asked: uploads expire, bytes given up are deleted, old idempotency keys are forgotten."""

from __future__ import annotations

import asyncio

import asyncpg
import structlog

from app.database.engine import Pool
from app.domain import deletions
from app.domain.data_stores import load_data_stores
from app.domain.idempotency import forget_old_claims
from app.domain.transactions import reading, writing
from app.domain.uploads import expire_uploads
from app.errors import StoreUnavailableError
from app.stores.base import StoreError
from app.stores.registry import StoreRegistry

log = structlog.get_logger("waymark.housekeeping")

_INTERVAL_SECONDS = 30.0


async def keep_house(pool: Pool, stores: StoreRegistry, deletions_due: asyncio.Event) -> None:
    """Runs for ever: a round every half minute, and at once when `deletions_due` is set. Several servers may."""
    while True:
        try:
            await keep_house_once(pool, stores)
        except (StoreUnavailableError, asyncpg.PostgresError) as error:
            log.warning("housekeeping failed; it goes on", error=str(error))
        try:
            async with asyncio.timeout(_INTERVAL_SECONDS):
                await deletions_due.wait()
        except TimeoutError:
            pass
        deletions_due.clear()


async def keep_house_once(pool: Pool, stores: StoreRegistry) -> None:
    """One round: everything that is due now."""
    async with writing(pool) as connection:
        if expired := await expire_uploads(connection):
            log.info("uploads expired", count=expired)
        await forget_old_claims(connection)
    while True:
        async with writing(pool) as connection:
            due = await deletions.claim_due(connection)
        for deletion in due:
            await _delete(pool, stores, deletion)
        if not due:
            return


async def _delete(pool: Pool, stores: StoreRegistry, deletion: deletions.Deletion) -> None:
    async with reading(pool) as connection:
        record = (await load_data_stores(connection, [deletion.store_id]))[deletion.store_id]
    error = None
    try:
        await stores.open(record.id, record.kind, record.name, record.config).delete(deletion.object_key)
    except StoreError as failure:
        error = failure.cause
        log.warning("deleting bytes failed; it is tried again", store=record.name, error=error)
    async with writing(pool) as connection:
        await deletions.finish(connection, deletion, error)
