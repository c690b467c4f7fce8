"""`make bench`: what the API costs beside the same SQL sent straight to the database, interleaved in one run.

Prints medians over the rounds, in requests a second, and the ratio. Ratios travel between machines; rates do not.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from uuid import UUID

import asyncpg

from app.client.client import Client
from app.database.embedded import EmbeddedPostgres
from app.database.engine import Pool, create_pool
from app.domain import aliases, references
from app.domain.access import Via
from app.domain.secrets import token_hash
from app.domain.tokens import authenticate
from app.domain.transactions import reading, writing
from tests.running import serving

CONNECTIONS = 32
ROUNDS = 5
SECONDS = 2.0
DATA = 2_000
ALIASES = 1_000

_RESOLVE = "query($p: ID!, $r: String!) { resolve(project: $p, reference: $r) { version datum { id name size } } }"
_SET = "mutation($i: SetAliasInput!) { setAlias(input: $i) { alias { version } change { version } } }"
_CREATE = "mutation($i: CreateExecutionInput!) { createExecution(input: $i) { execution { number } } }"

Work = Callable[[int], Awaitable[object]]


@dataclass
class _Setting:
    client: Client
    pool: Pool
    project_id: UUID
    data: list[UUID]
    token: str


async def _rate(work: Work) -> float:
    """Requests a second of `CONNECTIONS` workers that do nothing but this."""
    numbers = count()
    ends = time.perf_counter() + SECONDS

    async def run() -> int:
        done = 0
        while time.perf_counter() < ends:
            await work(next(numbers))
            done += 1
        return done

    began = time.perf_counter()
    done = sum(await asyncio.gather(*(run() for _ in range(CONNECTIONS))))
    return done / (time.perf_counter() - began)


def _cases(setting: _Setting) -> dict[str, tuple[Work, Work]]:
    """By name, the request over the API and the same rule straight on the database."""
    project = str(setting.project_id)

    def datum(number: int) -> UUID:
        return setting.data[number * 7919 % len(setting.data)]

    async def resolve_api(number: int) -> object:
        return await setting.client.execute(_RESOLVE, {"p": project, "r": f"datum://alias-{number % ALIASES}"})

    async def resolve_sql(number: int) -> object:
        wanted = references.parse_reference(f"datum://alias-{number % ALIASES}")
        async with reading(setting.pool) as connection:
            return await references.resolve(connection, setting.project_id, [wanted])

    def set_api(names: Callable[[int], str]) -> Work:
        async def work(number: int) -> object:
            values = {"project": project, "name": names(number), "datum": str(datum(number))}
            return await setting.client.execute(_SET, {"i": values})

        return work

    def set_sql(names: Callable[[int], str]) -> Work:
        async def work(number: int) -> object:
            move = aliases.Move(names(number), references.parse_datum(str(datum(number))))
            async with writing(setting.pool) as connection:
                caller = await authenticate(connection, setting.token, Via.API)
                return await aliases.set_alias(connection, caller, setting.project_id, move, reason=None, claim=None)

        return work

    async def create_api(number: int) -> object:
        inputs = [
            {"name": f"input-{place}", "references": [f"datum://alias-{(number + place) % ALIASES}"]}
            for place in range(10)
        ]
        return await setting.client.execute(_CREATE, {"i": {"project": project, "command": ["run"], "inputs": inputs}})

    async def create_sql(number: int) -> object:
        wanted = [references.parse_reference(f"datum://alias-{(number + place) % ALIASES}") for place in range(10)]
        async with reading(setting.pool) as connection:
            return await references.resolve(connection, setting.project_id, wanted)

    return {
        "resolve": (resolve_api, resolve_sql),
        "setAlias, spread": (set_api(lambda n: f"alias-{n % ALIASES}"), set_sql(lambda n: f"alias-{n % ALIASES}")),
        "setAlias, one alias": (set_api(lambda _: "contended"), set_sql(lambda _: "contended")),
        "createExecution, 10 aliases (beside resolving them)": (create_api, create_sql),
    }


async def _fill(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    await connection.execute(
        f"""
        INSERT INTO datum (project_id, store_id, object_key, name, size, checksum_evidence, origin, status)
        SELECT project.id, data_store.id, 'key-' || n, 'file-' || n, n, 'VERIFIED', 'UPLOAD', 'AVAILABLE'
        FROM project, data_store, generate_series(1, {DATA}) AS n
        """
    )
    await connection.execute("ANALYZE")


async def _measure(data_dir: Path) -> None:
    url = EmbeddedPostgres(data_dir / "postgres").url()
    token = (data_dir / "token").read_text().strip()
    address = (data_dir / "address").read_text().strip()
    async with await create_pool(url, size=10) as pool, Client(address, token) as client:
        async with pool.acquire() as connection:
            assert await connection.fetchval("SELECT count(*) FROM token WHERE secret_hash = $1", token_hash(token))
            await _fill(connection)
            project_id = await connection.fetchval("SELECT id FROM project")
            data = [row["id"] for row in await connection.fetch("SELECT id FROM datum")]
        setting = _Setting(client, pool, project_id, data, token)
        moves = [{"name": f"alias-{number}", "datum": str(data[number])} for number in range(ALIASES)]
        await client.execute(
            "mutation($i: SetAliasesInput!) { setAliases(input: $i) { changeSet } }",
            {"i": {"project": str(project_id), "moves": moves}},
        )
        print(f"{CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS:g} s, one server process, fsync on")
        print(f"{'':52} {'API/s':>8} {'SQL/s':>8} {'ratio':>6}")
        for name, (api, sql) in _cases(setting).items():
            await asyncio.gather(*(api(number) for number in range(64)))
            rounds = [(await _rate(api), await _rate(sql)) for _ in range(ROUNDS)]
            over_api, straight = (statistics.median(column) for column in zip(*rounds, strict=True))
            print(f"{name:52} {over_api:8.0f} {straight:8.0f} {over_api / straight:6.2f}")


def main() -> None:
    # not below a home folder: PostgreSQL may run as another account, which must reach it
    home = Path(tempfile.mkdtemp(prefix="waymark-bench-"))
    home.chmod(0o711)
    try:
        with serving(home / "data", WAYMARK_LOG_LEVEL="WARNING"):
            asyncio.run(_measure(home / "data"))
    finally:
        shutil.rmtree(home, ignore_errors=True)


main()
