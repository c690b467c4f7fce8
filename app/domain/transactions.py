"""Connections for reading and for writing, and the one seam where the database's refusals become sentences."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg
import structlog

from app.database.engine import Pool
from app.database.statements import Connection
from app.errors import AlreadyExistsError, AppError, BadUserInputError, NotFoundError, StoreUnavailableError

log = structlog.get_logger("waymark.database")

#: What a connection raises while the database cannot be reached, or as it goes.
UNAVAILABLE = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

_SENTENCES: dict[str, tuple[type[AppError], str]] = {
    "alias_project_id_fkey": (NotFoundError, "There is no such project."),
    "datum_project_id_fkey": (NotFoundError, "There is no such project."),
    "idempotency_project_id_fkey": (NotFoundError, "There is no such project."),
    "data_store_project_id_fkey": (NotFoundError, "There is no such project."),
    "data_store_project_id_name_key": (AlreadyExistsError, "There is a store of that name already."),
    "data_store_default_key": (AlreadyExistsError, "Another store was made the default at the same time; try again."),
    "project_slug_key": (AlreadyExistsError, "There is a project of that slug already."),
    "datum_store_id_fkey": (NotFoundError, "There is no such store."),
    "execution_store_id_fkey": (NotFoundError, "There is no such store."),
}


@contextmanager
def _refusals_as_sentences() -> Iterator[None]:
    try:
        yield
    except asyncpg.IntegrityConstraintViolationError as error:
        known = _SENTENCES.get(error.constraint_name or "")
        if known is None:
            raise
        kind, sentence = known
        raise kind(sentence) from error
    except UNAVAILABLE as error:
        log.warning("the database cannot be reached", error=repr(error))
        raise StoreUnavailableError(
            "The database cannot be reached for the moment. Try again, a mutation with the same idempotencyKey."
        ) from error
    except (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError) as error:
        raise BadUserInputError("Text may not contain the character U+0000.") from error


@asynccontextmanager
async def reading(pool: Pool) -> AsyncIterator[Connection]:
    """A short read connection; each statement is its own snapshot."""
    with _refusals_as_sentences():
        async with pool.acquire() as connection:
            yield connection


@asynccontextmanager
async def writing(pool: Pool) -> AsyncIterator[Connection]:
    """One transaction; commits at the end, rolls back on any error."""
    with _refusals_as_sentences():
        async with pool.acquire() as connection, connection.transaction():
            yield connection
