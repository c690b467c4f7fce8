"""A worker as a process of its own, against a live server."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
import os
import pwd
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.api.given import push_datum
from tests.conftest import LiveServer
from tests.worker.workers import SHOW, create, said, start, until, working

_STOP = "mutation($i: StopExecutionInput!) { stopExecution(input: $i) { execution { status } } }"


async def test_an_execution_reads_its_inputs_and_its_outputs_become_data_with_what_sidecars_say(
    server: LiveServer, home: Path
) -> None:
    datum = await push_datum(server, b"content", alias="train-images")
    script = [
        'cat "$VH_INPUTS_DIR/data/file.bin"; echo',
        'mkdir "$VH_OUTPUTS_DIR/deep" && cp "$VH_INPUTS_DIR/data/file.bin" "$VH_OUTPUTS_DIR/deep/model.bin"',
        'echo \'{"valohai.alias": "model-staging", "valohai.tags": ["fresh"], "auc": 0.9, "valohai.x": 1}\''
        ' > "$VH_OUTPUTS_DIR/deep/model.bin.metadata.json"',
        'cp "$VH_CONFIG_DIR/inputs.json" "$VH_OUTPUTS_DIR/seen.json"',
        'echo "$GREETING $VH_EXECUTION_ID" >&2',
        "env | cut -d= -f1 | sort | tr '\\n' ' '",
    ]
    execution = await create(
        server,
        *script,
        inputs=[{"name": "data", "references": ["datum://train-images"]}],
        environment=[{"name": "GREETING", "value": "hello", "secret": True}],
        parameters={"lr": 0.1},
    )
    async with working(server, home):
        found = await until(server, execution, "COMPLETE", "ERROR")
    assert (found["status"], found["exitCode"], found["attempt"]) == ("COMPLETE", 0, 1), found
    assert said(found, "STDERR") == [f"hello {execution}"]
    printed = said(found, "STDOUT")
    assert printed[0] == "content"
    seen = set(printed[1].split())
    assert {"GREETING", "VH_CONFIG_DIR", "VH_JOB_ID"} <= seen
    assert not seen & {"WAYMARK_TOKEN", "PYTHONPATH"}
    status = said(found, "STATUS")
    assert "/valohai/inputs/data/file.bin: downloaded, 7 B" in status
    assert f"/valohai/inputs/data/file.bin: sha256 sum: {datum['checksums']['sha256']}" in status
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
    assert [each.name for each in home.iterdir()] == ["cache"]


async def test_a_command_that_fails_ends_in_error_and_moves_no_alias(server: LiveServer, home: Path) -> None:
    execution = await create(
        server,
        'echo x > "$VH_OUTPUTS_DIR/a"; echo \'{"valohai.alias": "a"}\' > "$VH_OUTPUTS_DIR/a.metadata.json"',
        "exit 3",
        "echo never",
    )
    unknown = await create(server, "no-such-command")
    async with working(server, home):
        found = await until(server, execution, "COMPLETE", "ERROR")
        missing = await until(server, unknown, "COMPLETE", "ERROR")
    assert (found["status"], found["exitCode"], found["aliasHistory"]) == ("ERROR", 3, [])
    assert [each["name"] for each in found["outputs"]["nodes"]] == ["a"]
    assert "never" not in said(found, "STDOUT")
    assert (missing["status"], missing["exitCode"]) == ("ERROR", 127)


async def test_stopping_ends_the_command_and_all_that_it_started(server: LiveServer, home: Path) -> None:
    execution = await create(server, "sleep 4244 & sleep 4245", timeLimit=100)
    async with working(server, home):
        await until(server, execution, "STARTED")
        assert (await server.run(_STOP, i={"execution": execution}))["stopExecution"]["execution"][
            "status"
        ] == "STOPPING"
        assert (await until(server, execution, "STOPPED"))["status"] == "STOPPED"
    running = {path.read_bytes().replace(b"\0", b" ").strip() for path in Path("/proc").glob("[0-9]*/cmdline")}
    assert not {b"sleep 4244", b"sleep 4245"} & running


async def test_a_time_limit_ends_it(server: LiveServer, home: Path) -> None:
    execution = await create(server, "trap 'echo asked; exit 0' TERM; sleep 300 & wait", timeLimit=3)
    async with working(server, home):
        found = await until(server, execution, "ERROR")
    assert any("time limit of 3 s" in line for line in said(found, "STATUS"))
    assert (said(found, "STDOUT"), found["exitCode"]) == (["asked"], 1)


async def test_what_a_killed_worker_had_goes_to_another_and_several_run_at_once(server: LiveServer, home: Path) -> None:
    may_end = home / "may-end"
    script = f"while ! [ -e {may_end} ]; do sleep 0.1; done; echo done"
    executions = [await create(server, script) for _ in range(4)]
    token = await server.new_token("doomed", "EXECUTE")
    doomed = start(server, home, token, "--concurrency", "4", "--name", "doomed")
    for execution in executions:
        await until(server, execution, "STARTED")
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.wait()
    may_end.touch()
    async with server.pool.acquire() as connection:
        await connection.execute("UPDATE execution SET leased_until = now()")
    async with working(server, home, "--concurrency", "2"):
        await server.keep_house()
        for execution in executions:
            found = await until(server, execution, "COMPLETE")
            assert found["attempt"] == 2
            assert said(found, "STDOUT") == ["done"]
            assert any("worker doomed is gone" in line for line in said(found, "STATUS"))


async def test_too_many_lines_are_left_out_and_said_to_be(server: LiveServer, home: Path) -> None:
    execution = await create(server, "seq 1 500", "sleep 1.2", "sleep 0.1 & wait", "read -r line || echo after")
    async with working(server, home):
        found = await until(server, execution, "COMPLETE")
    printed = said(found, "STDOUT")
    assert printed[:50] == [str(number) for number in range(1, 51)]
    assert printed[-1] == "after"
    times = [dt.datetime.fromisoformat(line["at"]) for line in found["logs"]["nodes"] if line["stream"] == "STDOUT"]
    # fifty at the end of a second, and fifty at the beginning of the next
    assert all(
        hundredth - first >= dt.timedelta(seconds=1) for first, hundredth in zip(times, times[100:], strict=False)
    )
    assert any("lines were left out" in line for line in said(found, "STATUS"))
    assert [each["code"] for each in found["warnings"]] == ["LOG_LIMITED"]


async def test_an_input_that_was_here_before_is_not_downloaded_again_unless_it_was_purged(
    server: LiveServer, home: Path
) -> None:
    datum = await push_datum(server, b"content", alias="train-images")
    sha256 = datum["checksums"]["sha256"]
    values = {"inputs": [{"name": "data", "references": ["datum://train-images"]}]}
    script = 'cat "$VH_INPUTS_DIR/data/file.bin"; echo spoilt > "$VH_INPUTS_DIR/data/file.bin" || true'
    ways = []
    async with working(server, home):
        for _ in range(3):
            found = await until(server, await create(server, script, **values), "COMPLETE", "ERROR")
            assert said(found, "STDOUT") == ["content"], found
            ways.append(next(line for line in said(found, "STATUS") if line.endswith("7 B")))
            assert found["inputs"][0]["files"]["nodes"] == [{"checksums": {"sha256": sha256}}]
            if len(ways) == 2:
                (home / "cache" / sha256[:2] / sha256).write_bytes(b"c0ntent")
        name = "/valohai/inputs/data/file.bin"
        assert ways == [
            f"{name}: {how}, 7 B" for how in ("downloaded", "taken from this machine's cache", "downloaded")
        ]
        purge = {"id": datum["id"], "reason": "secret", "force": True}
        pinned = await create(server, "sleep 0", **values, labels=["none has it"])
        await server.run("mutation($i: PurgeDatumInput!) { purgeDatum(input: $i) { datum { id } } }", i=purge)
        assert pinned
    async with working(server, home, "--label", "none has it"):
        found = await until(server, pinned, "COMPLETE", "ERROR")
    assert found["status"] == "ERROR"
    assert any("cannot be had any more" in line for line in said(found, "STATUS"))


async def test_mounts_that_the_operator_allows_are_in_place_and_others_are_told(
    server: LiveServer, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shared = home / "shared"
    shared.mkdir(mode=0o755)
    (shared / "table").write_text("rows\n")
    (shared / "out").symlink_to("/etc")
    mounts: list[dict[str, Any]] = [
        {"source": str(shared), "destination": "/valohai/shared/data", "readOnly": True},
        {"source": str(shared / "table"), "destination": str(shared / "table")},
        {"source": str(shared), "destination": "/mnt/data"},
        {"source": str(shared), "destination": "/valohai/../../escaped"},
        {"source": str(shared / "out"), "destination": "/valohai/etc"},
        {"source": "/etc", "destination": "/etc"},
        {"source": str(shared / "gone"), "destination": "/valohai/gone"},
        {"source": "host:/export", "destination": "/valohai/nfs", "type": "nfs"},
    ]
    execution = await create(server, f'cat "$VH_INPUTS_DIR/../shared/data/table" "{shared}/table"', mounts=mounts)
    async with working(server, home, "--allow-mount", str(shared)):
        found = await until(server, execution, "COMPLETE", "ERROR")
    assert found["status"] == "COMPLETE", found["logs"]
    assert said(found, "STDOUT") == ["rows", "rows"]
    assert {each["code"] for each in found["warnings"]} == {"MOUNT_IGNORED"}
    status = said(found, "STATUS")
    for mount in mounts[2:]:
        assert any(line.startswith(f"mount {mount['source']} at {mount['destination']} ignored") for line in status)
    assert len(found["warnings"]) == len(mounts[2:])
    assert sum("nothing on it is versioned" in line for line in status) == 2


async def test_a_file_made_read_only_is_stored_at_once_and_what_is_said_of_it_later_is_added(
    server: LiveServer, home: Path
) -> None:
    script = """
