"""Makes what tests need, by keyword, through the domain itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

from app.database.engine import Pool
from app.database.statements import Connection, columns
from app.domain import bootstrap, datums
from app.domain.access import Caller, Via
from app.domain.aliases import AliasChange, Expectation, Move, Outcome, set_alias
from app.domain.executions import Execution, ExecutionSpec, InputSpec, create_execution
from app.domain.idempotency import Claim
from app.domain.references import parse_datum
from app.domain.secrets import SecretBox, new_token
from app.domain.tokens import authenticate
from app.domain.transactions import reading, writing

_numbers = count(1)


@dataclass
class World:
    """A project, an administrator in it, and connections."""

    pool: Pool
    caller: Caller
    project_id: UUID
    store_id: UUID
    secrets: SecretBox

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Connection]:
        async with writing(self.pool) as connection:
            yield connection

    async def a_datum(self, *, name: str = "", status: str = "AVAILABLE", size: int = 10) -> UUID:
        """A file as the table has it; its bytes are nowhere."""
        number = next(_numbers)
        async with self.write() as connection:
            return UUID(
                str(
                    await connection.fetchval(
                        "INSERT INTO datum (project_id, store_id, object_key, name, size, checksum_evidence, origin,"
                        " status, created_by) VALUES ($1, $2, $3, $4, $5, 'VERIFIED', 'UPLOAD', $6, $7) RETURNING id",
                        self.project_id,
                        self.store_id,
                        f"key-{number}",
                        name or f"file-{number}",
                        size,
                        status,
                        self.caller.actor_id,
                    )
                )
            )

    async def point(
        self, name: str, datum: UUID | str, *, expect: Expectation | None = None, claim: Claim | None = None
    ) -> Outcome:
        async with self.write() as connection:
            return await set_alias(
                connection,
                self.caller,
                self.project_id,
                Move(name, parse_datum(str(datum)), expect or Expectation()),
                reason=None,
                claim=claim,
            )

    async def an_execution(self, **inputs: str | list[str]) -> Execution:
        specs = [
            InputSpec(name, [references] if isinstance(references, str) else references)
            for name, references in inputs.items()
        ]
        async with self.write() as connection:
            return await create_execution(
                connection,
                self.caller,
                self.project_id,
                ExecutionSpec(command=["run"], inputs=specs),
                secrets=self.secrets,
                claim=None,
                found={},
            )

    async def purge(self, datum: UUID, *, force: bool = False) -> None:
        async with self.write() as connection:
            await datums.purge_datum(connection, self.caller, datum, reason="no longer needed", force=force)

    async def history(self, name: str) -> list[AliasChange]:
        """All changes of an alias, the oldest first."""
        rows = await self.rows(
            f"SELECT {columns(AliasChange, 'h')} FROM alias_history h JOIN alias a ON a.id = h.alias_id"
            " WHERE a.name = $1 ORDER BY h.version",
            name,
        )
        return [AliasChange(*row) for row in rows]

    async def rows(self, sql: str, *values: Any) -> list[Any]:
        async with reading(self.pool) as connection:
            return await connection.fetch(sql, *values)


async def a_world(pool: Pool, store: Path) -> World:
    token = new_token()
    async with writing(pool) as connection:
        await bootstrap.ensure_defaults(connection, store_path=str(store))
        await bootstrap.ensure_admin_token(connection, token)
        return World(
            pool,
            await authenticate(connection, token, Via.API),
            await connection.fetchval("SELECT id FROM project"),
            await connection.fetchval("SELECT id FROM data_store"),
            SecretBox("a secret key of tests, long enough for the settings"),
        )


def assert_gapless(changes: list[AliasChange]) -> None:
    """Versions 1, 2, 3 …; each change's from is its predecessor's to; times rise."""
    assert [change.version for change in changes] == list(range(1, len(changes) + 1))
    for earlier, later in pairwise(changes):
        assert later.from_datum_id == earlier.to_datum_id
        assert later.at > earlier.at
