"""Executions made from a valohai.yaml."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.given import push_datum
from tests.conftest import LiveServer

_YAML = """
- step:
    name: Train Model
    image: python:3.11
    command:
      - python train.py {parameters}
      - echo {parameter-value:name}
    inputs:
      - name: data
        default: datum://{parameter:name}-images
        keep-directories: suffix
      - name: extra
        optional: true
      - name: many
        default: [datum://train-images, datum://train-images]
    parameters:
      - {name: lr, type: float, default: 0.5, min: 0, max: 1}
      - {name: epochs, type: integer}
      - {name: name, type: string, default: train, choices: [train, test]}
      - {name: layers, type: integer, multiple: repeat, default: [1, 2]}
      - {name: fast, type: flag}
    environment-variables:
      - {name: MODE, default: slow}
      - {name: TOKEN, optional: true}
    mounts:
      - {source: /mnt/nfs, destination: /nfs, readonly: true}
    time-limit: 2h
- step:
    name: other
    image: busybox
    command: "true"
- pipeline:
    name: all
    nodes:
      - {name: a, type: execution, step: other}
    edges: []
"""
_CREATE = """mutation($i: CreateExecutionInput!) { createExecution(input: $i) { execution { id step image command
    parameters timeLimit environment { name value } mounts { source destination readOnly } config { id text }
    inputs { name keepDirectories files { nodes { reference datum { id } } } } } } }"""
_COPY = """mutation($i: CopyExecutionInput!) { copyExecution(input: $i) { execution { command parameters
    config { id } } } }"""


async def _create(server: LiveServer, **values: Any) -> dict[str, Any]:
    given = {"project": await server.project_id(), "config": _YAML, "step": "Train Model", **values}
    execution: dict[str, Any] = (await server.run(_CREATE, i=given))["createExecution"]["execution"]
    return execution


async def test_a_step_gives_what_the_mutation_does_not(server: LiveServer) -> None:
    datum = await push_datum(server, b"images", alias="train-images")
    made = await _create(server, parameters={"epochs": "3", "lr": 0.1})
    assert (made["step"], made["image"], made["timeLimit"]) == ("Train Model", "python:3.11", 7200)
    assert made["command"] == ["python train.py --lr=0.1 --epochs=3 --name=train --layers=1 --layers=2", "echo train"]
    assert made["parameters"] == {"lr": 0.1, "epochs": 3, "name": "train", "layers": [1, 2]}
    assert made["environment"] == [{"name": "MODE", "value": "slow"}]
    assert made["mounts"] == [{"source": "/mnt/nfs", "destination": "/nfs", "readOnly": True}]
    inputs = {each["name"]: each for each in made["inputs"]}
    assert inputs["data"]["keepDirectories"] == "SUFFIX"
    assert inputs["data"]["files"]["nodes"] == [{"reference": "datum://train-images", "datum": {"id": datum["id"]}}]
    assert inputs["extra"]["files"]["nodes"] == []
    assert len(inputs["many"]["files"]["nodes"]) == 2
    assert made["config"]["text"] == _YAML


async def test_what_the_mutation_gives_wins(server: LiveServer) -> None:
    await push_datum(server, b"images", alias="train-images")
    made = await _create(
        server,
        parameters={"epochs": 1, "fast": True},
        image="mine",
        command=["run {parameter:fast}"],
        timeLimit=5,
        environment=[{"name": "MODE", "value": "quick"}, {"name": "MORE", "value": "x"}],
        inputs=[{"name": "data", "references": ["datum://train-images"]}],
    )
    assert (made["image"], made["command"], made["timeLimit"]) == ("mine", ["run --fast"], 5)
    assert {each["name"]: each["value"] for each in made["environment"]} == {"MODE": "quick", "MORE": "x"}
    assert made["inputs"][0]["keepDirectories"] == "NONE"


async def test_each_distinct_config_is_kept_once(server: LiveServer) -> None:
    await push_datum(server, b"images", alias="train-images")
    first, second = await _create(server, step="other"), await _create(server, step="other")
    third = await _create(server, step="other", config=_YAML + "\n")
    assert first["config"]["id"] == second["config"]["id"] != third["config"]["id"]


async def test_a_copy_with_other_parameters_has_the_command_made_anew(server: LiveServer) -> None:
    await push_datum(server, b"images", alias="train-images")
    made = await _create(server, parameters={"epochs": 1})
    copied = await server.run(_COPY, i={"execution": made["id"], "parameters": {"epochs": 9}})
    copy = copied["copyExecution"]["execution"]
    assert "--epochs=9" in copy["command"][0]
    assert copy["parameters"]["epochs"] == 9
    assert copy["config"]["id"] == made["config"]["id"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"config": "- step: {name: x}"}, "no valohai.yaml"),
        ({"config": "{"}, "no valohai.yaml"),
        ({"config": "just text"}, "no valohai.yaml"),
        ({"step": None}, "has 2 steps; name one"),
        ({"step": "Trian"}, "has no step 'Trian'; it has: Train Model, other"),
        ({"step": "all"}, "one of the config's pipelines, which cannot be run yet"),
        ({"parameters": {"epochs": 1, "lr": 2}}, "greater than the maximum"),
        ({"parameters": {"epochs": 1, "name": "no"}}, "not among the choices"),
        ({"parameters": {"epochs": "x"}}, "not an integer"),
        ({"parameters": {"epochs": 1, "depth": 1}}, "has no parameter 'depth'"),
        ({"parameters": {}}, "needs the parameters epochs"),
    ],
)
async def test_what_is_wrong_is_said(server: LiveServer, values: dict[str, Any], said: str) -> None:
    given = {"project": await server.project_id(), "config": _YAML, "step": "Train Model", **values}
    error = await server.fails(_CREATE, i=given)
    assert (error.code, said in str(error)) == ("BAD_USER_INPUT", True), error


_TASK = """mutation($i: CreateTaskInput!) { createTask(input: $i) { task { executions { nodes { command parameters
    config { id } inputs { files { nodes { reference } } } } } } } }"""


async def test_a_tasks_executions_have_each_their_own_command(server: LiveServer) -> None:
    await push_datum(server, b"images", alias="train-images")
    project = await server.project_id()
    template = {"project": project, "config": _YAML, "step": "Train Model", "parameters": {"epochs": 1}}
    values = {"project": project, "template": template, "parameterSets": [{"lr": 0.1, "fast": True}, {"lr": 0.2}]}
    made = (await server.run(_TASK, i=values))["createTask"]["task"]["executions"]["nodes"]
    common = "--epochs=1 --name=train --layers=1 --layers=2"
    assert [each["command"][0] for each in made] == [
        f"python train.py --lr=0.1 {common} --fast",
        f"python train.py --lr=0.2 {common}",
    ]
    assert [each["parameters"].get("fast") for each in made] == [True, None]
    assert len({each["config"]["id"] for each in made}) == 1
    wrong = {**values, "parameterSets": [{"lr": 0.1}, {"lr": 7}]}
    assert "parameterSets[1]: Parameter 'lr'" in str(await server.fails(_TASK, i=wrong))
    apart = {**values, "parameterSets": [{"name": "train"}, {"name": "test"}]}
    assert "depend on parameters" in str(await server.fails(_TASK, i=apart))


_WITH_TASK = f"""{_YAML}
- task:
    name: Learning rates
    step: Train Model
    on-child-error: stop-all-and-error
    maximum-queued-executions: 1
    parameters:
      - {{name: lr, style: multiple, rules: {{items: [0.1, 0.2]}}}}
      - {{name: epochs, style: linear, rules: {{start: 1, end: 2, step: 1}}}}
"""


async def test_a_task_that_the_config_declares_makes_its_executions(server: LiveServer) -> None:
    await push_datum(server, b"images", alias="train-images")
    project = await server.project_id()
    template = {"project": project, "config": _WITH_TASK}
    values = {"project": project, "template": template, "task": "Learning rates"}
    made = (await server.run(_TASK, i=values))["createTask"]["task"]["executions"]["nodes"]
    pairs = [(each["parameters"]["lr"], each["parameters"]["epochs"]) for each in made]
    assert pairs == [(0.1, 1), (0.1, 2), (0.2, 1), (0.2, 2)]
    assert made[0]["command"][0].startswith("python train.py --lr=0.1 --epochs=1")
    states = await server.run(
        "query($p: ID!) { project(id: $p) { executions(first: 9) { nodes { step status } } } }", p=project
    )
    statuses = [each["status"] for each in states["project"]["executions"]["nodes"]]
    assert sorted(statuses) == ["CREATED", "CREATED", "CREATED", "QUEUED"]
    # what is given wins
    own = (await server.run(_TASK, i={**values, "parameterSets": [{"lr": 0.3, "epochs": 9}]}))["createTask"]["task"]
    assert [each["parameters"]["lr"] for each in own["executions"]["nodes"]] == [0.3]


@pytest.mark.parametrize(
    ("task", "template", "said"),
    [
        ("gone", {"config": _WITH_TASK}, "it has: Learning rates"),
        ("Learning rates", {"command": ["true"]}, "template.config"),
        ("Learning rates", {"config": _WITH_TASK, "step": "other"}, "leave it out"),
        (None, {"config": _WITH_TASK, "step": "Learning rates"}, "createTask makes"),
        (None, {"config": _WITH_TASK, "step": "Train Model"}, "parameterSets has 0 entries"),
    ],
)
async def test_what_is_wrong_with_a_task_is_said(
    server: LiveServer, task: str | None, template: dict[str, Any], said: str
) -> None:
    await push_datum(server, b"images", alias="train-images")
    project = await server.project_id()
    parameters = {"epochs": 1} if template.get("step") == "Train Model" else {}
    template = {"project": project, "parameters": parameters, **template}
    error = await server.fails(_TASK, i={"project": project, "template": template, "task": task})
    assert (error.code, said in str(error)) == ("BAD_USER_INPUT", True), error
