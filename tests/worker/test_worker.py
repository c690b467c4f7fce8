"""A worker as a process of its own, against a live server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.api.test_stores import _keep_house, _push
from tests.conftest import LiveServer
from tests.running import environment

_CREATE = "mutation($i: CreateExecutionInput!) { createExecution(input: $i) { execution { id number } } }"
_STOP = "mutation($i: StopExecutionInput!) { stopExecution(input: $i) { execution { status } } }"
_SHOW = """query($id: ID!) { execution(id: $id) { status attempt exitCode
    outputs { nodes { id name size origin tags properties checksums { sha256 } aliases { name } downloadUrl } }
    inputs { files { nodes { checksums { sha256 } } } }
    warnings { code file key message before { sha256 } after { sha256 } }
    logs(first: 500) { nodes { sequence stream message } }
    aliasHistory { alias { name } via actor { name } execution { id } to { name } } } }"""


@pytest.fixture
def home() -> Any:
    # not pytest's own folder: commands run as another account, which must reach it
    folder = Path(tempfile.mkdtemp(prefix="waymark-worker-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def _start(server: LiveServer, home: Path, token: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "app", "worker", "--allow-processes", "--work-dir", str(home), *arguments],
        env={
            **environment(home),
            "WAYMARK_URL": server.url,
            "WAYMARK_TOKEN": token,
            "WAYMARK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
    )


@asynccontextmanager
async def _working(server: LiveServer, home: Path, *arguments: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    process = _start(server, home, await server.new_token("worker", "EXECUTE"), *arguments)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 30) == 0


async def _create(server: LiveServer, *command: str, **values: Any) -> str:
    given = {"project": await server.project_id(), "command": list(command), **values}
    return str((await server.run(_CREATE, i=given))["createExecution"]["execution"]["id"])


async def _until(server: LiveServer, execution: str, *statuses: str, seconds: float = 40) -> dict[str, Any]:
    async with asyncio.timeout(seconds):
        while True:
            found: dict[str, Any] = (await server.run(_SHOW, id=execution))["execution"]
            if found["status"] in statuses:
                return found
            await asyncio.sleep(0.1)


def _said(found: dict[str, Any], stream: str) -> list[str]:
    return [line["message"] for line in found["logs"]["nodes"] if line["stream"] == stream]


async def test_an_execution_reads_its_inputs_and_its_outputs_become_data_with_what_sidecars_say(
    server: LiveServer, home: Path
) -> None:
    datum = await _push(server, b"content", alias="train-images")
    script = [
        'cat "$VH_INPUTS_DIR/data/w.bin"; echo',
        'mkdir "$VH_OUTPUTS_DIR/deep" && cp "$VH_INPUTS_DIR/data/w.bin" "$VH_OUTPUTS_DIR/deep/model.bin"',
        'echo \'{"valohai.alias": "model-staging", "valohai.tags": ["fresh"], "auc": 0.9, "valohai.x": 1}\''
        ' > "$VH_OUTPUTS_DIR/deep/model.bin.metadata.json"',
        'cp "$VH_CONFIG_DIR/inputs.json" "$VH_OUTPUTS_DIR/seen.json"',
        'echo "$GREETING $VH_EXECUTION_ID" >&2',
        "env | cut -d= -f1 | sort | tr '\\n' ' '",
    ]
    execution = await _create(
        server,
        *script,
        inputs=[{"name": "data", "references": ["datum://train-images"]}],
        environment=[{"name": "GREETING", "value": "hello", "secret": True}],
        parameters={"lr": 0.1},
    )
    async with _working(server, home):
        found = await _until(server, execution, "COMPLETE", "ERROR")
    assert (found["status"], found["exitCode"], found["attempt"]) == ("COMPLETE", 0, 1), found
    assert _said(found, "STDERR") == [f"hello {execution}"]
    printed = _said(found, "STDOUT")
    assert printed[0] == "content"
    seen = set(printed[1].split())
    assert {"GREETING", "VH_CONFIG_DIR", "VH_JOB_ID"} <= seen
    assert not seen & {"WAYMARK_TOKEN", "PYTHONPATH"}
    status = _said(found, "STATUS")
    assert "/valohai/inputs/data/w.bin: downloaded, 7 B" in status
    assert f"/valohai/inputs/data/w.bin: sha256 sum: {datum['checksums']['sha256']}" in status
    assert [line["sequence"] for line in found["logs"]["nodes"]] == list(range(1, len(found["logs"]["nodes"]) + 1))
    outputs = {each["name"]: each for each in found["outputs"]["nodes"]}
    assert outputs.keys() == {"deep/model.bin", "seen.json"}
    model = outputs["deep/model.bin"]
    assert (model["origin"], model["tags"], model["properties"]) == (
        "EXECUTION",
        ["fresh"],
        {"auc": 0.9, "valohai.x": 1},
    )
    assert model["checksums"]["sha256"] == datum["checksums"]["sha256"]
    assert [(each["code"], each["key"]) for each in found["warnings"]] == [("SIDECAR_UNKNOWN_KEY", "valohai.x")]
    (change,) = found["aliasHistory"]
    assert change == {
        "alias": {"name": "model-staging"},
        "via": "EXECUTION",
        "actor": {"name": "admin"},
        "execution": {"id": execution},
        "to": {"name": "deep/model.bin"},
    }
    assert list(home.iterdir()) == []


async def test_a_command_that_fails_ends_in_error_and_moves_no_alias(server: LiveServer, home: Path) -> None:
    execution = await _create(
        server,
        'echo x > "$VH_OUTPUTS_DIR/a"; echo \'{"valohai.alias": "a"}\' > "$VH_OUTPUTS_DIR/a.metadata.json"',
        "exit 3",
        "echo never",
    )
    unknown = await _create(server, "no-such-command")
    async with _working(server, home):
        found = await _until(server, execution, "COMPLETE", "ERROR")
        missing = await _until(server, unknown, "COMPLETE", "ERROR")
    assert (found["status"], found["exitCode"], found["aliasHistory"]) == ("ERROR", 3, [])
    assert [each["name"] for each in found["outputs"]["nodes"]] == ["a"]
    assert "never" not in _said(found, "STDOUT")
    assert (missing["status"], missing["exitCode"]) == ("ERROR", 127)


async def test_stopping_ends_the_command_and_all_that_it_started(server: LiveServer, home: Path) -> None:
    execution = await _create(server, "sleep 300 & sleep 301", timeLimit=100)
    async with _working(server, home):
        await _until(server, execution, "STARTED")
        assert (await server.run(_STOP, i={"execution": execution}))["stopExecution"]["execution"][
            "status"
        ] == "STOPPING"
        assert (await _until(server, execution, "STOPPED"))["status"] == "STOPPED"
    running = {path.read_bytes().replace(b"\0", b" ").strip() for path in Path("/proc").glob("[0-9]*/cmdline")}
    assert not {b"sleep 300", b"sleep 301"} & running


async def test_a_time_limit_ends_it(server: LiveServer, home: Path) -> None:
    execution = await _create(server, "trap 'echo asked; exit 0' TERM; sleep 300 & wait", timeLimit=1)
    async with _working(server, home):
        found = await _until(server, execution, "ERROR")
    assert any("time limit of 1 s" in line for line in _said(found, "STATUS"))
    assert (_said(found, "STDOUT"), found["exitCode"]) == (["asked"], 1)


async def test_what_a_killed_worker_had_goes_to_another_and_several_run_at_once(server: LiveServer, home: Path) -> None:
    executions = [await _create(server, "sleep 1; echo done") for _ in range(4)]
    token = await server.new_token("doomed", "EXECUTE")
    doomed = _start(server, home, token, "--concurrency", "4", "--name", "doomed")
    for execution in executions:
        await _until(server, execution, "STARTED")
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.wait()
    async with server.pool.acquire() as connection:
        await connection.execute("UPDATE execution SET leased_until = now()")
    async with _working(server, home, "--concurrency", "2"):
        await _keep_house(server)
        for execution in executions:
            found = await _until(server, execution, "COMPLETE")
            assert found["attempt"] == 2
            assert _said(found, "STDOUT") == ["done"]
            assert any("worker doomed is gone" in line for line in _said(found, "STATUS"))


async def test_too_many_lines_are_left_out_and_said_to_be(server: LiveServer, home: Path) -> None:
    execution = await _create(server, "seq 1 500", "sleep 1.2", "sleep 0.1 & wait", "read -r line || echo after")
    async with _working(server, home):
        found = await _until(server, execution, "COMPLETE")
    printed = _said(found, "STDOUT")
    assert printed[:50] == [str(number) for number in range(1, 51)]
    assert printed[-1] == "after"
    assert len(printed) <= 101
    assert any("lines were left out" in line for line in _said(found, "STATUS"))
    assert [each["code"] for each in found["warnings"]] == ["LOG_LIMITED"]


async def test_json_objects_on_stdout_are_metadata_over_time(server: LiveServer, home: Path) -> None:
    lines = [
        '{"epoch": 1, "loss": 0.5}',
        'loss is {"epoch": 9}',
        '{"loss": NaN}',
        '[{"epoch": 9}]',
        r'{"text": "\u0000"}',
        '  {"epoch": 2, "loss": 0.25}',
        '{"note": "é"}',
    ]
    script = [f"printf '%s\\n' '{line}'" for line in lines]
    execution = await _create(server, *script, """echo '{"epoch": 9}' >&2""")
    async with _working(server, home):
        found = await _until(server, execution, "COMPLETE", "ERROR")
    assert _said(found, "STDOUT") == lines
    query = """query($id: ID!, $keys: [String!], $last: Int) { execution(id: $id) {
        metadata(keys: $keys, last: $last) { totalCount nodes { sequence at values } } } }"""
    points = (await server.run(query, id=execution))["execution"]["metadata"]
    values = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}, {"note": "é"}]
    assert (points["totalCount"], [point["values"] for point in points["nodes"]]) == (3, values)
    numbers = {line["sequence"]: line["message"] for line in found["logs"]["nodes"]}
    assert [json.loads(numbers[point["sequence"]]) for point in points["nodes"]] == values
    newest = (await server.run(query, id=execution, keys=["epoch", "no"], last=1))["execution"]["metadata"]["nodes"]
    assert [point["values"] for point in newest] == values[1:2]


async def test_an_address_is_fetched_with_its_credentials_and_a_change_of_its_content_is_told(
    server: LiveServer, home: Path
) -> None:
    content = b"from the web"

    async def serve(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Basic dXNlcjpwYXNz":
            return web.Response(status=401)
        return web.Response(body=content)

    application = web.Application()
    application.router.add_get("/a/data.csv", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://user:pass@127.0.0.1:{runner.addresses[0][1]}/a/data.csv"
    inputs = [{"name": "web", "references": [url]}]
    execution = await _create(
        server, 'cat "$VH_INPUTS_DIR/web/data.csv"; cat "$VH_CONFIG_DIR/inputs.json"', inputs=inputs
    )
    broken = await _create(server, "true", inputs=[{"name": "web", "references": [f"{url}-not"]}])
    async with _working(server, home):
        found = await _until(server, execution, "COMPLETE", "ERROR")
        failed = await _until(server, broken, "COMPLETE", "ERROR")
        same = await _until(server, await _create(server, "true", inputs=inputs), "COMPLETE")
        content = b"something else"
        changed = await _until(server, await _create(server, "true", inputs=inputs), "COMPLETE")
        again = await _until(server, await _create(server, "true", inputs=inputs), "COMPLETE")
    await runner.cleanup()
    assert found["warnings"] == same["warnings"] == again["warnings"] == []
    (warning,) = changed["warnings"]
    assert warning["code"] == "INPUT_CHANGED"
    assert warning["before"] == {"sha256": hashlib.sha256(b"from the web").hexdigest()}
    assert warning["after"] == {"sha256": hashlib.sha256(b"something else").hexdigest()}
    assert changed["inputs"][0]["files"]["nodes"][0]["checksums"] == warning["after"]
    printed = "\n".join(_said(found, "STDOUT"))
    assert printed.startswith("from the web")
    assert "pass" not in json.dumps([found, failed])
    assert (failed["status"], failed["exitCode"]) == ("ERROR", None)
    assert any("HTTP 404" in line for line in _said(failed, "STATUS"))


_VALOHAI_YAML = """
- step:
    name: train
    image: none
    command: "{python} $VH_REPOSITORY_DIR/train.py {{parameters}}"
    inputs: [{{name: data, default: datum://train-images}}]
    parameters: [{{name: lr, type: float, default: 0.5}}]
"""
_TRAIN = """
import valohai
path = valohai.inputs("data").path()
model = valohai.outputs().path("model.bin")
with open(path, "rb") as source, open(model, "wb") as target:
    target.write(source.read()[::-1])
print("lr is", valohai.parameters("lr").value)
with valohai.output_properties() as properties:
    properties.add(file="model.bin", properties={"valohai.alias": "model-staging", "auc": 0.9})
"""


async def test_code_that_uses_valohai_utils_runs_unchanged(server: LiveServer, home: Path) -> None:
    await _push(server, b"abc", alias="train-images")
    program = _TRAIN.replace("'", "'\\''")
    execution = await _create(
        server,
        f"printf '%s' '{program}' > train.py",
        f"{sys.executable} train.py {{parameters}}",
        config=_VALOHAI_YAML.format(python=sys.executable),
        step="train",
        parameters={"lr": 0.25},
    )
    # the interpreter of the tests may be out of other accounts' reach
    async with _working(server, home, "--user", pwd.getpwuid(os.geteuid()).pw_name):
        found = await _until(server, execution, "COMPLETE", "ERROR")
    assert found["status"] == "COMPLETE", found["logs"]
    assert "lr is 0.25" in _said(found, "STDOUT")
    (output,) = found["outputs"]["nodes"]
    assert (output["name"], output["size"], output["properties"]) == ("model.bin", "3", {"auc": 0.9})
    assert [change["alias"]["name"] for change in found["aliasHistory"]] == ["model-staging"]
    assert found["warnings"] == []
