"""`waymark store`, and files on their way to and from S3 by the command line."""

from __future__ import annotations

import asyncio
import io
import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from app.stores.base import NotFound, Store
from tests.conftest import LiveServer
from tests.running import environment, waymark
from tests.stores import servers
from tests.stores.kinds import KINDS, kind_of, s3

_PARTS = "query($id: ID!) { upload(id: $id) { parts { nodes { number offset size url received } } } }"


class _Shell:
    def __init__(self, server: LiveServer, home: Path, store: str) -> None:
        self.home = home
        self._environment = {
            "WAYMARK_URL": server.url,
            "WAYMARK_TOKEN": server.token,
            "XDG_STATE_HOME": str(home / "state"),
            "AWS_ACCESS_KEY_ID": servers.ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": servers.SECRET_KEY,
        }
        self.add = ("store", "add", "s3", "cloud", "--bucket", servers.BUCKET, "--endpoint", store, "--default")

    async def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(waymark, self.home, *arguments, cwd=self.home, **{**self._environment, **more})

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "app", *arguments],
            cwd=self.home,
            env={**environment(self.home), **self._environment, "PYTHONPATH": str(Path(__file__).parents[2])},
        )

    async def succeeds(self, *arguments: str) -> str:
        done = await self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def json(self, *arguments: str) -> Any:
        return json.loads(await self.succeeds(*arguments, "--output", "json"))


@pytest.fixture
async def shell(server: LiveServer, tmp_path: Path, seaweedfs: str) -> _Shell:
    (tmp_path / "home").mkdir()
    return _Shell(server, tmp_path / "home", seaweedfs)


async def test_a_store_is_added_listed_checked_and_given_new_keys(shell: _Shell, seaweedfs: str) -> None:
    assert "tried out" in await shell.succeeds(*shell.add, "--prefix", "team/")
    listed = await shell.succeeds("store", "list")
    assert re.search(rf"\* +cloud +S3 +s3://{servers.BUCKET}/team/ +the project", listed)
    assert "cloud works" in await shell.succeeds("store", "check", "cloud")
    again = ("store", "rotate", "s3", "cloud", "--bucket", servers.BUCKET, "--prefix", "team/", "--endpoint", seaweedfs)
    assert "new credentials" in await shell.succeeds(*again)
    wrong = await shell.run(*again, AWS_SECRET_ACCESS_KEY="wrong")
    assert (wrong.returncode, "does not work" in wrong.stderr) == (6, True)
    taken = await shell.run(*shell.add)
    assert (taken.returncode, "a store of that name" in taken.stderr) == (5, True)
    assert (await shell.run("store", "check", "nope")).returncode == 4


