"""`make bench`: thousands of queued executions of `true`, and workers that run them while all are killed at random.

The workers are processes of their own, as are the server and PostgreSQL. Every execution must end, and none twice: a
trigger of the benchmark's own counts the ends. Then claiming is timed again with many more executions in the table.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import asyncpg
from rich.console import Console

from app.client.client import Client
from app.database.embedded import EmbeddedPostgres
from tests.kill import KilledServer
from tests.running import environment

_WORKERS = 8
_GROWN = 500_000
_CLAIMS = 50

# what is unfinished when it is counted is taken by the next worker
_COUNT = """
CREATE TABLE ended (id uuid, status text);
CREATE FUNCTION count_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ended VALUES (NEW.id, NEW.status);
    RETURN NULL;
END $$;
CREATE TRIGGER count_end AFTER UPDATE OF status ON execution FOR EACH ROW
    WHEN (OLD.status <> NEW.status AND NEW.status IN ('COMPLETE', 'ERROR', 'STOPPED')) EXECUTE FUNCTION count_end();
"""
_CLAIM = """
    UPDATE execution SET status = 'STARTED', attempt = attempt + 1 FROM (
        SELECT id FROM execution WHERE status = 'QUEUED' AND labels <@ '{}'::text[]
        ORDER BY priority DESC, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
    ) AS next WHERE execution.id = next.id
