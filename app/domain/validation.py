"""What names, tags and properties may be; each refusal names the field, what was wrong and what would be right."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson

from app.errors import BadUserInputError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ID = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

LONGEST_FILE_NAME = 1024
LONGEST_REASON = 4000
_MOST_TAGS = 100
_LONGEST_TAG = 128
_MOST_PROPERTY_BYTES = 64 * 1024
_DEEPEST_PROPERTY = 32


def is_id(text: str) -> bool:
    """32 hex digits, or 8-4-4-4-12 of them. (UUID() accepts more: braces, urn:uuid:, hyphens anywhere.)"""
    return _ID.fullmatch(text) is not None


def require_name(field: str, name: str) -> str:
    """An alias's name or a project's slug."""
    if not _NAME.fullmatch(name) or is_id(name):
        raise BadUserInputError(
            f"{field} is {name!r}; expected 1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit, and"
            " not the form of an id."
        )
    return name


def require_text(field: str, text: str, *, longest: int) -> str:
    if not text.strip() or len(text) > longest:
        raise BadUserInputError(f"{field} has {len(text)} characters; expected 1 to {longest}, not only spaces.")
    if not text.isprintable() and any(ord(character) < 32 for character in text.replace("\n", "").replace("\t", "")):
        raise BadUserInputError(f"{field} contains control characters.")
    return text


def require_reason(reason: str | None) -> str | None:
    if reason is not None and len(reason) > LONGEST_REASON:
        raise BadUserInputError(f"reason has {len(reason)} characters; expected at most {LONGEST_REASON}.")
    return reason


def require_file_name(field: str, name: str) -> str:
    """A file's name; folders in it are parted by '/'."""
    require_text(field, name, longest=LONGEST_FILE_NAME)
    if "\n" in name or "\t" in name or "\\" in name or any(part in {"", ".", ".."} for part in name.split("/")):
        raise BadUserInputError(
            f"{field} is {name!r}; expected a file name, with folders parted by single '/', none of them '.' or '..'."
        )
    return name


def require_tags(field: str, tags: Sequence[str]) -> list[str]:
    """Each tag once, in the order given."""
    for tag in tags:
        require_text(f"{field}: {tag[:40]!r}", tag, longest=_LONGEST_TAG)
    unique = list(dict.fromkeys(tags))
    if len(unique) > _MOST_TAGS:
        raise BadUserInputError(f"{field} has {len(unique)} tags; expected at most {_MOST_TAGS}.")
    return unique


def require_object(field: str, value: object) -> dict[str, Any]:
    """A JSON object of limited size and depth."""
    if not isinstance(value, dict):
        raise BadUserInputError(f'{field} is not a JSON object, such as {{"accuracy": 0.93}}.')
    if _depth(value, _DEEPEST_PROPERTY) > _DEEPEST_PROPERTY:
        raise BadUserInputError(f"{field} is nested deeper than {_DEEPEST_PROPERTY} levels.")
    try:
        size = len(orjson.dumps(value))
    except TypeError as error:
        raise BadUserInputError(f"{field} cannot be kept as JSON: {error}.") from error
    if size > _MOST_PROPERTY_BYTES:
        raise BadUserInputError(f"{field} takes {size} bytes as JSON; expected at most {_MOST_PROPERTY_BYTES}.")
    return value


def _depth(value: object, deepest: int) -> int:
    """How deeply a JSON value is nested, counting no further than just past `deepest`."""
    level: list[object] = [value]
    depth = 0
    while level and depth <= deepest:
        depth += 1
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
            if isinstance(child, dict | list)
        ]
    return depth
