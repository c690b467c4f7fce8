"""What the tasks of a valohai.yaml stand for."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from app.domain.task_plans import plan_task
from app.errors import BadUserInputError


def _parameter(name: str, style: str, **rules: Any) -> dict[str, Any]:
    return {"name": name, "style": style, "rules": rules}


def _config(**task: Any) -> str:
    step = {"step": {"name": "train", "image": "busybox", "command": "true"}}
    return yaml.safe_dump([step, {"task": {"name": "search", "step": "train", **task}}])


def _sets(*parameters: dict[str, Any], **task: Any) -> list[dict[str, Any]]:
    return plan_task(_config(parameters=list(parameters), **task), "search").parameter_sets


def test_a_grid_is_every_combination() -> None:
    found = _sets(
        _parameter("lr", "multiple", items=[0.1, 0.2]),
        _parameter("epochs", "linear", start=1, end=3, step=1),
        _parameter("name", "single", value=5),
        type="grid_search",
    )
    assert found == [{"lr": lr, "epochs": epochs, "name": 5} for lr in (0.1, 0.2) for epochs in (1, 2, 3)]


def test_lines_end_where_they_say_and_logarithmic_ones_too() -> None:
    assert [each["x"] for each in _sets(_parameter("x", "linear", start=0.1, end=0.3, step=0.1))] == pytest.approx(
        [0.1, 0.2, 0.3]
    )
    assert [each["x"] for each in _sets(_parameter("x", "linear", start=3, end=0, step=-2))] == [3, 1]
    logspace = _parameter("x", "logspace", start=0, end=3, count=4, base=2, integerify=True)
    assert [each["x"] for each in _sets(logspace)] == [1, 2, 4, 8]
    assert [each["x"] for each in _sets(_parameter("x", "multiple", items=["1", "2.5"], numberify=True))] == [1, 2.5]


def test_a_manual_search_takes_the_first_of_each_then_the_second_and_so_on() -> None:
    found = _sets(
        _parameter("lr", "multiple", items=[0.1, 0.2]),
        _parameter("name", "multiple", items=["a", "b"]),
        _parameter("fixed", "single", value=1),
        type="manual_search",
    )
    assert found == [{"lr": 0.1, "name": "a", "fixed": 1}, {"lr": 0.2, "name": "b", "fixed": 1}]
    listed = plan_task(_config(type="manual-search", **{"parameter-sets": [{"lr": 1}, {"lr": 2, "n": 3}]}), "search")
    assert listed.parameter_sets == [{"lr": 1}, {"lr": 2, "n": 3}]


def test_a_random_search_draws_as_many_as_it_says_and_the_same_again_from_a_seed() -> None:
    parameters = [
        _parameter("lr", "random", min=0.5, max=1.5, seed=7),
        _parameter("layers", "random", min=1, max=3, integerify=True),
        _parameter("name", "multiple", items=["a", "b"]),
    ]
    found = _sets(*parameters, type="random_search", **{"execution-count": 200})
    assert len(found) == 200
    assert all(0.5 <= each["lr"] < 1.5 for each in found)
    assert {each["layers"] for each in found} == {1, 2, 3}
    assert {each["name"] for each in found} == {"a", "b"}
    again = _sets(*parameters, type="random_search", **{"execution-count": 200})
    assert [each["lr"] for each in again] == [each["lr"] for each in found]
    assert [each["layers"] for each in again] != [each["layers"] for each in found]


def test_how_many_run_at_once_and_what_a_failure_does_come_from_it_too() -> None:
    task = {"maximum-queued-executions": 2, "on-child-error": "stop-all-and-error"}
    plan = plan_task(_config(parameters=[_parameter("x", "single", value=1)], **task), "search")
    assert (plan.step, plan.max_concurrent, plan.stop_all) == ("train", 2, True)


@pytest.mark.parametrize(
    ("parameter", "task", "fault"),
    [
        (_parameter("x", "single", value=1), {"type": "bayesian_tpe"}, "bayesian_tpe"),
        (_parameter("x", "single", value=1), {"type": "distributed"}, "distributed"),
        (_parameter("x", "single", value=1), {"stop-condition": "a > 1"}, "stop-condition"),
        (_parameter("x", "single", value=1), {"reuse-children": True}, "reuse-children"),
        (_parameter("x", "random", min=0, max=1), {}, "only a random search"),
        (_parameter("x", "random", min=0, max=1), {"type": "random_search"}, "execution-count"),
        (
            _parameter("x", "random", min=0, max=1, distribution="normal"),
            {"type": "random_search", "execution-count": 1},
            "'normal'",
        ),
        (_parameter("x", "random", max=1), {"type": "random_search", "execution-count": 1}, "lack 'min'"),
        (_parameter("x", "linear", start=0, end=1, step=-1), {}, "leads nowhere"),
        (_parameter("x", "linear", start=0, end=10**12, step=1), {}, "at most 10000"),
        (_parameter("x", "multiple", items=[]), {}, "no values"),
        (_parameter("x", "multiple", items=["a"], numberify=True), {}, "no number"),
        (
            _parameter("x", "multiple", items=[1, 2]),
            {"type": "manual_search", "parameter-sets": [{"y": 1}, {"y": 2}, {"y": 3}]},
            "as many values each",
        ),
    ],
)
def test_what_cannot_be_made_is_told(parameter: dict[str, Any], task: dict[str, Any], fault: str) -> None:
    with pytest.raises(BadUserInputError, match=fault):
        _sets(parameter, **task)


def test_a_task_that_the_config_lacks_is_told_with_those_it_has() -> None:
    with pytest.raises(BadUserInputError, match="it has: search"):
        plan_task(_config(parameters=[_parameter("x", "single", value=1)]), "other")
