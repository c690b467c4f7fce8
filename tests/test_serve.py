"""`waymark serve`: starts everything, stops everything, and comes back after any kill."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from app.database.embedded import EmbeddedPostgres
from app.database.migrate import create_database
from tests import kill
from tests.running import children_of, environment, home_folder, serving, waymark


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with home_folder("serve") as home:
        yield home / "data"


def _command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def _postgres(parent: subprocess.Popen[bytes]) -> int:
    return next(pid for pid in children_of(parent.pid) if "bin/postgres" in _command_of(pid))


def _server_process(parent: subprocess.Popen[bytes]) -> int:
    return next(pid for pid in children_of(parent.pid) if "spawn_main" in _command_of(pid))


def _projects(data_dir: Path) -> list[str]:
    listed = waymark(data_dir, "project", "list", "--output", "json")
    assert listed.returncode == 0, listed.stderr
    return [project["slug"] for project in json.loads(listed.stdout)]


def test_it_serves_with_nothing_given_and_sigterm_stops_all_of_it(data_dir: Path) -> None:
    with serving(data_dir) as server:
        assert _projects(data_dir) == ["default"]
        for name in ("token", "secret-key", "postgres/password"):
            assert stat.S_IMODE((data_dir / name).stat().st_mode) == 0o600
        assert stat.S_IMODE((data_dir / "files").stat().st_mode) == 0o700
        family = children_of(server.pid)
        assert len(family) >= 2
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
    assert not any(Path(f"/proc/{pid}").exists() and "postgres" in _command_of(pid) for pid in family)
    assert not (data_dir / "address").exists()


def test_it_never_prints_its_token(data_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with serving(data_dir):
        token = (data_dir / "token").read_text().strip()
        _projects(data_dir)
    printed = capfd.readouterr()
    assert str(data_dir / "token") in printed.err
    assert token not in printed.err + printed.out


def test_a_second_one_on_the_same_data_is_refused(data_dir: Path) -> None:
    with serving(data_dir):
        second = waymark(data_dir, "serve")
        assert second.returncode == 1
        assert "Another Waymark uses" in second.stderr
        assert _projects(data_dir) == ["default"]


@pytest.mark.parametrize("victim", ["supervisor", "postgres", "server process"])
def test_after_a_kill_what_was_acknowledged_is_there(data_dir: Path, victim: str) -> None:
    with serving(data_dir) as server:
        assert waymark(data_dir, "project", "create", "acknowledged").returncode == 0
        processes = {"supervisor": server.pid, "postgres": _postgres(server), "server process": _server_process(server)}
        pid = processes[victim]
        os.kill(pid, signal.SIGKILL)
        if victim == "supervisor":
            server.wait(60)
            with serving(data_dir):
                assert _projects(data_dir) == ["acknowledged", "default"]
            return
        deadline = time.monotonic() + 60
        while (listed := waymark(data_dir, "project", "list")).returncode and time.monotonic() < deadline:
            time.sleep(0.2)
        assert "acknowledged" in listed.stdout


async def test_writers_lose_nothing_while_everything_is_killed(data_dir: Path) -> None:
    report = await kill.run(data_dir.parent, seconds=12)
    assert report.kills.total() >= 1
    assert len(report.changes) > 10


def test_a_wrong_setting_is_named(data_dir: Path) -> None:
    wrong = waymark(data_dir, "serve", WAYMARK_WORKERS="none")
    assert wrong.returncode == 1
    assert "WAYMARK_WORKERS: expected a whole number from 1" in wrong.stderr


def test_an_external_database_asks_for_a_secret_key(data_dir: Path) -> None:
    wrong = waymark(data_dir, "serve", WAYMARK_DATABASE_URL="postgresql://127.0.0.1:1/none")
    assert wrong.returncode == 1
    assert "WAYMARK_SECRET_KEY must be set" in wrong.stderr


def test_it_serves_from_another_database_with_a_token_of_the_operators(
    data_dir: Path, postgres: EmbeddedPostgres
) -> None:
    asyncio.run(create_database(postgres.url("postgres"), "external"))
    token = "the operator's own token, long enough"
    settings = {"WAYMARK_SECRET_KEY": "k" * 32, "WAYMARK_BOOTSTRAP_TOKEN": token}
    with serving(data_dir, WAYMARK_DATABASE_URL=postgres.url("external"), **settings):
        assert not (data_dir / "token").exists()
        assert not (data_dir / "postgres").exists()
        assert waymark(data_dir, "project", "list", "--token", token).returncode == 0
        assert waymark(data_dir, "project", "list", "--token", "another").returncode == 3


def test_several_processes_serve_one_address(data_dir: Path) -> None:
    with serving(data_dir, WAYMARK_WORKERS="2") as server:
        assert sum("spawn_main" in _command_of(pid) for pid in children_of(server.pid)) == 2
        assert _projects(data_dir) == ["default"]


def test_a_server_process_that_starts_slowly_is_waited_for(data_dir: Path, tmp_path: Path) -> None:
    """As on a busy machine; uvicorn by itself would begin again and again every five seconds."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, time\nif '--multiprocessing-fork' in sys.orig_argv: time.sleep(8)\n"
    )
    with serving(data_dir, PYTHONPATH=str(tmp_path)):
        assert _projects(data_dir) == ["default"]


