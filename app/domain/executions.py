"""Executions: runs whose inputs are pinned to exact files at the moment of creation."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import and_, exists, not_, select

from app.database import tables
from app.database.statements import Connection, Statement, columns
from app.domain.access import Caller
from app.domain.adoptions import MOST_FILES, Adopted, Found, adopt
from app.domain.datums import Datum
from app.domain.filters import any_of, contains_all, identity, moment_filter
from app.domain.idempotency import Claim
from app.domain.paging import Listing, Order
from app.domain.references import MASK, Reference, datum_fault, parse_reference, without_credentials
from app.domain.secrets import SecretBox
from app.domain.validation import require_file_name, require_object, require_tags, require_text
from app.errors import BadUserInputError, NotFoundError

_MOST_INPUTS = 1_000
_MOST_FILES_OF_TASK = 100_000


class ExecutionStatus(StrEnum):
    CREATED = "CREATED"
    QUEUED = "QUEUED"
    STARTED = "STARTED"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    ERROR = "ERROR"
    COMPLETE = "COMPLETE"


class KeepDirectories(StrEnum):
    NONE = "NONE"
    SUFFIX = "SUFFIX"
    FULL = "FULL"


class WarningCode(StrEnum):
    INPUT_CHANGED = "INPUT_CHANGED"
    SIDECAR_INVALID = "SIDECAR_INVALID"
    SIDECAR_UNKNOWN_KEY = "SIDECAR_UNKNOWN_KEY"
    MOUNT_IGNORED = "MOUNT_IGNORED"
    LOG_LIMITED = "LOG_LIMITED"


@dataclass(frozen=True, slots=True)
class Execution:
    id: UUID
    project_id: UUID
    number: int
    title: str | None
    step: str | None
    image: str | None
    command: list[str]
    parameters: dict[str, Any]
    #: Each with name, value and secret; a secret value is encrypted.
    environment: list[dict[str, Any]]
    tags: list[str]
    mounts: list[dict[str, Any]]
    labels: list[str]
    priority: int
    time_limit: int | None
    status: str
    attempt: int
    store_id: UUID | None
    copy_of: UUID | None
    config_id: UUID | None
    task_id: UUID | None
    created_at: dt.datetime
    created_by: UUID | None
    queued_at: dt.datetime | None
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class ExecutionInput:
    id: UUID
    project_id: UUID
    execution_id: UUID
    position: int
    name: str
    references: list[str]
    filename: str | None
    keep_directories: str
    optional: bool


@dataclass(frozen=True, slots=True)
class InputFile:
    input_id: UUID
    project_id: UUID
    position: int
    reference: str
    datum_id: UUID | None
    alias_id: UUID | None
    alias_version: int | None
    filename: str | None
    #: An address of HTTP(S) with its credentials, encrypted; null where it has none.
    secret_url: str | None = field(repr=False)
    md5: str | None
    sha1: str | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class ExecutionWarning:
    project_id: UUID
    execution_id: UUID
    code: str
    message: str
    at: dt.datetime
    reference: str | None
    file: str | None
    key: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class FoundInput:
    """A file of an input as a worker found it."""

    input: str
    #: Its place among the input's files.
    position: int
    md5: str
    sha1: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Warned:
    """What a worker warns of."""

    code: WarningCode
    message: str
    file: str | None
    key: str | None


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An input as requested."""

    name: str
    references: list[str]
    filename: str | None = None
    keep_directories: str = KeepDirectories.NONE
    optional: bool = False


@dataclass(frozen=True, slots=True)
class EnvironmentVariable:
    name: str
    value: str
    secret: bool = False


