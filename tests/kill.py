"""`make kill-test`: writers go on while the server and PostgreSQL are killed at random.

Then nothing acknowledged may be missing, doubled or out of order.

Each writer repeats an unanswered mutation with its idempotency key until it is answered, as a careful client would.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from app.client.client import ApiError, Client, UnreachableError
from app.database.embedded import EmbeddedPostgres
from app.database.statements import columns
from app.domain.aliases import AliasChange
from tests.make import assert_gapless
from tests.running import children_of, start, wait_until_ready

WRITERS = 16
ALIASES = [f"alias-{number}" for number in range(8)]
FILES = 40

_CHANGE = "change { version }"
_MUTATIONS = {
    "setAlias": ("SetAliasInput", _CHANGE),
    "rollbackAlias": ("RollbackAliasInput", _CHANGE),
    "setAliases": ("SetAliasesInput", "changes { version alias { name } }"),
    "createExecution": ("CreateExecutionInput", "execution { id number }"),
}


@dataclass
class Report:
    kills: Counter[str] = field(default_factory=Counter)
    #: By reason, which is unique to its request: the changes acknowledged, as alias and version.
    changes: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    #: By id, the number of inputs asked for.
    executions: dict[UUID, int] = field(default_factory=dict)
    retries: int = 0

    def __str__(self) -> str:
        kills = ", ".join(f"{count} {victim}" for victim, count in sorted(self.kills.items()))
        changes = sum(len(each) for each in self.changes.values())
        return (
            f"{self.kills.total()} kills ({kills}); {changes} changes in {len(self.changes)} acknowledged requests and"
            f" {len(self.executions)} acknowledged executions, after {self.retries} retries; lost 0, doubled 0"
        )


class KilledServer:
    """A server that is started again whenever its supervisor was killed."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self._environment = environment
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        process = start(self.data_dir, WAYMARK_LOG_LEVEL="ERROR", **self._environment)
        wait_until_ready(process, self.data_dir)
        return process

    def kill(self) -> str:
        """Kills something at random and sees to it that it comes back; says what it was."""
        children = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in children_of(self._process.pid)}
        victims = {"supervisor": self._process.pid}
        for pid, command in children.items():
            if "bin/postgres" in command:
                victims["PostgreSQL"] = pid
            elif "spawn_main" in command:
                victims["server process"] = pid
        victim = random.choice(sorted(victims))
        os.kill(victims[victim], signal.SIGKILL)
        if victim == "supervisor":
            self._process.wait()
            self._process = self._start()
        else:
            wait_until_ready(self._process, self.data_dir)
        return victim

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)


async def run(home: Path, seconds: float) -> Report:
    server = KilledServer(home / "data")
    report = Report()
    try:
        project, files = await _fill(home)
        ends = time.monotonic() + seconds
        writers = [asyncio.create_task(_write(home, project, files, ends, report)) for _ in range(WRITERS)]
        while time.monotonic() < ends:
            await asyncio.sleep(random.uniform(0.5, 2.5))
            report.kills[await asyncio.to_thread(server.kill)] += 1
        await asyncio.gather(*writers)
        await _verify(home, report)
    finally:
        server.stop()
    return report


async def _connect(home: Path) -> asyncpg.Connection[asyncpg.Record]:
    return await asyncpg.connect(EmbeddedPostgres(home / "data" / "postgres").url())


async def _fill(home: Path) -> tuple[str, list[str]]:
    connection = await _connect(home)
    await connection.execute(
        "INSERT INTO datum (project_id, store_id, object_key, name, size, checksum_evidence, origin, status)"
        " SELECT project.id, data_store.id, 'key-' || n, 'file-' || n, n, 'VERIFIED', 'UPLOAD', 'AVAILABLE'"
        f" FROM project, data_store, generate_series(1, {FILES}) AS n"
    )
    project = str(await connection.fetchval("SELECT id FROM project"))
    files = [str(row["id"]) for row in await connection.fetch("SELECT id FROM datum")]
    await connection.close()
    for name in ALIASES:
        await _send(home, "setAlias", {"project": project, "name": name, "datum": files[0]}, Report())
    return project, files


