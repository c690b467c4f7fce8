"""Conditions that several listings share: each filter's name with its SQL, whose parameters carry the same name."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, Column, ColumnElement, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import DateTime, Text, Uuid

Conditions = dict[str, ColumnElement[bool]]


def equal(name: str, column: Column[Any]) -> Conditions:
    return {name: column == bindparam(name, type_=column.type)}


def any_of(name: str, column: Column[Any]) -> Conditions:
    return {name: column == bindparam(name, type_=ARRAY(column.type)).any_()}


def text_filter(name: str, column: Column[Any]) -> Conditions:
    """`eq`, `in`, and (as LIKE patterns, already escaped) `contains` and `starts_with`."""
    pattern = bindparam(f"{name}_contains", type_=Text)
    prefix = bindparam(f"{name}_starts_with", type_=Text)
    return {
        f"{name}_eq": column == bindparam(f"{name}_eq", type_=Text),
        f"{name}_in": column == bindparam(f"{name}_in", type_=ARRAY(Text)).any_(),
        f"{name}_contains": column.like(pattern),
        f"{name}_starts_with": column.like(prefix),
    }


def moment_filter(name: str, column: Column[Any]) -> Conditions:
    return {
        f"{name}_gte": column >= bindparam(f"{name}_gte", type_=DateTime(timezone=True)),
        f"{name}_lt": column < bindparam(f"{name}_lt", type_=DateTime(timezone=True)),
    }


def contains_all(name: str, column: Column[Any]) -> Conditions:
    return {name: column.op("@>", is_comparison=True)(bindparam(name, type_=ARRAY(Text)))}


def overlaps(name: str, column: Column[Any]) -> Conditions:
    return {name: column.op("&&", is_comparison=True)(bindparam(name, type_=ARRAY(Text)))}


def parameter(name: str, type_: Any) -> BindParameter[Any]:
    return bindparam(name, type_=type_)


def identity(name: str) -> BindParameter[Any]:
    return parameter(name, Uuid)


def like_pattern(text: str) -> str:
    """`text` with LIKE's own signs taken literally."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