@dataclass(frozen=True, slots=True)
class ExecutionSpec:
    """A run as requested."""

    command: list[str]
    title: str | None = None
    step: str | None = None
    image: str | None = None
    inputs: list[InputSpec] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    environment: list[EnvironmentVariable] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    mounts: list[dict[str, Any]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    priority: int = 0
    time_limit: int | None = None
    store_id: UUID | None = None
    config_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class _WantedFile:
    """A file of an input: a reference to resolve, or a pin to keep."""

    input_position: int
    reference: str
    datum_id: UUID | None
    alias: str | None = None
    alias_id: UUID | None = None
    alias_version: int | None = None
    filename: str | None = None
    #: Of an address of HTTP(S), which is neither a datum nor an alias.
    secret_url: str | None = None


_EXECUTION = columns(Execution, "execution")

# All aliases are read in this statement's one snapshot. The files are locked against a purge before their status is
# read, and nothing is written unless all of them can be used.
_CREATE = Statement(f"""
    WITH wanted AS (
        SELECT * FROM unnest(
            :input_positions ::smallint[], :positions ::integer[], :references ::text[], :datum_ids ::uuid[],
            :aliases ::text[], :alias_ids ::uuid[], :alias_versions ::integer[], :filenames ::text[],
            :secret_urls ::text[]
        ) AS wanted (input_position, position, reference, datum_id, alias, alias_id, alias_version, filename,
            secret_url)
    ), resolved AS (
        SELECT wanted.input_position, wanted.position, wanted.reference, wanted.filename, wanted.secret_url,
            wanted.datum_id IS NULL AND wanted.alias IS NULL AS is_web,
            coalesce(wanted.datum_id, alias.datum_id) AS datum_id,
            coalesce(wanted.alias_id, alias.id) AS alias_id,
            coalesce(wanted.alias_version, alias.version) AS alias_version
        FROM wanted LEFT JOIN alias ON alias.project_id = :project_id AND alias.name = wanted.alias
    ), locked AS (
        SELECT id, status, purged_at FROM datum
        WHERE project_id = :project_id AND id IN (SELECT datum_id FROM resolved)
        ORDER BY id FOR KEY SHARE
    ), fault AS (
        SELECT resolved.input_position, resolved.position, locked.id, locked.status, locked.purged_at
        FROM resolved LEFT JOIN locked ON locked.id = resolved.datum_id
        WHERE locked.status IS DISTINCT FROM 'AVAILABLE' AND NOT is_web
        ORDER BY 1, 2 LIMIT 1
    ), numbered AS (
        UPDATE project SET last_execution_number = last_execution_number + cardinality(:parameter_sets ::jsonb[])
        WHERE id = :project_id AND NOT EXISTS (SELECT FROM fault)
        RETURNING last_execution_number - cardinality(:parameter_sets ::jsonb[]) AS last_number
    ), execution AS (
        INSERT INTO execution (id, project_id, number, title, step, image, command, parameters, environment, tags,
            mounts, labels, priority, time_limit, status, store_id, copy_of, config_id, task_id, created_by,
            queued_at)
        SELECT coalesce(:id ::uuid, uuidv7()), :project_id, last_number + place, :title, :step, :image,
            CASE WHEN own_command IS NULL THEN :command
                ELSE ARRAY(SELECT jsonb_array_elements_text(own_command -> 'lines')) END,
            parameters, :environment, :tags, :mounts, :labels, :priority, :time_limit, turn.status, :store_id,
            :copy_of, :config_id, :task_id, :actor_id, CASE WHEN turn.status = 'QUEUED' THEN clock_timestamp() END
        FROM numbered, unnest(:parameter_sets ::jsonb[], :own_commands ::jsonb[]) WITH ORDINALITY
            AS parameter_set (parameters, own_command, place),
            LATERAL (
                SELECT CASE WHEN place > :at_once ::integer THEN 'CREATED' ELSE 'QUEUED' END AS status
            ) AS turn
        RETURNING *
    ), input AS (
        INSERT INTO execution_input
            (project_id, execution_id, position, name, "references", filename, keep_directories, optional)
        SELECT :project_id, execution.id, input.*
        FROM execution, jsonb_to_recordset(:inputs ::jsonb) AS input (
            position smallint, name text, "references" text[], filename text, keep_directories text, optional boolean
        )
        RETURNING id, execution_id, position
    ), file AS (
        INSERT INTO execution_input_file
            (project_id, execution_id, input_id, position, reference, datum_id, alias_id, alias_version, filename,
            secret_url)
        SELECT :project_id, input.execution_id, input.id, resolved.position, resolved.reference, resolved.datum_id,
            resolved.alias_id, resolved.alias_version, resolved.filename, resolved.secret_url
        FROM resolved JOIN input ON input.position = resolved.input_position
    )
    SELECT fault.input_position, fault.position, fault.id, fault.status, fault.purged_at, {_EXECUTION}
    FROM (VALUES (1)) AS always LEFT JOIN fault ON true LEFT JOIN execution ON true
    ORDER BY execution.number
""")

_BY_ID = Statement(f"SELECT {_EXECUTION} FROM execution WHERE id = ANY(:ids ::uuid[])")
_BY_NUMBER = Statement(f"""
    SELECT {_EXECUTION} FROM execution JOIN unnest(:project_ids ::uuid[], :numbers ::integer[]) AS wanted (id, number)
        ON execution.project_id = wanted.id AND execution.number = wanted.number
""")
_INPUTS = Statement(f"""
    SELECT {columns(ExecutionInput, "input")} FROM execution_input AS input
    WHERE input.execution_id = ANY(:execution_ids ::uuid[]) ORDER BY input.execution_id, input.position
""")
_FILES = Statement(f"""
    SELECT {columns(InputFile, "file")}
    FROM execution_input AS input JOIN execution_input_file AS file ON file.input_id = input.id
    WHERE input.execution_id = :execution_id ORDER BY file.input_id, file.position
""")
_WARN_OF = Statement("""
    INSERT INTO execution_warning (project_id, execution_id, code, message, file, key)
    SELECT :project_id, :execution_id, warning.*
    FROM unnest(:codes ::text[], :messages ::text[], :files ::text[], :keys ::text[]) AS warning
""")
# what an address gave when the project last used it, by whichever execution
_FIND = Statement("""
    WITH found AS (
        UPDATE execution_input_file AS file SET md5 = found.md5, sha1 = found.sha1, sha256 = found.sha256,
            found_at = clock_timestamp()
        FROM unnest(:inputs ::text[], :positions ::integer[], :md5s ::text[], :sha1s ::text[], :sha256s ::text[])
            AS found (input, position, md5, sha1, sha256)
        JOIN execution_input AS input ON input.execution_id = :execution_id AND input.name = found.input
        WHERE file.input_id = input.id AND file.position = found.position
        RETURNING input.name, file.reference, file.datum_id, file.md5, file.sha1, file.sha256
    ), changed AS (
        SELECT found.*, earlier.md5 AS old_md5, earlier.sha1 AS old_sha1, earlier.sha256 AS old_sha256
        FROM found, LATERAL (
            SELECT md5, sha1, sha256 FROM execution_input_file
            WHERE project_id = :project_id AND reference = found.reference AND datum_id IS NULL
                AND found_at IS NOT NULL AND execution_id <> :execution_id
            ORDER BY found_at DESC LIMIT 1
        ) AS earlier
        WHERE found.datum_id IS NULL AND earlier.sha256 <> found.sha256
            AND NOT EXISTS (
                SELECT FROM execution_warning AS known
                WHERE known.execution_id = :execution_id AND known.reference = found.reference
            )
    ), seen AS (
        UPDATE execution SET feed_position = DEFAULT WHERE id = :execution_id AND EXISTS (SELECT FROM changed)
    )
    INSERT INTO execution_warning (project_id, execution_id, code, message, reference, file, before, after)
    SELECT :project_id, :execution_id, 'INPUT_CHANGED',
        concat(reference, ' has other content than when it was last used: its sha256 was ', old_sha256, ' and is ',
            sha256, ' now'),
        reference, name,
        jsonb_build_object('md5', old_md5, 'sha1', old_sha1, 'sha256', old_sha256, 'evidence', 'VERIFIED'),
        jsonb_build_object('md5', md5, 'sha1', sha1, 'sha256', sha256, 'evidence', 'VERIFIED')
    FROM changed
""")
_SECRET_ADDRESSES = Statement("""
    SELECT input.name, file.position, file.secret_url
    FROM execution_input AS input JOIN execution_input_file AS file ON file.input_id = input.id
    WHERE input.execution_id = :execution_id AND file.secret_url IS NOT NULL
""")
_WARNINGS = Statement(f"""
    SELECT {columns(ExecutionWarning, "warning")} FROM execution_warning AS warning
    WHERE warning.execution_id = ANY(:execution_ids ::uuid[]) ORDER BY warning.position
""")
_WARN = Statement("""
    INSERT INTO execution_warning (project_id, execution_id, code, message, reference, file, before, after)
    SELECT :project_id, execution_id, 'INPUT_CHANGED', warning.*
    FROM unnest(:execution_ids ::uuid[]) AS execution_id, unnest(
        :messages ::text[], :references ::text[], :files ::text[], :befores ::jsonb[], :afters ::jsonb[]
    ) AS warning
""")

_execution = tables.execution
_file = tables.execution_input_file


def _uses(condition: Any) -> Any:
    return _execution.c.id.in_(select(_file.c.execution_id).where(condition))


_has_warnings = exists(
    select(tables.execution_warning.c.position).where(tables.execution_warning.c.execution_id == _execution.c.id)
)

EXECUTIONS = Listing(
    _execution,
    Execution,
    parent=lambda project_id: _execution.c.project_id == project_id,
    orders={"number": Order(("number",), descending=True)},
    conditions={
        **any_of("status", _execution.c.status),
        "uses_datum": _uses(_file.c.datum_id == identity("uses_datum")),
        "uses_alias": _uses(_file.c.alias_id == identity("uses_alias")),
        **contains_all("tags_all", _execution.c.tags),
        "task": _execution.c.task_id == identity("task"),
        **moment_filter("created_at", _execution.c.created_at),
        "has_warnings": _has_warnings,
        "has_no_warnings": not_(_has_warnings),
    },
)

EXECUTIONS_USING_DATUM = Listing(
    _execution,
    Execution,
    parent=lambda datum_id: _uses(_file.c.datum_id == datum_id),
    orders={"number": Order(("number",), descending=True)},
)

EXECUTIONS_USING_ALIAS = Listing(
    _execution,
    Execution,
    parent=lambda alias_id: _uses(_file.c.alias_id == alias_id),
    orders={"number": Order(("number",), descending=True)},
    conditions={
        # through this alias: the same file may also have come by another way
        "datum": lambda alias_id: _uses(and_(_file.c.alias_id == alias_id, _file.c.datum_id == identity("datum"))),
    },
)

EXECUTIONS_OF_TASK = Listing(
    _execution,
    Execution,
    parent=lambda task_id: _execution.c.task_id == task_id,
    orders={"number": Order(("number",))},
)

INPUT_FILES = Listing(
    _file,
    InputFile,
    parent=lambda input_id: _file.c.input_id == input_id,
    orders={"position": Order(("position",))},
)


async def create_execution(
    connection: Connection,
    caller: Caller,
    project_id: UUID,
    spec: ExecutionSpec,
    *,
    secrets: SecretBox,
    claim: Claim | None,
    found: Mapping[str, list[Found]],
) -> Execution:
    """Makes an execution with every input pinned to the file that its references mean in this instant.

    `found` is what the references to stores mean.
    """
    if claim and claim.replayed:
        return (await load_executions(connection, [claim.result_id]))[claim.result_id]
    adopted = await _adopt(connection, caller, project_id, found)
    files = _parse_inputs(list(enumerate(spec.inputs)), adopted, secrets)
    (execution,) = await _create(connection, caller, project_id, spec, _encrypted(spec, secrets), files, claim=claim)
    await _warn_of_changes(connection, [execution], adopted)
    return execution


async def create_executions_of_task(
    connection: Connection,
    caller: Caller,
    project_id: UUID,
    template: ExecutionSpec,
    parameter_sets: Sequence[Mapping[str, Any]],
    *,
    task_id: UUID,
    max_concurrent: int | None,
    own_commands: Sequence[list[str]] = (),
    secrets: SecretBox,
    found: Mapping[str, list[Found]],
) -> None:
    """Makes one execution for each parameter set, all pinned to the same files by one resolution of the references.

    `own_commands` has the command of each, where those differ.
    """
    adopted = await _adopt(connection, caller, project_id, found)
    files = _parse_inputs(list(enumerate(template.inputs)), adopted, secrets)
    if len(files) * len(parameter_sets) > _MOST_FILES_OF_TASK:
        raise BadUserInputError(
            f"{len(parameter_sets)} executions of {len(files)} input files each are too many for one task; expected at"
            f" most {_MOST_FILES_OF_TASK} files in all."
        )
    environment = _encrypted(template, secrets)
    made = await _create(
        connection,
        caller,
        project_id,
        template,
        environment,
        files,
        parameter_sets=parameter_sets,
        task_id=task_id,
        at_once=max_concurrent,
        own_commands=own_commands,
    )
    await _warn_of_changes(connection, made, adopted)


async def copy_execution(
    connection: Connection,
    caller: Caller,
    original: Execution,
    *,
    title: str | None,
    reresolve: bool,
    inputs: Sequence[InputSpec],
    parameters: Mapping[str, Any],
    command: list[str] | None,
    secrets: SecretBox,
    claim: Claim | None,
    found: Mapping[str, list[Found]],
) -> Execution:
    """Makes an execution like another one. Inputs and parameters given replace those of the same name.

    `command` is what the config makes of other parameters. The other inputs keep their pins, whatever has become of the
    aliases; with `reresolve` they are resolved anew.
    """
    if claim and claim.replayed:
        return (await load_executions(connection, [claim.result_id]))[claim.result_id]
    earlier = (await load_inputs(connection, [original.id]))[original.id]
    replaced = {spec.name: spec for spec in inputs}
    specs = [
        replaced.pop(
            each.name,
            InputSpec(each.name, each.references, each.filename, each.keep_directories, each.optional),
        )
        for each in earlier
    ]
    given = {spec.name for spec in inputs}
    specs += replaced.values()
    fresh = [(place, spec) for place, spec in enumerate(specs) if reresolve or spec.name in given]
    adopted = await _adopt(connection, caller, original.project_id, found)
    files_before = [InputFile(*row) for row in await _FILES.fetch(connection, execution_id=original.id)]
    secret_urls = {file.reference: file.secret_url for file in files_before if file.secret_url}
    files = _parse_inputs(fresh, adopted, secrets, secret_urls)
    if not reresolve:
        kept = {each.id: each.position for each in earlier if each.name not in given}
        files += [
            _WantedFile(
                kept[file.input_id],
                file.reference,
                file.datum_id,
                alias_id=file.alias_id,
                alias_version=file.alias_version,
                filename=file.filename,
                secret_url=file.secret_url,
            )
            for file in files_before
            if file.input_id in kept
        ]
    spec = ExecutionSpec(
        command=command or original.command,
        title=original.title if title is None else title,
        step=original.step,
        image=original.image,
        inputs=specs,
        parameters=original.parameters | dict(parameters),
        tags=original.tags,
        mounts=original.mounts,
        labels=original.labels,
        priority=original.priority,
        time_limit=original.time_limit,
        store_id=original.store_id,
        config_id=original.config_id,
    )
    (execution,) = await _create(
        connection,
        caller,
        original.project_id,
        spec,
        original.environment,
        files,
        claim=claim,
        copy_of=original.id,
    )
    await _warn_of_changes(connection, [execution], adopted)
    return execution


async def load_executions(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Execution]:
    return {row["id"]: Execution(*row) for row in await _BY_ID.fetch(connection, ids=ids)}


async def load_executions_by_number(
    connection: Connection, keys: Sequence[tuple[UUID, int]]
) -> dict[tuple[UUID, int], Execution]:
    rows = await _BY_NUMBER.fetch(connection, project_ids=[key[0] for key in keys], numbers=[key[1] for key in keys])
    return {(row["project_id"], row["number"]): Execution(*row) for row in rows}


async def load_inputs(connection: Connection, execution_ids: Sequence[UUID]) -> dict[UUID, list[ExecutionInput]]:
    found: dict[UUID, list[ExecutionInput]] = {execution_id: [] for execution_id in execution_ids}
    for row in await _INPUTS.fetch(connection, execution_ids=execution_ids):
        found[row["execution_id"]].append(ExecutionInput(*row))
    return found


async def keep_found(connection: Connection, execution: Execution, found: Sequence[FoundInput]) -> None:
    """Keeps what a worker found the inputs to be; an address that gave something else last time is warned of."""
    await _FIND.fetch(
        connection,
        project_id=execution.project_id,
        execution_id=execution.id,
        inputs=[each.input for each in found],
        positions=[each.position for each in found],
        md5s=[each.md5 for each in found],
        sha1s=[each.sha1 for each in found],
        sha256s=[each.sha256 for each in found],
    )


async def warn(connection: Connection, execution: Execution, warnings: Sequence[Warned]) -> None:
    """Keeps what a worker warns of."""
    if warnings:
        await _WARN_OF.fetch(
            connection,
            project_id=execution.project_id,
            execution_id=execution.id,
            codes=[each.code for each in warnings],
            messages=[each.message for each in warnings],
            files=[each.file for each in warnings],
            keys=[each.key for each in warnings],
        )


async def secret_addresses(connection: Connection, execution_id: UUID) -> list[tuple[str, int, str]]:
    """Of each address with credentials: its input's name, its place there, and itself, encrypted."""
    return [(row[0], row[1], row[2]) for row in await _SECRET_ADDRESSES.fetch(connection, execution_id=execution_id)]


async def load_warnings(connection: Connection, execution_ids: Sequence[UUID]) -> dict[UUID, list[ExecutionWarning]]:
    found: dict[UUID, list[ExecutionWarning]] = {execution_id: [] for execution_id in execution_ids}
    for row in await _WARNINGS.fetch(connection, execution_ids=execution_ids):
        found[row["execution_id"]].append(ExecutionWarning(*row))
    return found


def _encrypted(spec: ExecutionSpec, secrets: SecretBox) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "value": secrets.encrypt(each.value) if each.secret else each.value,
            "secret": each.secret,
        }
        for each in spec.environment
    ]


