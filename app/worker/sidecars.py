"""Sidecars: what an execution says of its outputs, in `<file>.metadata.json` or lines of `valohai.metadata.jsonl`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

_SUFFIX = ".metadata.json"
_LINES = "valohai.metadata.jsonl"
_OWN = "valohai."
_LARGEST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Description:
    """What is said of one file."""

    alias: str | None = None
    tags: list[str] = field(default_factory=list)
    properties: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a sidecar; the file that it speaks of is kept all the same."""

    code: str
    message: str
    file: str
    key: str | None = None


@dataclass(slots=True)
class Sidecars:
    """The outputs of a folder by their names, sidecars left out, each with what is said of it."""

    outputs: dict[str, Description] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def read_sidecars(folder: Path, open_file: Callable[[str], BinaryIO]) -> Sidecars:
    """Finds the outputs below a folder and what is said of them, opening sidecars by `open_file`. Blocking.

    Links are no outputs: the command may not be allowed to read what the worker would find behind them.
    """
    found = Sidecars()
    names = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found.faults.append(Fault("SIDECAR_INVALID", f"{name}: it is a link, which is not followed or kept", name))
        elif path.is_file():
            names.append(name)
    said: dict[str, list[tuple[str, Any]]] = {}
    sidecars = {name for name in names if name.endswith(_SUFFIX)} | ({_LINES} & set(names))
    found.outputs = {name: Description() for name in names if name not in sidecars}
    for sidecar in sorted(sidecars):
        try:
            with open_file(sidecar) as file:
                content = file.read(_LARGEST)
        except OSError as error:
            _invalid(found, sidecar, f"it cannot be read: {error.strerror}")
            continue
        if len(content) == _LARGEST:
            _invalid(found, sidecar, f"it has {_LARGEST} bytes or more, which is too much for a sidecar")
        elif sidecar == _LINES:
            for number, line in enumerate(content.splitlines(), 1):
                if line.strip():
                    _read_line(found, said, f"{sidecar}, line {number}", line)
        else:
            said.setdefault(sidecar.removesuffix(_SUFFIX), []).append((sidecar, content))
    for name, sources in said.items():
        if name not in found.outputs:
            _invalid(found, sources[0][0], f"there is no output {name!r} that it could speak of")
        elif len(sources) > 1:
            _invalid(
                found, name, f"it is described more than once: by {' and by '.join(where for where, _ in sources)}"
            )
        else:
            where, content = sources[0]
            found.outputs[name] = _describe(found, where, content)
    claimed = Counter(each.alias for each in found.outputs.values() if each.alias is not None)
    for name, description in found.outputs.items():
        if description.alias is not None and claimed[description.alias] > 1:
            others = f"{claimed[description.alias]} outputs claim the alias {description.alias!r}, so none gets it"
            _invalid(found, name, others, "valohai.alias")
            found.outputs[name] = replace(description, alias=None)
    return found


def _read_line(found: Sidecars, said: dict[str, list[tuple[str, Any]]], where: str, line: bytes) -> None:
    entry = _parse(found, where, line)
    if entry is None:
        return
    if not isinstance(entry, dict) or not isinstance(entry.get("file"), str) or "metadata" not in entry:
        _invalid(found, where, 'expected {"file": "…", "metadata": {…}}')
        return
    said.setdefault(entry["file"], []).append((where, entry["metadata"]))


def _parse(found: Sidecars, where: str, content: bytes) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(content, parse_constant=refuse)
    except ValueError as error:
        _invalid(found, where, f"it is no JSON: {error}")
        return None


def _describe(found: Sidecars, where: str, content: Any) -> Description:
    metadata = _parse(found, where, content) if isinstance(content, bytes) else content
    if metadata is None:
        return Description()
    if not isinstance(metadata, Mapping):
        _invalid(found, where, "it is no JSON object")
        return Description()
    alias, tags, properties = None, list[str](), {}
    for key, value in metadata.items():
        if key == "valohai.alias":
            if isinstance(value, str):
                alias = value
            else:
                _invalid(found, where, f"it is {value!r}; expected one name", key)
        elif key == "valohai.tags":
            if isinstance(value, list) and all(isinstance(tag, str) for tag in value):
                tags = value
            else:
                _invalid(found, where, f"it is {value!r}; expected a list of texts", key)
        else:
            if key.startswith(_OWN):
                message = f"{where}: {key} means nothing here; it is kept as a property"
                found.faults.append(Fault("SIDECAR_UNKNOWN_KEY", message, where, key))
            properties[key] = value
    return Description(alias, tags, properties)


def _invalid(found: Sidecars, where: str, fault: str, key: str | None = None) -> None:
    message = f"{where}: {key}: {fault}" if key else f"{where}: {fault}"
    found.faults.append(Fault("SIDECAR_INVALID", message, where, key))