async def _write(home: Path, project: str, files: list[str], ends: float, report: Report) -> None:
    while time.monotonic() < ends:
        kind = random.choice(sorted(_MUTATIONS))
        reason = uuid4().hex
        values: dict[str, Any] = {"project": project, "idempotencyKey": reason}
        if kind == "setAlias":
            values |= {"name": random.choice(ALIASES), "datum": random.choice(files), "reason": reason}
        elif kind == "rollbackAlias":
            values |= {"name": random.choice(ALIASES), "reason": reason}
        elif kind == "setAliases":
            moves = [{"name": name, "datum": random.choice(files)} for name in random.sample(ALIASES, 4)]
            values |= {"moves": moves, "reason": reason}
        else:
            names = random.sample(ALIASES, 3)
            values |= {
                "command": ["run"],
                "inputs": [{"name": name, "references": [f"datum://{name}"]} for name in names],
            }
        try:
            done = await _send(home, kind, values, report)
        except ApiError as error:
            # a roll-back may find nothing to go back to
            if error.code != "WRONG_STATE":
                raise
            continue
        if kind == "createExecution":
            report.executions[UUID(done["execution"]["id"])] = 3
        elif kind == "setAliases":
            report.changes[reason] = [(each["alias"]["name"], each["version"]) for each in done["changes"]]
        else:
            report.changes[reason] = [(values["name"], done["change"]["version"])] if done["change"] else []


async def _send(home: Path, kind: str, values: dict[str, Any], report: Report) -> dict[str, Any]:
    """Sends a mutation until it is answered by more than a failure of the server."""
    input_type, fields = _MUTATIONS[kind]
    query = f"mutation($input: {input_type}!) {{ {kind}(input: $input) {{ {fields} }} }}"
    while True:
        try:
            address = (home / "data" / "address").read_text().strip()
            token = (home / "data" / "token").read_text().strip()
            async with asyncio.timeout(20), Client(address, token) as client:
                answer: dict[str, Any] = (await client.execute(query, {"input": values}))[kind]
                return answer
        except (UnreachableError, TimeoutError, OSError):
            report.retries += 1
        except ApiError as error:
            if error.code not in ("INTERNAL", "STORE_UNAVAILABLE"):
                raise
            report.retries += 1
        await asyncio.sleep(0.05)


async def _verify(home: Path, report: Report) -> None:
    connection = await _connect(home)
    history = await connection.fetch(
        f"SELECT alias.name, {columns(AliasChange, 'alias_history')}"
        " FROM alias_history JOIN alias ON alias.id = alias_id ORDER BY name, alias_history.version"
    )
    by_alias: dict[str, list[AliasChange]] = {}
    kept: Counter[tuple[str, str, int]] = Counter()
    for row in history:
        name, *values = row
        by_alias.setdefault(name, []).append(AliasChange(*values))
        kept[(row["reason"] or "", name, row["version"])] += 1
    for name, changes in by_alias.items():
        assert_gapless(changes)
        (alias,) = await connection.fetch("SELECT version, datum_id FROM alias WHERE name = $1", name)
        assert tuple(alias) == (len(changes), changes[-1].to_datum_id)
    for reason, changes_of_request in report.changes.items():
        for name, version in changes_of_request:
            assert kept[(reason, name, version)] == 1, f"lost or doubled: {name} version {version}"
    per_request = Counter((row["reason"], row["name"]) for row in history if row["reason"])
    assert not [each for each, count in per_request.items() if count > 1], "a retried request changed an alias twice"
    pins = await connection.fetch(
        "SELECT execution.id, count(file.datum_id) AS pins FROM execution"
        " LEFT JOIN execution_input_file AS file ON file.execution_id = execution.id GROUP BY execution.id"
    )
    counts = {row["id"]: row["pins"] for row in pins}
    for key, wanted in report.executions.items():
        assert counts.get(key) == wanted, f"execution {key} is lost or has lost pins"
    numbers = [row["number"] for row in await connection.fetch("SELECT number FROM execution ORDER BY number")]
    assert numbers == list(range(1, len(numbers) + 1))
    await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="how long to write and kill")
    seconds = parser.parse_args().seconds
    # not below a home folder: PostgreSQL may run as another account, which must reach it
    home = Path(tempfile.mkdtemp(prefix="waymark-kill-"))
    home.chmod(0o711)
    try:
        sys.stdout.write(f"{asyncio.run(run(home, seconds))}\n")
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