async def _create(
    connection: Connection,
    caller: Caller,
    project_id: UUID,
    spec: ExecutionSpec,
    environment: list[dict[str, Any]],
    files: list[_WantedFile],
    *,
    parameter_sets: Sequence[Mapping[str, Any]] = ({},),
    claim: Claim | None = None,
    copy_of: UUID | None = None,
    task_id: UUID | None = None,
    at_once: int | None = None,
    own_commands: Sequence[list[str]] = (),
) -> list[Execution]:
    """One execution for each parameter set, which goes over the parameters of `spec`; a claim is for a single one.

    All are queued, or the first `at_once` of them.
    """
    _check(spec, files)
    positions = _positions(files)
    rows = await _CREATE.fetch(
        connection,
        id=claim and claim.result_id,
        project_id=project_id,
        title=spec.title,
        step=spec.step,
        image=spec.image,
        command=spec.command,
        parameter_sets=[require_object("parameters", spec.parameters | dict(each)) for each in parameter_sets],
        environment=environment,
        tags=require_tags("tags", spec.tags),
        mounts=spec.mounts,
        labels=require_tags("labels", spec.labels),
        priority=spec.priority,
        time_limit=spec.time_limit,
        store_id=spec.store_id,
        copy_of=copy_of,
        config_id=spec.config_id,
        task_id=task_id,
        at_once=at_once,
        # objects, as lists within a list would be an array of two dimensions
        own_commands=[{"lines": command} for command in own_commands],
        actor_id=caller.actor_id,
        inputs=[
            {
                "position": place,
                "name": each.name,
                "references": [without_credentials(text) for text in each.references],
                "filename": each.filename,
                "keep_directories": each.keep_directories,
                "optional": each.optional,
            }
            for place, each in enumerate(spec.inputs)
        ],
        input_positions=[file.input_position for file in files],
        positions=positions,
        references=[file.reference for file in files],
        datum_ids=[file.datum_id for file in files],
        aliases=[file.alias for file in files],
        alias_ids=[file.alias_id for file in files],
        alias_versions=[file.alias_version for file in files],
        filenames=[file.filename for file in files],
        secret_urls=[file.secret_url for file in files],
    )
    input_position, position, datum_id, status, purged_at, *values = rows[0]
    if input_position is not None:
        places = zip(files, positions, strict=True)
        wanted = next(file for file, at in places if (file.input_position, at) == (input_position, position))
        reference = Reference(wanted.reference, wanted.datum_id, wanted.alias)
        fault = datum_fault(reference, datum_id, status, purged_at)
        if fault is not None:
            raise type(fault)(f"Input {spec.inputs[input_position].name!r}: {fault.message}", **fault.details)
    if values[0] is None:
        raise NotFoundError(f"There is no project {project_id}.")
    return [Execution(*tuple(row)[5:]) for row in rows]