cd "$VH_OUTPUTS_DIR"
echo one > early
echo '{"valohai.tags": ["first"], "valohai.alias": "never"}' > early.metadata.json
chmod a-w early
echo working > unfinished
while ! [ -e "$VH_REPOSITORY_DIR/go" ] && [ "$LEFT" -gt 0 ]; do sleep 0.1; LEFT=$((LEFT - 1)); done
echo '{"valohai.tags": ["second"], "valohai.alias": "model-staging", "auc": 0.9}' > early.metadata.json
echo two > late
chmod a-w late
"""
    execution = await create(server, script, environment=[{"name": "LEFT", "value": "200"}])
    async with working(server, home):
        async with asyncio.timeout(60):
            while not (found := (await server.run(SHOW, id=execution))["execution"])["outputs"]["nodes"]:
                await asyncio.sleep(0.1)
        (early,) = found["outputs"]["nodes"]
        assert (early["name"], early["tags"], found["status"]) == ("early", ["first"], "STARTED")
        (home / f"{execution}-1/repository/go").touch()
        found = await until(server, execution, "COMPLETE", "ERROR")
    outputs = {each["name"]: each for each in found["outputs"]["nodes"]}
    assert len(found["outputs"]["nodes"]) == 3
    assert outputs.keys() == {"early", "unfinished", "late"}
    assert outputs["early"]["id"] == early["id"]
    assert (outputs["early"]["tags"], outputs["early"]["properties"]) == (["first", "second"], {"auc": 0.9})
    assert [change["alias"]["name"] for change in found["aliasHistory"]] == ["model-staging"]
    assert found["warnings"] == []


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
    execution = await create(server, *script, """echo '{"epoch": 9}' >&2""")
    async with working(server, home):
        found = await until(server, execution, "COMPLETE", "ERROR")
    assert said(found, "STDOUT") == lines
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
    execution = await create(
        server, 'cat "$VH_INPUTS_DIR/web/data.csv"; cat "$VH_CONFIG_DIR/inputs.json"', inputs=inputs
    )
    broken = await create(server, "true", inputs=[{"name": "web", "references": [f"{url}-not"]}])
    async with working(server, home):
        found = await until(server, execution, "COMPLETE", "ERROR")
        failed = await until(server, broken, "COMPLETE", "ERROR")
        same = await until(server, await create(server, "true", inputs=inputs), "COMPLETE")
        content = b"something else"
        changed = await until(server, await create(server, "true", inputs=inputs), "COMPLETE")
        again = await until(server, await create(server, "true", inputs=inputs), "COMPLETE")
    await runner.cleanup()
    assert found["warnings"] == same["warnings"] == again["warnings"] == []
    (warning,) = changed["warnings"]
    assert warning["code"] == "INPUT_CHANGED"
    assert warning["before"] == {"sha256": hashlib.sha256(b"from the web").hexdigest()}
    assert warning["after"] == {"sha256": hashlib.sha256(b"something else").hexdigest()}
    assert changed["inputs"][0]["files"]["nodes"][0]["checksums"] == warning["after"]
    printed = "\n".join(said(found, "STDOUT"))
    assert printed.startswith("from the web")
    assert "pass" not in json.dumps([found, failed])
    assert (failed["status"], failed["exitCode"]) == ("ERROR", None)
    assert any("HTTP 404" in line for line in said(failed, "STATUS"))


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
    await push_datum(server, b"abc", alias="train-images")
    program = _TRAIN.replace("'", "'\\''")
    execution = await create(
        server,
        f"printf '%s' '{program}' > train.py",
        f"{sys.executable} train.py {{parameters}}",
        config=_VALOHAI_YAML.format(python=sys.executable),
        step="train",
        parameters={"lr": 0.25},
    )
    # the interpreter of the tests may be out of other accounts' reach
    async with working(server, home, "--user", pwd.getpwuid(os.geteuid()).pw_name):
        found = await until(server, execution, "COMPLETE", "ERROR")
    assert found["status"] == "COMPLETE", found["logs"]
    assert "lr is 0.25" in said(found, "STDOUT")
    (output,) = found["outputs"]["nodes"]
    assert (output["name"], output["size"], output["properties"]) == ("model.bin", "3", {"auc": 0.9})
    assert [change["alias"]["name"] for change in found["aliasHistory"]] == ["model-staging"]
    assert found["warnings"] == []
