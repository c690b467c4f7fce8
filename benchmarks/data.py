"""A realistic database, whose ids and references follow from numbers: see `identity` and `PROJECTS`."""

from __future__ import annotations

from uuid import UUID

import asyncpg

PROJECTS = 10
ALIASES = 5_000
VERSIONS = 100
UPLOADS = 50_000
EXECUTIONS = 50_000
OUTPUTS = 3
#: Numbers come in blocks of one project: 1 to 500 belong to the first, and so on round.
BLOCK = 500
#: An execution uses an output of the one before it, but for every twelfth.
CHAIN = 12

KINDS = {"project": 1, "datum": 2, "alias": 3, "execution": 4, "input": 5}


def identity(kind: str, number: int) -> UUID:
    return UUID(f"0000000{KINDS[kind]}-0000-7000-8000-{number:012d}")


def _sql(kind: str, number: str) -> str:
    return f"('0000000{KINDS[kind]}-0000-7000-8000-' || lpad(({number})::text, 12, '0'))::uuid"


_PROJECT = _sql("project", f"(n - 1) / {BLOCK} % {PROJECTS} + 1")

_FILL = f"""
    SET session_replication_role = replica;

    INSERT INTO project (id, slug, name, last_execution_number)
    SELECT {_sql("project", "n")}, 'project-' || n, 'Project ' || n, {EXECUTIONS} FROM generate_series(1, {PROJECTS}) n;

    INSERT INTO datum (id, project_id, store_id, object_key, name, size, md5, sha1, sha256, checksum_evidence, origin,
        status, tags, properties, produced_by, created_by)
    SELECT {_sql("datum", "n")}, {_PROJECT}, data_store.id, 'key-' || n, 'file-' || n || '.parquet', n, md5(n::text),
        md5(n::text) || '00000000', md5(n::text) || md5(n::text), 'VERIFIED',
        CASE WHEN n <= {UPLOADS} THEN 'UPLOAD' ELSE 'EXECUTION' END, 'AVAILABLE', ARRAY['tag-' || n % 50],
        jsonb_build_object('accuracy', n % 100),
        CASE WHEN n > {UPLOADS} THEN {_sql("execution", f"(n - 1) % {EXECUTIONS} + 1")} END, actor.id
    FROM generate_series(1, {UPLOADS + OUTPUTS * EXECUTIONS}) AS n, data_store, actor;

    INSERT INTO alias (id, project_id, name, datum_id, version)
    SELECT {_sql("alias", "n")}, {_PROJECT}, 'alias-' || n, {_sql("datum", "n")}, {VERSIONS}
    FROM generate_series(1, {ALIASES}) AS n;

    INSERT INTO alias_history
        (project_id, alias_id, version, kind, at, from_datum_id, to_datum_id, actor_id, via, reason, change_set_id)
    SELECT {_PROJECT}, {_sql("alias", "n")}, v, CASE v WHEN 1 THEN 'CREATED' ELSE 'MOVED' END,
        clock_timestamp() - interval '1 minute' * (200 - v),
        CASE WHEN v > 1 THEN {_sql("datum", f"n + {ALIASES} * (({VERSIONS} - v + 1) % 9)")} END,
        {_sql("datum", f"n + {ALIASES} * (({VERSIONS} - v) % 9)")}, actor.id, 'API', 'because', uuidv7()
    FROM generate_series(1, {ALIASES}) AS n, generate_series(1, {VERSIONS}) AS v, actor;

    INSERT INTO execution (id, project_id, number, title, step, command, parameters, status, created_by)
    SELECT {_sql("execution", "n")}, {_PROJECT}, n, 'Run ' || n, 'train', '{{python train.py}}',
        jsonb_build_object('lr', 0.1, 'seed', n), 'COMPLETE', actor.id
    FROM generate_series(1, {EXECUTIONS}) AS n, actor;

    INSERT INTO execution_input (id, project_id, execution_id, position, name, "references", keep_directories, optional)
    SELECT {_sql("input", "n * 4 + p")}, {_PROJECT}, {_sql("execution", "n")}, p, 'input-' || p, '{{}}', 'NONE', false
    FROM generate_series(1, {EXECUTIONS}) AS n, generate_series(0, 3) AS p;

    INSERT INTO execution_input_file
        (project_id, execution_id, input_id, position, reference, datum_id, alias_id, alias_version)
    SELECT {_PROJECT}, {_sql("execution", "n")}, {_sql("input", "n * 4 + p")}, 0,
        CASE WHEN p < 2 THEN 'datum://alias-' || a ELSE 'datum://' || {_sql("datum", "n")} END,
        CASE
            WHEN p < 2 THEN {_sql("datum", "a")}
            WHEN p = 3 AND n % {BLOCK} % {CHAIN} <> 1 THEN {_sql("datum", f"{UPLOADS} + n - 1")}
            ELSE {_sql("datum", "n")}
        END,
        CASE WHEN p < 2 THEN {_sql("alias", "a")} END, CASE WHEN p < 2 THEN {VERSIONS} END
    FROM generate_series(1, {EXECUTIONS}) AS n, generate_series(0, 3) AS p,
        LATERAL (SELECT (n - 1) % {ALIASES} + 1 + CASE WHEN p = 1 AND n % {BLOCK} <> 0 THEN 1 ELSE 0 END AS a) AS which;

    SET session_replication_role = origin;
"""


async def fill(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(_FILL)
    await connection.execute("VACUUM ANALYZE")
    await connection.execute("CHECKPOINT")
    await connection.close()