def _positions(files: Sequence[_WantedFile]) -> list[int]:
    """Each file's place within its input."""
    counts: dict[int, int] = {}
    positions = []
    for file in files:
        positions.append(counts.get(file.input_position, 0))
        counts[file.input_position] = positions[-1] + 1
    return positions


async def _adopt(
    connection: Connection, caller: Caller, project_id: UUID, found: Mapping[str, list[Found]]
) -> dict[str, list[Adopted]]:
    """The data of the objects that each reference to a store means."""
    adopted = await adopt(connection, caller, project_id, [each for objects in found.values() for each in objects])
    return {text: [adopted[each.address] for each in objects] for text, objects in found.items()}


async def _warn_of_changes(
    connection: Connection, executions: Sequence[Execution], adopted: Mapping[str, list[Adopted]]
) -> None:
    """Says which objects are others than when the project last used them."""
    changed = [(text, each.datum, each.previous) for text, files in adopted.items() for each in files if each.previous]
    if not changed:
        return
    await _WARN.fetch(
        connection,
        project_id=executions[0].project_id,
        execution_ids=[execution.id for execution in executions],
        messages=[
            f"{datum.object_key} is another object than when it was last used: it was datum {previous.id}, with"
            f" {previous.size} bytes, and is datum {datum.id} now, with {datum.size} bytes."
            for _, datum, previous in changed
            if previous
        ],
        references=[text for text, _, _ in changed],
        files=[datum.object_key for _, datum, _ in changed],
        befores=[_hashes(previous) for _, _, previous in changed if previous],
        afters=[_hashes(datum) for _, datum, _ in changed],
    )


