"""The schema: printed as it is, described throughout."""

from __future__ import annotations

from pathlib import Path

from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLInterfaceType, GraphQLObjectType, build_schema

from app.api.schema import make_schema
from app.settings import DocumentLimits

_FILE = Path(__file__).parents[2] / "schema.graphql"


def test_schema_graphql_is_what_the_code_has() -> None:
    assert _FILE.read_text() == make_schema(DocumentLimits()).as_str() + "\n", "run `make schema`"


def test_every_type_field_argument_and_enum_value_has_a_description() -> None:
    bare = []
    for name, kind in build_schema(_FILE.read_text()).type_map.items():
        if name.startswith("__") or name in ("String", "Int", "Float", "Boolean", "ID"):
            continue
        if not kind.description:
            bare.append(name)
        if isinstance(kind, GraphQLEnumType):
            bare += [f"{name}.{value}" for value, each in kind.values.items() if not each.description]
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            for field, each in kind.fields.items():
                if not each.description:
                    bare.append(f"{name}.{field}")
                for argument, one in getattr(each, "args", {}).items():
                    # a mutation's one input is described by its type
                    if not one.description and argument != "input":
                        bare.append(f"{name}.{field}({argument})")
    assert bare == []


def test_no_argument_has_null_as_its_default() -> None:
    assert "= null" not in _FILE.read_text()
