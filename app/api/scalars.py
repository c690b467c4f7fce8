"""The scalars of our own, and reading ids."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, NewType
from uuid import UUID

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

from app.domain.validation import is_id
from app.errors import BadUserInputError, NotFoundError

BigInt = NewType("BigInt", int)

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def _refuse(message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": BadUserInputError.code})


def print_moment(moment: dt.datetime) -> str:
    """RFC 3339 in UTC, to the microsecond."""
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def read_moment(text: object) -> dt.datetime:
    """Reads RFC 3339; an instant without a zone is refused, as it could mean several."""
    wrong = _refuse(f"{str(text)[:60]!r} is no DateTime; expected RFC 3339 with a zone, such as 2026-03-15T12:00:00Z.")
    if not isinstance(text, str) or not _RFC_3339.fullmatch(text):
        raise wrong
    try:
        moment = dt.datetime.fromisoformat(text.upper()).astimezone(dt.UTC)
    except (ValueError, OverflowError) as error:
        raise wrong from error
    if not 1 < moment.year < 9999:
        raise wrong
    return moment


def _read_big_integer(value: object) -> int:
    wrong = _refuse(f"{str(value)[:60]!r} is no BigInt; expected a whole number of 64 bits, as a string or an integer.")
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise wrong
    try:
        number = int(value) if isinstance(value, int) or re.fullmatch(r"-?\d{1,19}", value) else None
    except ValueError as error:
        raise wrong from error
    if number is None or not -(2**63) <= number < 2**63:
        raise wrong
    return number


SCALARS: dict[object, ScalarDefinition] = {
    dt.datetime: strawberry.scalar(
        name="DateTime",
        description="An instant: RFC 3339 with a zone, printed in UTC to the microsecond.",
        serialize=print_moment,
        parse_value=read_moment,
    ),
    BigInt: strawberry.scalar(
        name="BigInt",
        description="A whole number of up to 64 bits: a string on the way out, a string or an integer on the way in.",
        serialize=str,
        parse_value=_read_big_integer,
    ),
}


def given(value: Any) -> Any:
    """What the client gave; None where it gave nothing or null."""
    return None if value is strawberry.UNSET else value


def given_object(value: Any) -> Any:
    """What the client gave for a JSON object, unchecked; an empty one where it gave nothing or null."""
    return {} if given(value) is None else value


def find_id(text: str) -> UUID | None:
    """Reads an id; None for what has not the form of one, and so cannot exist."""
    return UUID(text) if is_id(text) else None


def read_id(noun: str, text: str) -> UUID:
    """Reads an id; one of the wrong form is NOT_FOUND, exactly as one that never existed."""
    if not is_id(text):
        raise not_found(noun, text)
    return UUID(text)


def not_found(noun: str, text: object) -> NotFoundError:
    return NotFoundError(f"There is no {noun} {text}.")