def _hashes(datum: Datum) -> dict[str, Any]:
    return {"md5": datum.md5, "sha1": datum.sha1, "sha256": datum.sha256, "evidence": datum.checksum_evidence}


def store_references(inputs: Sequence[InputSpec | ExecutionInput]) -> list[Reference]:
    """Those of the inputs' references that only a store can resolve."""
    parsed = [parse_reference(text) for spec in inputs for text in spec.references if "://" in text]
    return [reference for reference in parsed if reference.address is not None]


def web_references(inputs: Sequence[InputSpec]) -> list[Reference]:
    """Those of the inputs' references that are addresses of HTTP(S)."""
    parsed = [parse_reference(text) for spec in inputs for text in spec.references if text.startswith("http")]
    return [reference for reference in parsed if reference.url is not None]


def _parse_inputs(
    inputs: Sequence[tuple[int, InputSpec]],
    adopted: Mapping[str, list[Adopted]],
    secrets: SecretBox,
    secret_urls: Mapping[str, str] = MappingProxyType({}),
) -> list[_WantedFile]:
    """`secret_urls` has what is known, encrypted, of addresses whose credentials read ***."""
    files = []
    for place, spec in inputs:
        for text in spec.references:
            try:
                reference = parse_reference(text)
            except BadUserInputError as error:
                raise BadUserInputError(f"Input {spec.name!r}: {error.message}") from error
            if reference.url is not None:
                secret_url = None
                if reference.url != reference.text:
                    secret_url = secrets.encrypt(reference.url)
                elif f"://{MASK}@" in reference.text:
                    if reference.text not in secret_urls:
                        raise BadUserInputError(f"Input {spec.name!r}: {reference.text} lacks its credentials.")
                    secret_url = secret_urls[reference.text]
                files.append(_WantedFile(place, reference.text, None, filename=spec.filename, secret_url=secret_url))
            elif reference.address is None:
                files.append(
                    _WantedFile(place, text, reference.datum_id, alias=reference.alias, filename=spec.filename)
                )
            elif spec.filename is not None and len(adopted[text]) > 1:
                raise BadUserInputError(f"Input {spec.name!r}: {text} is several files, so filename cannot name them.")
            else:
                files += [_WantedFile(place, text, each.datum.id, filename=spec.filename) for each in adopted[text]]
    return files


