"""Connections for reading and for writing, and the one seam where the database's refusals become sentences."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg

from app.database.engine import Pool
from app.database.statements import Connection
from app.errors import AlreadyExistsError, AppError, BadUserInputError, NotFoundError

#: What a connection raises while the database cannot be reached.
UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
)

_SENTENCES: dict[str, tuple[type[AppError], str]] = {
    "alias_project_id_fkey": (NotFoundError, "There is no such project."),
    "datum_project_id_fkey": (NotFoundError, "There is no such project."),
    "idempotency_project_id_fkey": (NotFoundError, "There is no such project."),
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
    except (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError) as error:
        raise BadUserInputError("Text may not contain the character U+0000.") from error


@asynccontextmanager
async def reading(pool: Pool) -> AsyncIterator[Connection]:
    """A short read connection; each statement is its own snapshot."""
    async with pool.acquire() as connection:
        with _refusals_as_sentences():
            yield connection


@asynccontextmanager
async def writing(pool: Pool) -> AsyncIterator[Connection]:
    """One transaction; commits at the end, rolls back on any error."""
    async with pool.acquire() as connection:
        with _refusals_as_sentences():
            async with connection.transaction():
                yield connection
