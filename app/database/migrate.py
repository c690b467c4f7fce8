"""Brings a database to the newest schema (Alembic), one process at a time."""

from __future__ import annotations

from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

_OLDEST_VERSION = 180000
# any number that nothing else in the database uses
_ADVISORY_LOCK = 0x5741_594D


class UnsupportedDatabaseError(Exception):
    """The database is not one that Waymark can use."""


def alembic_config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


async def migrate(url: str) -> None:
    """Upgrades the schema; waits for another process that is doing the same."""
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=NullPool
    )
    try:
        async with engine.begin() as connection:
            version = (await connection.execute(text("SELECT current_setting('server_version_num')::int"))).scalar_one()
            if version < _OLDEST_VERSION:
                raise UnsupportedDatabaseError(f"Waymark needs PostgreSQL 18 or newer; this one is {version // 10000}.")
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
            await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), "head"))
    finally:
        await engine.dispose()


async def create_database(server_url: str, name: str) -> None:
    """Creates a database on a server unless it exists; `server_url` names any other database of it."""
    connection = await asyncpg.connect(server_url)
    try:
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name):
            await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
