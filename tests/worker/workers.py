"""A worker as a process of its own, and what it is given to do."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.conftest import LiveServer
from tests.running import environment

_CREATE = "mutation($i: CreateExecutionInput!) { createExecution(input: $i) { execution { id number } } }"
SHOW = """query($id: ID!) { execution(id: $id) { status attempt exitCode
    outputs { nodes { id name size origin tags properties checksums { sha256 } aliases { name } downloadUrl } }
    inputs { files { nodes { checksums { sha256 } } } }
    warnings { code file key message before { sha256 } after { sha256 } }
    logs(first: 500) { nodes { sequence at stream message } }
    aliasHistory { alias { name } via actor { name } execution { id } to { name } } } }"""


def start(
    server: LiveServer, home: Path, token: str, *arguments: str, processes: bool = True, **more: str
) -> subprocess.Popen[bytes]:
    allowed = ["--allow-processes"] if processes else []
    return subprocess.Popen(
        [sys.executable, "-m", "app", "worker", *allowed, "--work-dir", str(home), *arguments],
        env={
            **environment(home, **more),
            "WAYMARK_URL": server.url,
            "WAYMARK_TOKEN": token,
            "WAYMARK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
    )


@asynccontextmanager
async def working(server: LiveServer, home: Path, *arguments: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    process = start(server, home, await server.new_token("worker", "EXECUTE"), *arguments)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 60) == 0


async def create(server: LiveServer, *command: str, **values: Any) -> str:
    given = {"project": await server.project_id(), "command": list(command), **values}
    return str((await server.run(_CREATE, i=given))["createExecution"]["execution"]["id"])


async def until(server: LiveServer, execution: str, *statuses: str, seconds: float = 60) -> dict[str, Any]:
    async with asyncio.timeout(seconds):
        while True:
            found: dict[str, Any] = (await server.run(SHOW, id=execution))["execution"]
            if found["status"] in statuses:
                return found
            await asyncio.sleep(0.1)


def said(found: dict[str, Any], stream: str) -> list[str]:
    return [line["message"] for line in found["logs"]["nodes"] if line["stream"] == stream]
