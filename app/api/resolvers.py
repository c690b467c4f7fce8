"""From the executor straight to our resolvers.

Strawberry looks up, at every field and every member of every input, what is known since the schema was made: its types
and names. Here that is done once, which makes long lists and large inputs several times as fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from operator import attrgetter
from typing import Any, cast

import strawberry
from graphql import GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema
from strawberry.schema.config import StrawberryConfig
from strawberry.types.base import (
    StrawberryList,
    StrawberryMaybe,
    StrawberryObjectDefinition,
    StrawberryOptional,
    has_object_definition,
)
from strawberry.types.field import StrawberryField

Convert = Callable[[Any], Any]
Resolve = Callable[..., Any]


def resolve_straight(schema: GraphQLSchema, config: StrawberryConfig) -> None:
    """Replaces the resolvers of all object types; those of subscriptions, which are streams, stay Strawberry's."""
    converters: dict[type, Convert] = {}
    for kind in schema.type_map.values():
        for field in kind.fields.values() if isinstance(kind, GraphQLObjectType) else ():
            definition = field.extensions.get("strawberry-definition")
            if isinstance(definition, StrawberryField) and kind is not schema.subscription_type:
                field.resolve = _resolver(definition, config, converters)


def _resolver(field: StrawberryField, config: StrawberryConfig, converters: dict[type, Convert]) -> Resolve:
    if field.base_resolver is None:
        get = attrgetter(field.python_name)
        return lambda source, info: get(source)
    function = cast(Resolve, field.base_resolver.wrapped_func)
    if list(signature(function).parameters) == ["self"]:
        return lambda source, info: function(source)

    def own_info(info: GraphQLResolveInfo[Any]) -> strawberry.Info[Any, Any]:
        return strawberry.Info(_raw_info=info, _field=field)

    names = {config.name_converter.from_argument(each): each.python_name for each in field.arguments}
    convert = {
        config.name_converter.from_argument(each): _converter(each.type, config, converters) for each in field.arguments
    }
    if not names:
        return lambda source, info: function(source, own_info(info))

    def resolve(source: Any, info: GraphQLResolveInfo[Any], **values: Any) -> Any:
        arguments = {
            names[name]: value if convert[name] is None else convert[name](value) for name, value in values.items()
        }
        return function(source, own_info(info), **arguments)

    return resolve


def _converter(kind: Any, config: StrawberryConfig, converters: dict[type, Convert]) -> Any:
    """What makes an argument of what the executor read; None where that is it already, as for scalars and enums."""
    if isinstance(kind, StrawberryMaybe):
        inner = _converter(kind.of_type, config, converters)
        return lambda value: strawberry.Some(inner(value) if inner else value)
    if isinstance(kind, StrawberryOptional):
        inner = _converter(kind.of_type, config, converters)
        return inner and (lambda value: None if value is None else inner(value))
    if isinstance(kind, StrawberryList):
        inner = _converter(kind.of_type, config, converters)
        return inner and (lambda value: [inner(each) for each in value])
    if not has_object_definition(kind):
        return None
    if kind not in converters:
        converters[kind] = _object_converter(kind, kind.__strawberry_definition__, config, converters)
    return converters[kind]


def _object_converter(
    kind: type, definition: StrawberryObjectDefinition, config: StrawberryConfig, converters: dict[type, Convert]
) -> Convert:
    members = {
        config.name_converter.from_field(field): (
            field.python_name,
            _converter(field.resolve_type(type_definition=definition), config, converters),
        )
        for field in definition.fields
    }
    absent = {
        field.python_name: None
        for field in definition.fields
        if isinstance(field.resolve_type(type_definition=definition), StrawberryMaybe)
    }

    def convert(values: Mapping[str, Any]) -> Any:
        given = dict(absent)
        for name, value in values.items():
            python_name, inner = members[name]
            given[python_name] = inner(value) if inner else value
        return kind(**given)

    return convert