async def test_streams_of_all_processes_end_at_once_at_a_stop_and_go_on_after_it(
    data_dir: Path, tmp_path: Path
) -> None:
    """Six streams on two processes; each sees every change once, across a restart of the server."""
    (tmp_path / "file").write_text("x")
    grace = 60
    query = "subscription($p: ID!, $after: ID) { aliasChanged(project: $p, after: $after) { id alias { name } } }"

    async def listen(url: str, last: str | None, names: list[str], opened: list[object]) -> str | None:
        """Reads until the server ends the stream; returns the id of the last change."""
        token = (data_dir / "token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        body = {"query": query, "variables": {"p": project, "after": last}}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{url}/graphql", json=body) as response,
        ):
            opened.append(response)
            with contextlib.suppress(aiohttp.ClientPayloadError):
                async for line in response.content:
                    assert b"event: complete" not in line
                    if line.startswith(b"data: {"):
                        change = json.loads(line[6:])["data"]["aliasChanged"]
                        names.append(change["alias"]["name"])
                        last = change["id"]
        return last

    async def run(*arguments: str) -> str:
        return (await asyncio.to_thread(waymark, data_dir, *arguments)).stdout

    seen: list[list[str]] = [[] for _ in range(6)]
    last: list[str | None] = []
    for name in ("one", "two"):
        with serving(data_dir, WAYMARK_WORKERS="2", WAYMARK_SHUTDOWN_GRACE=str(grace)) as server:
            url = (data_dir / "address").read_text().strip()
            project = json.loads(await run("project", "list", "--output", "json"))[0]["id"]
            if not last:
                # after a change, so that a stream that begins late misses nothing
                await run("data", "push", str(tmp_path / "file"), "--alias", "first")
                last = [_last_change(data_dir)] * 6
            opened: list[object] = []
            streams = [
                asyncio.create_task(listen(url, after, names, opened)) for after, names in zip(last, seen, strict=True)
            ]
            while len(opened) < 6:
                await asyncio.sleep(0.05)
            await run("data", "push", str(tmp_path / "file"), "--alias", name)
            async with asyncio.timeout(60):
                while not all(names[-1:] == [name] for names in seen):
                    await asyncio.sleep(0.05)
            server.send_signal(signal.SIGTERM)
            async with asyncio.timeout(grace / 2):
                last = await asyncio.gather(*streams)
                assert await asyncio.to_thread(server.wait, grace / 2) == 0
        if name == "one":
            with serving(data_dir):
                await run("data", "push", str(tmp_path / "file"), "--alias", "unheard")
    assert seen == [["one", "unheard", "two"]] * 6


