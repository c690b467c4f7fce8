"""`make bench`: what a request costs, beside pgbench with the same SQL and beside a bare ASGI endpoint, in one run.

The three take turns, round by round, so that what else the machine does hits all of them. Rates differ from machine to
machine; ratios travel. CPU is that of the server process, without PostgreSQL's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import uvicorn
from rich.console import Console
from rich.table import Table

from app.database.embedded import EmbeddedPostgres
from app.database.engine import prepare
from app.database.statements import Connection
from app.logs import configure_logs
from app.server import create_app
from app.server_process import HttpProtocol
from app.settings import Settings
from benchmarks import load
from benchmarks.cases import CASES, Case
from benchmarks.data import ALIASES, BLOCK, fill
from benchmarks.straight import Sent, pgbench, script
from tests.running import children_of, serving

CONNECTIONS = 32
_BODIES = 2_000
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Measured:
    """One case's rounds."""

    api: list[load.Result] = field(default_factory=list)
    straight: list[float] = field(default_factory=list)
    #: Seconds of the server process's CPU, each round.
    cpu: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(result.rate for result in self.api)

    def percentile(self, part: float) -> float:
        return statistics.median(result.percentile(part) for result in self.api)

    @property
    def cpu_per_request(self) -> float:
        """In microseconds."""
        return 1e6 * sum(self.cpu) / sum(result.requests for result in self.api)


def _numbers(case: Case) -> list[tuple[int, int]]:
    blocks = ALIASES // BLOCK if len(case.numbers) > 1 else 1
    chosen = random.Random(1)
    return [
        (chosen.randrange(blocks) * BLOCK + chosen.choice(case.numbers), chosen.randrange(9)) for _ in range(_BODIES)
    ]


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


class _InProcess(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _listened_to(settings: Settings, sent: list[Sent]) -> AsyncIterator[str]:
    """A server in this process, whose statements are noted."""

    async def listen(connection: Connection) -> None:
        await prepare(connection)
        connection.add_query_logger(lambda record: sent.append(Sent(record.query, record.args or ())))

    app = create_app(settings, prepare_connection=listen)
    server = _InProcess(uvicorn.Config(app, port=0, http=HttpProtocol, log_config=None))
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await running


async def _scripts(settings: Settings, url: str, token: str, folder: Path, cases: list[Case]) -> dict[str, Path]:
    """For each case a pgbench script of what the server sends for it."""
    sent: list[Sent] = []
    written = {}
    connection = await asyncpg.connect(url)
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=str, decoder=str)
    async with _listened_to(settings, sent) as address:
        for case in cases:
            number = BLOCK + case.numbers[0] if len(case.numbers) > 1 else case.numbers[0]
            # twice: the first opens connections and fills caches; the second has its own target, so that it moves
            for other in (0, 1):
                sent.clear()
                body = load.graphql_request(address, token, case.document, case.variables(number, other))
                await load.run(address, [body], connections=1, seconds=0)
            written[case.name] = folder / f"{len(written)}.sql"
            written[case.name].write_text(await script(connection, case, number, sent))
    await connection.close()
    return written


async def _measure(data_dir: Path, server_pid: int, bare: str, cases: list[Case], rounds: int, seconds: float) -> None:
    url = EmbeddedPostgres(data_dir / "postgres").url()
    token = (data_dir / "token").read_text().strip()
    address = (data_dir / "address").read_text().strip()
    console = Console(width=130)
    began = time.perf_counter()
    await fill(url)
    console.print(f"Filled in {time.perf_counter() - began:.0f} s.", style="dim")
    settings = Settings(
        data_dir=data_dir, database_url=url, secret_key=(data_dir / "secret-key").read_text().strip(), log_level="ERROR"
    )
    scripts = await _scripts(settings, url, token, data_dir.parent, cases)
    bodies = {
        case.name: [
            load.graphql_request(address, token, case.document, case.variables(*pair)) for pair in _numbers(case)
        ]
        for case in cases
    }
    measured = {case.name: Measured() for case in cases}
    endpoint: list[float] = []
    viewer = [load.graphql_request(bare, token, "{ viewer { name } }", {})]
    for case in cases:
        await load.run(address, bodies[case.name], connections=CONNECTIONS, seconds=0.5)
    for number in range(rounds):
        endpoint.append((await load.run(bare, viewer, connections=CONNECTIONS, seconds=seconds)).rate)
        for case in cases:
            console.print(f"round {number + 1} of {rounds}: {case.name}", style="dim", end="\r")
            found = measured[case.name]
            before = _cpu(server_pid)
            found.api.append(await load.run(address, bodies[case.name], connections=CONNECTIONS, seconds=seconds))
            found.cpu.append(_cpu(server_pid) - before)
            found.straight.append(
                await pgbench(url, scripts[case.name], connections=CONNECTIONS, seconds=max(1, round(seconds)))
            )
    _show(console, measured, statistics.median(endpoint), rounds, seconds)


def _show(console: Console, measured: dict[str, Measured], bare: float, rounds: int, seconds: float) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (
        ("case", "left"),
        *((each, "right") for each in ("requests/s", "p50 ms", "p99 ms", "CPU µs", "pgbench/s", "ratio", "of bare")),
    ):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for name, found in measured.items():
        straight = statistics.median(found.straight)
        table.add_row(
            name,
            f"{found.rate:.0f}",
            f"{found.percentile(0.5):.1f}",
            f"{found.percentile(0.99):.1f}",
            f"{found.cpu_per_request:.0f}",
            f"{straight:.0f}",
            f"{found.rate / straight:.2f}",
            f"{found.rate / bare:.3f}",
        )
    console.print(
        f"\n{CONNECTIONS} connections, one server process, authentication on, fsync on; medians of {rounds} rounds of"
        f" {seconds:g} s, interleaved.\nA bare ASGI endpoint on the same server: {bare:.0f} requests/s.\n"
    )
    console.print(table)
    console.print()
    most = max(found.rate for found in measured.values())
    for name, found in measured.items():
        console.print(f"{name:24}{'█' * max(1, round(80 * found.rate / most))} {found.rate:.0f}/s")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each case in each round")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    arguments = parser.parse_args()
    configure_logs("ERROR", "text")
    cases = [case for case in CASES if arguments.only in case.name]
    # not below a home folder: PostgreSQL may run as another account, which must reach it
    home = Path(tempfile.mkdtemp(prefix="waymark-bench-"))
    home.chmod(0o711)
    port = 20_000 + os.getpid() % 20_000
    endpoint = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "benchmarks.bare:app", "--port", str(port), "--log-level", "error"]
    )
    try:
        with serving(home / "data", WAYMARK_LOG_LEVEL="WARNING") as server:
            (pid,) = [
                each for each in children_of(server.pid) if "spawn_main" in Path(f"/proc/{each}/cmdline").read_text()
            ]
            bare = f"http://127.0.0.1:{port}"
            asyncio.run(_measure(home / "data", pid, bare, cases, arguments.rounds, arguments.seconds))
    finally:
        endpoint.terminate()
        endpoint.wait()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
