"""Mounts: folders of this machine that a step asks for. What is on them is not versioned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class MountRefusedError(Exception):
    """A mount that this worker does not offer; the message says why."""


@dataclass(frozen=True, slots=True)
class HostMount:
    """A folder or file of this machine."""

    source: Path
    #: Where the command expects it.
    destination: str
    read_only: bool


def allowed_mount(mount: Mapping[str, Any], allowed: Sequence[Path]) -> HostMount:
    """The mount, if its source is, or lies below, a path that the operator allows, links resolved. Blocking."""
    source = Path(mount["source"])
    if mount["type"]:
        raise MountRefusedError(f"this worker offers paths of its machine, and no {mount['type']}")
    if not source.is_absolute() or not mount["destination"].startswith("/"):
        raise MountRefusedError("expected absolute paths as source and destination")
    resolved = source.resolve()
    if not any(resolved.is_relative_to(root.resolve()) for root in allowed):
        raise MountRefusedError("the worker's operator has not allowed it (--allow-mount)")
    if not resolved.exists():
        raise MountRefusedError("there is no such path on the worker's machine")
    return HostMount(resolved, mount["destination"], mount["readOnly"])