def _last_change(data_dir: Path) -> str:
    found = waymark(data_dir, "query", '{ project(slug: "default") { aliasHistory { nodes { id } } } }').stdout
    return str(json.loads(found)["data"]["project"]["aliasHistory"]["nodes"][0]["id"])


def test_watch_prints_changes_across_a_restart(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with serving(data_dir):
        waymark(data_dir, "data", "push", str(tmp_path / "file"), "--alias", "first")
        first = _last_change(data_dir)
        port = (data_dir / "address").read_text().strip().rpartition(":")[2]
        watching = subprocess.Popen(
            [sys.executable, "-m", "app", "alias", "watch", "--after", first],
            env=environment(data_dir),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert watching.stdout
        try:
            waymark(data_dir, "data", "push", str(tmp_path / "file"), "--alias", "second", "-m", "why not")
            assert "second version 1 CREATED nowhere → file" in (line := watching.stdout.readline())
            assert "by admin via CLI: why not" in line
        except BaseException:
            watching.kill()
            raise
    try:
        with serving(data_dir, WAYMARK_PORT=port):
            waymark(data_dir, "data", "push", str(tmp_path / "file"), "--alias", "third")
            assert "third" in watching.stdout.readline()
            watching.send_signal(signal.SIGINT)
            assert watching.wait(60) == 130
    finally:
        watching.kill()
        watching.wait()
        watching.stdout.close()


def test_a_bootstrapped_token_lets_a_locked_out_operator_in(data_dir: Path) -> None:
    with serving(data_dir):
        earlier = (data_dir / "token").read_text()
    assert waymark(data_dir, "token", "bootstrap").returncode == 0
    assert (data_dir / "token").read_text() != earlier
    with serving(data_dir):
        assert _projects(data_dir) == ["default"]


def test_executions_run_with_nothing_given_and_end_with_the_server(data_dir: Path) -> None:
    with serving(data_dir, WAYMARK_LOCAL_WORKER="1") as server:
        made = (
            "execution",
            "create",
            "--command",
            "echo hello; cd $VH_OUTPUTS_DIR; touch made; echo no > made.metadata.json",
            "--follow",
        )
        followed = waymark(data_dir, *made)
        assert followed.returncode == 0, followed.stderr
        assert " hello" in followed.stdout
        assert " /valohai/outputs/made: uploaded, 0 B" in followed.stdout
        assert "SIDECAR_INVALID: made.metadata.json: it is no JSON" in followed.stderr
        failing = waymark(data_dir, "execution", "create", "--command", "exit 3", "--follow")
        assert failing.returncode == 7
        assert "ended in ERROR; its command returned 3" in failing.stderr
        logs = waymark(data_dir, "execution", "logs", "1", "--output", "json")
        assert "hello" in [json.loads(line)["message"] for line in logs.stdout.splitlines()]
        waymark(data_dir, "execution", "create", "--command", "exec sleep 4242")
        sleeping = _wait_for_command("sleep 4242")
        # a worker that dies is replaced
        (worker,) = [pid for pid in children_of(server.pid) if "app worker" in _command_of(pid)]
        os.kill(worker, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while not (new := [pid for pid in children_of(server.pid) if "app worker" in _command_of(pid)]) or new == [
            worker
        ]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        while Path(f"/proc/{sleeping}").exists():
            assert time.monotonic() < deadline, "the command outlived its worker"
            time.sleep(0.1)
        waymark(data_dir, "execution", "create", "--command", "exec sleep 4243")
        running = _wait_for_command("sleep 4243")
        server.kill()
        server.wait()
        deadline = time.monotonic() + 60
        while Path(f"/proc/{running}").exists():
            assert time.monotonic() < deadline, "the command outlived the server and its worker"
            time.sleep(0.1)


def _wait_for_command(text: str) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if _command_of(int(path.name)).strip() == text:
                    return int(path.name)
        time.sleep(0.1)
    raise AssertionError(f"{text} does not run")
