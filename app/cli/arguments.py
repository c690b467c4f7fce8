"""Reading NAME=VALUE options."""

from __future__ import annotations

from typing import Any

import orjson

from app.errors import BadUserInputError


def named(option: str, texts: list[str] | None) -> list[tuple[str, str]]:
    """Each option's name and value, as given."""
    parts = [text.partition("=") for text in texts or []]
    if wrong := [name for name, separator, _ in parts if not separator or not name]:
        raise BadUserInputError(f"{option} {wrong[0]!r}: expected NAME=VALUE.")
    return [(name, value) for name, _, value in parts]


def named_values(option: str, texts: list[str] | None) -> dict[str, Any]:
    """Values by name; a value that is no JSON is taken as text."""
    found: dict[str, Any] = {}
    for name, text in named(option, texts):
        try:
            found[name] = orjson.loads(text)
        except orjson.JSONDecodeError:
            found[name] = text
    return found
