"""Task plans: the parameter sets that a valohai.yaml's task stands for."""

from __future__ import annotations

import hashlib
import itertools
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from valohai_yaml.objs.task import Task as ParsedTask
from valohai_yaml.objs.task import TaskOnChildError, TaskType
from valohai_yaml.objs.variant_parameter import VariantParameter, VariantParameterStyle

from app.domain.configs import parse_config
from app.errors import BadUserInputError

MOST_SETS = 10_000


@dataclass(frozen=True, slots=True)
class TaskPlan:
    step: str
    parameter_sets: list[dict[str, Any]]
    max_concurrent: int | None
    #: Whether all end when one fails.
    stop_all: bool


def plan_task(text: str, name: str) -> TaskPlan:
    """What the config's task of that name makes. Random values are drawn anew each time, unless it gives a seed."""
    tasks = parse_config(text).tasks
    if name not in tasks:
        raise BadUserInputError(f"config has no task {name!r}; it has: {', '.join(tasks) or 'none'}.")
    task = tasks[name]
    for given, called in (
        (task.stop_condition, "a stop-condition"),
        (task.reuse_children, "reuse-children"),
        (task.type is TaskType.BAYESIAN_TPE, "the type bayesian_tpe"),
        (task.type is TaskType.DISTRIBUTED, "the type distributed"),
    ):
        if given:
            raise BadUserInputError(
                f"Task {name!r} has {called}, which cannot be run yet; grid, random and manual searches can."
            )
    try:
        sets = _SETS[task.type](task)
    except _RuleError as error:
        raise BadUserInputError(f"Task {name!r}: {error}.") from error
    except KeyError as error:
        raise BadUserInputError(f"Task {name!r}: a parameter's rules lack {error}.") from error
    stop_all = task.on_child_error is TaskOnChildError.STOP_ALL_AND_ERROR
    return TaskPlan(task.step, sets, task.maximum_queued_executions, stop_all)


class _RuleError(Exception):
    """A task's rules that say nothing that can be done."""


def _grid(task: ParsedTask) -> list[dict[str, Any]]:
    """Every combination."""
    choices = {each.name: _choices(each) for each in task.parameters}
    _require_few(math.prod(len(values) for values in choices.values()))
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


def _manual(task: ParsedTask) -> list[dict[str, Any]]:
    """The sets as listed; of parameters with lists of values, the first of each, the second of each, and so on."""
    choices = {each.name: _choices(each) for each in task.parameters}
    several = {name: values for name, values in choices.items() if len(values) != 1}
    lengths = {len(values) for values in several.values()} | (
        {len(task.parameter_sets)} if task.parameter_sets else set()
    )
    if len(lengths) > 1:
        counts = ", ".join(f"{name} {len(values)}" for name, values in several.items())
        raise _RuleError(f"the parameters of a manual search need as many values each, but have: {counts}")
    count = lengths.pop() if lengths else 1
    listed = task.parameter_sets or [{}] * count
    return [
        {name: values[place % len(values)] for name, values in choices.items()} | dict(listed[place])
        for place in range(count)
    ]


def _random(task: ParsedTask) -> list[dict[str, Any]]:
    """As many sets as the execution-count says, each value drawn by itself."""
    count = task.execution_count
    if count is None or count < 1:
        raise _RuleError("a random search needs an execution-count from 1")
    _require_few(count)
    draws = {}
    for each in task.parameters:
        # by a hash rather than a generator, so that a seed gives the same values with every version of Python
        seed = each.rules.get("seed", secrets.token_hex())
        draws[each.name] = [_draw(each, _fraction(f"{seed}/{place}")) for place in range(count)]
    return [{name: values[place] for name, values in draws.items()} for place in range(count)]


_SETS = {TaskType.GRID_SEARCH: _grid, TaskType.MANUAL_SEARCH: _manual, TaskType.RANDOM_SEARCH: _random}


def _choices(parameter: VariantParameter) -> list[Any]:
    rules = parameter.rules
    match parameter.style:
        case VariantParameterStyle.SINGLE:
            values = [rules["value"]]
        case VariantParameterStyle.MULTIPLE:
            values = list(rules["items"])
            if rules.get("numberify"):
                values = [_number(parameter.name, value) for value in values]
        case VariantParameterStyle.LINEAR:
            start, end, step = rules["start"], rules["end"], rules.get("step", 1)
            if step == 0 or (end - start) / step < 0:
                raise _RuleError(f"parameter {parameter.name!r}: from {start} to {end} by {step} leads nowhere")
            # the end belongs to it, whatever floats make of it
            count = math.floor((end - start) / step + 1e-9) + 1
            _require_few(count)
            values = [start + place * step for place in range(count)]
        case VariantParameterStyle.LOGSPACE:
            start, end, count, base = rules["start"], rules["end"], int(rules["count"]), rules.get("base", 10)
            _require_few(count)
            width = max(1, count - 1)
            values = [base ** (start + (end - start) * place / width) for place in range(count)]
        case VariantParameterStyle.RANDOM:
            raise _RuleError(f"parameter {parameter.name!r} is random, which only a random search can be")
    if not values:
        raise _RuleError(f"parameter {parameter.name!r} has no values")
    return _integers(rules, values)


def _draw(parameter: VariantParameter, fraction: float) -> Any:
    rules = parameter.rules
    if parameter.style is not VariantParameterStyle.RANDOM:
        choices = _choices(parameter)
        return choices[int(fraction * len(choices))]
    if (distribution := rules.get("distribution", "uniform")) != "uniform":
        raise _RuleError(f"parameter {parameter.name!r} has the distribution {distribution!r}; expected 'uniform'")
    least, most = rules["min"], rules["max"]
    if least > most:
        raise _RuleError(f"parameter {parameter.name!r}: its min {least} is more than its max {most}")
    if rules.get("integerify"):
        least, most = math.ceil(least), math.floor(most)
        return least + int(fraction * (most - least + 1))
    return least + fraction * (most - least)


def _fraction(seed: str) -> float:
    """From 0, inclusive, to 1."""
    return (int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]) >> 11) / 2**53


def _integers(rules: Mapping[str, Any], values: list[Any]) -> list[Any]:
    return [round(value) for value in values] if rules.get("integerify") else values


def _number(name: str, value: Any) -> int | float:
    try:
        number = float(value)
    except ValueError as error:
        raise _RuleError(f"parameter {name!r} has the item {value!r}, which is no number") from error
    return int(number) if number.is_integer() else number


def _require_few(count: int) -> None:
    if count > MOST_SETS:
        raise _RuleError(f"it has {count} executions; expected at most {MOST_SETS}")
