"""Migrations make exactly the tables that the code has."""

from __future__ import annotations

import asyncio

import asyncpg
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from app.database.embedded import EmbeddedPostgres
from app.database.migrate import create_database, migrate
from app.database.tables import metadata


async def test_a_migrated_database_has_the_tables_of_the_code(database_url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        found: list[object] = compare_metadata(MigrationContext.configure(connection), metadata)
        return found

    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(database_url))
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_servers_that_start_at_once_migrate_once(postgres: EmbeddedPostgres) -> None:
    await create_database(postgres.url("postgres"), "raced")
    url = postgres.url("raced")
    await asyncio.gather(*(migrate(url) for _ in range(4)))
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("SELECT array_agg(version_num) FROM alembic_version") == ["0009"]
    await connection.close()