@pytest.mark.parametrize("name", KINDS)
async def test_a_file_is_pushed_named_pulled_adopted_and_purged_on_every_store(
    server: LiveServer, shell: _Shell, request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    kind = kind_of(name, request, tmp_path)

    async def succeeds(*arguments: str) -> str:
        done = await shell.run(*arguments, **kind.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "tried out" in await succeeds("store", "add", name, "mine", *kind.arguments, "--default")
    assert "mine works" in await succeeds("store", "check", "mine")
    if name != "local":
        assert "new credentials" in await succeeds("store", "rotate", name, "mine", *kind.arguments)
    content = random.Random(1).randbytes(100_000)
    (shell.home / "w.bin").write_bytes(content)
    await succeeds("data", "push", "w.bin", "--alias", "model-prod")
    await succeeds("data", "pull", "model-prod", "--to", "back.bin")
    assert (shell.home / "back.bin").read_bytes() == content
    datum = json.loads(await succeeds("data", "show", "datum://model-prod", "--output", "json"))
    key = datum["storageUri"].removeprefix(f"{kind.address}/")

    outside, theirs = kind.open(), f"theirs/{uuid4()}.csv"
    await outside.create(theirs, b"1,2")
    address = f"{kind.address}/{theirs}"
    assert "Adopted" in await succeeds("data", "adopt", address, "--alias", "theirs")
    assert "Known already" in await succeeds("data", "adopt", address)
    await succeeds("data", "pull", "theirs", "--to", "theirs.csv")
    assert (shell.home / "theirs.csv").read_bytes() == b"1,2"

    assert (await outside.stat(key)).size == len(content)
    await succeeds("alias", "delete", "model-prod")
    await succeeds("data", "purge", "datum://" + datum["id"], "--reason", "done")
    async with asyncio.timeout(60):
        while await _is_there(outside, key):
            await asyncio.sleep(0.1)
    assert (await outside.stat(theirs)).size == 3
    await outside.aclose()


async def _is_there(store: Store, key: str) -> bool:
    try:
        await store.stat(key)
    except NotFound:
        return False
    return True


async def test_a_file_of_several_parts_is_pushed_to_s3_and_pulled_back(shell: _Shell) -> None:
    await shell.succeeds(*shell.add)
    content = random.Random(1).randbytes(65 * 1024**2)
    (shell.home / "big.bin").write_bytes(content)
    pushed = await shell.json("data", "push", "big.bin", "--alias", "big")
    assert pushed["datum"]["checksums"]["evidence"] == "VERIFIED"
    await shell.succeeds("data", "pull", "big", "--to", "back.bin")
    assert (shell.home / "back.bin").read_bytes() == content
    # nothing is remembered of what is done, so the same file again is another datum
    assert list((shell.home / "state").rglob("pushes/*")) == []
    (shell.home / "small.bin").write_bytes(b"small")
    ids = [(await shell.json("data", "push", "small.bin"))["datum"]["id"] for _ in range(2)]
    assert len(set(ids)) == 2


async def test_an_interrupted_push_goes_on_with_the_parts_that_are_missing(server: LiveServer, shell: _Shell) -> None:
    """The part that is there already has wrong bytes, so that a push which sent it again would succeed."""
    await shell.succeeds(*shell.add)
    (shell.home / "big.bin").write_bytes(bytes(65 * 1024**2))
    interrupted = shell.start("data", "push", "big.bin")
    async with server.pool.acquire() as connection, asyncio.timeout(60):
        while not (upload := await connection.fetchval("SELECT id FROM upload WHERE session <> ''")):
            await asyncio.sleep(0.005)
        interrupted.kill()
        interrupted.wait()
        parts = (await server.run(_PARTS, id=str(upload)))["upload"]["parts"]["nodes"]
        await _put(parts[0]["url"], b"x" * int(parts[0]["size"]))
        resumed = await shell.run("data", "push", "big.bin")
        assert (resumed.returncode, "CHECKSUM_MISMATCH" in resumed.stderr) == (8, True)
        assert await connection.fetchval("SELECT count(*) FROM upload") == 1
    # the upload with the wrong bytes has ended; the next push begins anew
    assert (await shell.json("data", "push", "big.bin"))["datum"]["status"] == "AVAILABLE"


async def _put(url: str, content: bytes) -> None:
    async with aiohttp.ClientSession() as session, session.put(url, data=io.BytesIO(content)) as response:
        assert response.status == 200


async def test_a_store_that_stops_during_a_push_and_starts_again_is_waited_for(
    server: LiveServer, shell: _Shell, tmp_path: Path
) -> None:
    port, folder = servers.free_port(), tmp_path / "s3"
    content = random.Random(2).randbytes(130 * 1024**2)
    (shell.home / "big.bin").write_bytes(content)
    with servers.seaweedfs(folder, port) as url:
        await shell.succeeds("store", "add", "s3", "mine", *s3(url).arguments, "--default")
        pushing = shell.start("data", "push", "big.bin", "--alias", "big")
        async with server.pool.acquire() as connection, asyncio.timeout(60):
            while not (upload := await connection.fetchval("SELECT id FROM upload WHERE session <> ''")):
                await asyncio.sleep(0.005)
            # the first part is there, and others are on their way
            while not any(
                part["received"] for part in (await server.run(_PARTS, id=str(upload)))["upload"]["parts"]["nodes"]
            ):
                await asyncio.sleep(0.005)
    assert pushing.poll() is None
    with servers.seaweedfs(folder, port):
        assert await asyncio.to_thread(pushing.wait, 60) == 0
        await shell.succeeds("data", "pull", "big", "--to", "back.bin")
    assert (shell.home / "back.bin").read_bytes() == content


async def test_many_files_go_and_come_at_once_and_what_fails_is_named(shell: _Shell) -> None:
    folder = shell.home / "many"
    (folder / "deep").mkdir(parents=True)
    for number in range(30):
        (folder / "deep" / f"{number}.txt").write_text(f"{number}")
    pushed = await shell.json("data", "push", str(folder), "--tag", "many")
    assert {each["datum"]["name"] for each in pushed} == {f"deep/{number}.txt" for number in range(30)}
    back = shell.home / "back"
    back.mkdir()
    ids = [each["datum"]["id"] for each in pushed]
    assert "Pulled 30 files, 50 bytes" in await shell.succeeds("data", "pull", *ids, "--to", str(back))
    assert {path.name: path.read_text() for path in back.iterdir()} == {f"{n}.txt": f"{n}" for n in range(30)}
    failed = await shell.run("data", "pull", "nowhere", *ids[:2])
    assert failed.returncode == 4
    assert "nowhere: " in failed.stderr
    assert "1 of 3 failed" in failed.stderr
    assert sum(path.suffix == ".txt" for path in shell.home.iterdir()) == 2
    refused = await shell.run("data", "push", str(folder), "--alias", "many")
    assert "these are 30" in refused.stderr