def _check(spec: ExecutionSpec, files: Sequence[_WantedFile]) -> None:
    if not spec.command or not all(line.strip() for line in spec.command):
        raise BadUserInputError("command is empty; expected at least one line, such as 'python predict.py'.")
    for line in spec.command:
        require_text("command", line, longest=65_536)
    for name, text in (("title", spec.title), ("step", spec.step), ("image", spec.image)):
        if text is not None:
            require_text(name, text, longest=1024)
    if spec.time_limit is not None and spec.time_limit < 1:
        raise BadUserInputError(f"timeLimit is {spec.time_limit}; expected seconds from 1.")
    names = [each.name for each in spec.inputs]
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise BadUserInputError(f"inputs names one more than once: {', '.join(sorted(twice))}.")
    if len(names) > _MOST_INPUTS:
        raise BadUserInputError(f"inputs has {len(names)} entries; expected at most {_MOST_INPUTS}.")
    for each in spec.inputs:
        require_file_name("an input's name", each.name)
        if not each.references and not each.optional:
            raise BadUserInputError(f"Input {each.name!r} has no references; give one, or make it optional.")
        if each.filename is not None:
            require_file_name("filename", each.filename)
            if len(each.references) > 1:
                raise BadUserInputError(f"Input {each.name!r} has several references, so filename cannot name them.")
    if len(files) > MOST_FILES:
        raise BadUserInputError(f"The inputs have {len(files)} files; expected at most {MOST_FILES}.")
    variables = [each.name for each in spec.environment]
    if len(set(variables)) < len(variables):
        raise BadUserInputError("environment names a variable more than once.")
    for name in variables:
        if not name or "=" in name or "\0" in name:
            raise BadUserInputError(f"{name!r} is no name for an environment variable.")
