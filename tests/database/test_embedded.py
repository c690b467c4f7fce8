"""The embedded PostgreSQL: closed to others, and back after any crash."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from app.database.embedded import EmbeddedPostgres, EmbeddedPostgresError
from tests.running import home_folder


@pytest.fixture
def home() -> Iterator[Path]:
    with home_folder("embedded") as home:
        yield home


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_its_folders_are_closed_and_its_socket_asks_for_the_password(home: Path) -> None:
    server = EmbeddedPostgres(home / "postgres")
    server.start()
    try:
        assert {_mode(home / "postgres" / name) for name in ("", "data", "socket")} == {0o700}
        assert _mode(home / "postgres" / "password") == 0o600
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.url("postgres").replace("waymark:", "waymark:wrong"))
        connection = await asyncpg.connect(server.url("postgres"))
        assert await connection.fetchval("SHOW listen_addresses") == ""
        assert await connection.fetchval("SHOW fsync") == "on"
        await connection.close()
    finally:
        server.stop()


async def test_what_was_committed_is_there_after_a_kill(home: Path) -> None:
    server = EmbeddedPostgres(home / "postgres")
    server.start()
    connection = await asyncpg.connect(server.url("postgres"))
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    pid = int((home / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    connection.terminate()
    server.stop()
    again = EmbeddedPostgres(home / "postgres")
    again.start()
    connection = await asyncpg.connect(again.url("postgres"))
    assert await connection.fetchval("SELECT answer FROM kept") == 42
    await connection.close()
    again.stop()


def test_a_server_that_a_killed_parent_left_behind_is_replaced(home: Path) -> None:
    orphan = EmbeddedPostgres(home / "postgres")
    orphan.start()
    heir = EmbeddedPostgres(home / "postgres")
    heir.start()
    assert heir.running
    assert not orphan.running
    heir.stop()
    orphan.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another account")
def test_a_folder_that_its_account_cannot_reach_is_named(home: Path) -> None:
    home.chmod(0o700)
    with pytest.raises(EmbeddedPostgresError, match="cannot reach"):
        EmbeddedPostgres(home / "postgres").start()