"""


class _Workers:
    """Workers that are started again whenever one was killed."""

    def __init__(self, home: Path, address: str) -> None:
        self._home = home
        self._address = address
        self._processes = [self._start(place) for place in range(_WORKERS)]

    def _start(self, place: int) -> subprocess.Popen[bytes]:
        token = (self._home / "data/worker-token").read_text().strip()
        own = self._home / f"worker-{place}"
        own.mkdir(exist_ok=True)
        own.chmod(0o711)
        return subprocess.Popen(
            [sys.executable, "-m", "app", "worker", "--allow-processes", "--work-dir", str(own), "--name", str(place)],
            env=environment(own, WAYMARK_URL=self._address, WAYMARK_TOKEN=token, WAYMARK_LOG_LEVEL="ERROR"),
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> str:
        place = random.randrange(_WORKERS)
        self._processes[place].kill()
        self._processes[place].wait()
        self._processes[place] = self._start(place)
        return "worker"

    def stop(self) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            process.wait(30)


async def _connect(home: Path) -> asyncpg.Connection[asyncpg.Record]:
    return await asyncpg.connect(EmbeddedPostgres(home / "data/postgres").url())


async def _statuses(home: Path) -> Counter[str]:
    connection = await _connect(home)
    try:
        rows = await connection.fetch("SELECT status, count(*) FROM execution GROUP BY status")
    finally:
        await connection.close()
    return Counter({row["status"]: row["count"] for row in rows})


async def _enqueue(home: Path, address: str, count: int) -> None:
    async with Client(address, (home / "data/token").read_text().strip()) as client:
        project = (await client.execute('{ project(slug: "default") { id } }'))["project"]["id"]
        task = {
            "project": project,
            "template": {"project": project, "command": ["true"]},
            "parameterSets": [{"number": number} for number in range(count)],
        }
        await client.execute(
            "mutation($input: CreateTaskInput!) { createTask(input: $input) { task { id } } }", {"input": task}
        )


async def _claim_milliseconds(home: Path) -> tuple[float, list[str]]:
    """The median time of a claim that is rolled back, and its plan."""
    connection = await _connect(home)
    times, plan = [], list[str]()
    try:
        await connection.execute("ANALYZE execution")
        for _ in range(_CLAIMS):
            transaction = connection.transaction()
            await transaction.start()
            plan = [row[0] for row in await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {_CLAIM}")]
            await transaction.rollback()
            times.append(float(plan[-1].split()[2]))
    finally:
        await connection.close()
    return statistics.median(times), plan


async def _verify(home: Path, count: int) -> Counter[str]:
    """How they ended. Raises AssertionError if one is lost or ended more than once."""
    connection = await _connect(home)
    try:
        twice = await connection.fetchval(
            "SELECT count(*) FROM (SELECT id FROM ended GROUP BY id HAVING count(*) > 1) AS twice"
        )
        assert twice == 0, f"{twice} executions ended twice"
        ended = await connection.fetchval("SELECT count(*) FROM ended JOIN execution USING (id, status)")
        assert ended == count, f"{ended} of {count} ended"
        untold = await connection.fetchval(
            "SELECT count(*) FROM execution WHERE status = 'ERROR' AND NOT EXISTS (SELECT FROM log_line"
            " WHERE execution_id = execution.id AND message LIKE '%given up')"
        )
        assert untold == 0, f"{untold} ended in ERROR and do not say why"
        rows = await connection.fetch("SELECT attempt, status, count(*) FROM execution GROUP BY 1, 2 ORDER BY 1, 2")
    finally:
        await connection.close()
    return Counter({f"{row['status']} in attempt {row['attempt']}": row["count"] for row in rows})


async def _grow(home: Path) -> None:
    connection = await _connect(home)
    await connection.execute(
        "INSERT INTO execution (project_id, number, command, status)"
        f" SELECT project.id, 1000000 + n, ARRAY['true'], 'COMPLETE' FROM project, generate_series(1, {_GROWN}) AS n"
        " WHERE slug = 'default'"
    )
    await connection.execute(
        "INSERT INTO execution (project_id, number, command, status)"
        " SELECT project.id, 10000000 + n, ARRAY['true'], 'QUEUED' FROM project, generate_series(1, 100) AS n"
        " WHERE slug = 'default'"
    )
    await connection.close()


async def run(home: Path, count: int, console: Console) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    server = KilledServer(home / "data", WAYMARK_PORT=str(port))
    workers: _Workers | None = None
    try:
        connection = await _connect(home)
        await connection.execute(_COUNT)
        await connection.close()
        await _enqueue(home, address, count)
        queued, _ = await _claim_milliseconds(home)
        began = time.monotonic()
        workers = await asyncio.to_thread(_Workers, home, address)
        kills = Counter[str]()
        while True:
            await asyncio.sleep(random.uniform(3, 8))
            try:
                statuses = await _statuses(home)
            except (OSError, asyncpg.PostgresError):
                continue
            console.print(f"{time.monotonic() - began:6.0f} s  {dict(statuses)}", style="dim")
            if statuses["QUEUED"] == statuses["STARTED"] == 0:
                break
            if statuses["QUEUED"]:
                killed = await asyncio.to_thread(server.kill if random.random() < 0.3 else workers.kill)
                kills[killed] += 1
        seconds = time.monotonic() - began
        console.print(f"{count} executions, {_WORKERS} workers: {seconds:.0f} s, {count / seconds:.1f} a second")
        console.print(f"killed: {dict(kills)}")
        console.print(f"ended, each once: {dict(await _verify(home, count))}")
        await asyncio.to_thread(workers.stop)
        workers = None
        await _grow(home)
        grown, plan = await _claim_milliseconds(home)
        console.print(
            f"a claim: {queued:.3f} ms with {count} queued; {grown:.3f} ms with 100 queued among {_GROWN + count}"
            f" executions; ratio {grown / queued:.2f}"
        )
        console.print("\n".join(plan), markup=False, highlight=False)
    finally:
        if workers is not None:
            await asyncio.to_thread(workers.stop)
        server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=10_000)
    count = parser.parse_args().executions
    # not below a home folder: PostgreSQL may run as another account, which must reach it
    home = Path(tempfile.mkdtemp(prefix="waymark-queue-"))
    home.chmod(0o711)
    try:
        asyncio.run(run(home, count, Console(width=140)))
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
