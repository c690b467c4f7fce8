"""Configs: the valohai.yaml files that executions were made from, each distinct one kept once in a project."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from uuid import UUID

import yaml
from valohai_yaml import parse
from valohai_yaml.excs import ValidationErrors
from valohai_yaml.objs import Config as ParsedConfig
from valohai_yaml.objs import Step

from app.database.statements import Connection, Statement, columns
from app.domain.executions import EnvironmentVariable, ExecutionSpec, InputSpec, KeepDirectories
from app.domain.validation import require_object
from app.errors import BadUserInputError

_LONGEST = 1024 * 1024
_PARAMETER = re.compile(r"\{(?:parameter|parameter-value):([^}]+)\}")


@dataclass(frozen=True, slots=True)
class Config:
    id: UUID
    project_id: UUID
    text: str
    created_at: dt.datetime


# the second part sees what a twin has written meanwhile, which the first one does not return
_KEEP = Statement(f"""
    WITH made AS (
        INSERT INTO config (project_id, digest, text) VALUES (:project_id, :digest, :text)
        ON CONFLICT (project_id, digest) DO UPDATE SET digest = excluded.digest
        RETURNING *
    )
    SELECT {columns(Config, "made")} FROM made
""")
_BY_ID = Statement(f"SELECT {columns(Config, 'config')} FROM config WHERE id = ANY(:ids ::uuid[])")


async def keep_config(connection: Connection, project_id: UUID, text: str) -> UUID:
    """The id of the config of that text, which is kept if it is new."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    (row,) = await _KEEP.fetch(connection, project_id=project_id, digest=digest, text=text)
    return Config(*row).id


async def load_configs(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Config]:
    return {row["id"]: Config(*row) for row in await _BY_ID.fetch(connection, ids=ids)}


def complete(spec: ExecutionSpec, text: str) -> ExecutionSpec:
    """What is run by a step of a config: what `spec` gives wins over what the step says. Blocking for a while."""
    step = _step(text, spec.step)
    parameters = _parameters(step, spec.parameters)
    given = {each.name: each for each in spec.inputs}
    inputs = [given.pop(name) if name in given else _input(each) for name, each in step.inputs.items()]
    declared = {each.name: each for each in spec.environment}
    environment = [
        declared.pop(name) if name in declared else EnvironmentVariable(name, str(variable.default))
        for name, variable in step.environment_variables.items()
        if name in declared or variable.default is not None
    ]
    if missing := [
        name
        for name, variable in step.environment_variables.items()
        if not variable.optional and name not in {each.name for each in environment}
    ]:
        raise BadUserInputError(f"Step {step.name!r} needs the environment variables {', '.join(missing)}.")
    return replace(
        spec,
        step=step.name,
        image=spec.image or step.image,
        command=step.build_command(parameters, spec.command or None),
        parameters=parameters,
        inputs=[
            replace(each, references=[_filled(reference, parameters) for reference in each.references])
            for each in [*inputs, *given.values()]
        ],
        environment=[*environment, *declared.values()],
        mounts=spec.mounts
        or [
            {
                "source": mount.source,
                "destination": mount.destination,
                "type": mount.type,
                "read_only": mount.readonly,
                "options": dict(mount.options),
            }
            for mount in step.mounts
        ],
        time_limit=spec.time_limit or (int(step.time_limit.total_seconds()) if step.time_limit else None),
    )


def complete_each(
    spec: ExecutionSpec, text: str, parameter_sets: Sequence[object]
) -> tuple[ExecutionSpec, list[dict[str, Any]], list[list[str]]]:
    """What is run for each of a task's parameter sets: what they have in common, the parameters and the commands."""
    completed = []
    for place, given in enumerate(parameter_sets):
        values = require_object(f"parameterSets[{place}]", given)
        try:
            completed.append(complete(replace(spec, parameters=spec.parameters | values), text))
        except BadUserInputError as error:
            raise BadUserInputError(f"parameterSets[{place}]: {error.message}") from error
    if not completed:
        return complete(spec, text), [], []
    first = completed[0]
    if any(each.inputs != first.inputs for each in completed):
        raise BadUserInputError("The inputs of a task's executions are the same files; these depend on parameters.")
    return replace(first, parameters={}), [each.parameters for each in completed], [each.command for each in completed]


def command_of(text: str, step: str, parameters: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """A step's command with other parameters, and all of these. Blocking for a while."""
    parsed = _step(text, step)
    values = _parameters(parsed, parameters)
    return parsed.build_command(values), values


def _step(text: str, name: str | None) -> Step:
    config = parse_config(text)
    if name is None and len(config.steps) == 1:
        return next(iter(config.steps.values()))
    if name is None:
        raise BadUserInputError(f"config has {len(config.steps)} steps; name one as step: {', '.join(config.steps)}.")
    if name not in config.steps:
        for kind in ("pipelines", "endpoints"):
            if name in getattr(config, kind):
                raise BadUserInputError(
                    f"{name!r} is one of the config's {kind}, which cannot be run yet; only steps and tasks can."
                )
        if name in config.tasks:
            raise BadUserInputError(f"{name!r} is one of the config's tasks; createTask makes its executions.")
        raise BadUserInputError(f"config has no step {name!r}; it has: {', '.join(config.steps) or 'none'}.")
    return config.steps[name]


@lru_cache(maxsize=16)
def parse_config(text: str) -> ParsedConfig:
    """A valohai.yaml, as its own package reads it. Blocking for a while."""
    if len(text) > _LONGEST:
        raise BadUserInputError(f"config has {len(text)} characters; expected at most {_LONGEST}.")
    try:
        return parse(text)
    except ValidationErrors as error:
        said = "; ".join(
            f"{'.'.join(map(str, getattr(each, 'absolute_path', ())))}: {getattr(each, 'message', each)}"
            for each in error
        )
        raise BadUserInputError(f"config is no valohai.yaml: {said}") from error
    except (yaml.YAMLError, ValueError, TypeError, KeyError) as error:
        raise BadUserInputError(f"config is no valohai.yaml: {error}") from error


def _input(declared: Any) -> InputSpec:
    default = declared.default
    references = [] if default is None else [default] if isinstance(default, str) else list(default)
    keep = KeepDirectories[declared.keep_directories.name]
    return InputSpec(declared.name, references, declared.filename, keep, declared.optional)


def _parameters(step: Step, given: Mapping[str, Any]) -> dict[str, Any]:
    """All values of a step's parameters, those that are given checked by what the step says of them."""
    if unknown := [name for name in given if name not in step.parameters]:
        raise BadUserInputError(
            f"Step {step.name!r} has no parameter {unknown[0]!r}; it has: {', '.join(step.parameters) or 'none'}."
        )
    values = dict(step.get_parameter_defaults())
    for name, value in given.items():
        try:
            values[name] = step.parameters[name].validate(value)
        except ValidationErrors as error:
            raise BadUserInputError(f"Parameter {name!r}: {'; '.join(str(each) for each in error)}.") from error
        except TypeError as error:
            raise BadUserInputError(f"Parameter {name!r}: {error}.") from error
    if missing := [name for name, each in step.parameters.items() if not each.optional and name not in values]:
        raise BadUserInputError(f"Step {step.name!r} needs the parameters {', '.join(missing)}.")
    return values


def _filled(reference: str, parameters: Mapping[str, Any]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in parameters:
            raise BadUserInputError(f"{reference} names the parameter {name!r}, which has no value.")
        return str(parameters[name])

    return _PARAMETER.sub(value, reference)
