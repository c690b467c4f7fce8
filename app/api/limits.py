"""What one document may ask for. Each limit has a setting, and its error names both.

The document's shape is judged in one memoised pass before validation, some of whose rules take time that grows with the
square of the document (of its fields of one name, and of its spreads of fragments); its cost after it, as cost depends
on types and on the actual variables.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_operation_ast,
    parse,
    validate,
)
from strawberry.extensions import SchemaExtension

from app.domain.paging import DEFAULT_PAGE_SIZE
from app.errors import LimitExceededError
from app.settings import DocumentLimits

#: Characters beyond which a document is studied in a thread, as others would have to wait, and beyond which it is not
#: kept; and how many characters are kept in all. A parsed document takes some hundred times its length.
_LONG = 1_000
_LONGEST_KEPT = 16_000
_KEPT = 256_000
#: Arguments that say how many items a field has: a number, or a list with one entry for each.
_SIZES = ("first", "last", "references", "maxNodes", "parameterSets")


def _refuse(what: str, setting: str) -> GraphQLError:
    return GraphQLError(f"The document {what} (WAYMARK_{setting}).", extensions={"code": LimitExceededError.code})


class Study:
    """What is known of a document once it has been read."""

    def __init__(
        self,
        document: DocumentNode | None,
        faults: list[GraphQLError],
        schema: GraphQLSchema | None = None,
        limits: DocumentLimits | None = None,
    ) -> None:
        #: None if the document is no GraphQL at all; `faults` then has the one error.
        self.document = document
        self.faults = faults
        self._schema = schema
        self._limits = limits
        self._selected: dict[int, frozenset[str]] = {}
        self._costs: dict[str | None, int] = {}

    def faults_of(self, operation_name: str | None, variables: Mapping[str, Any]) -> list[GraphQLError]:
        """Why an operation of the document is not executed: the document's faults, or its cost with these variables."""
        if self.faults or self._schema is None or self._limits is None or self.document is None:
            return self.faults
        cost = self._costs.get(operation_name)
        if cost is None:
            judge = _Cost(self._schema, self.document, variables)
            cost = judge.of(operation_name)
            if not judge.varies:
                self._costs[operation_name] = cost
        if cost <= self._limits.max_cost:
            return []
        return [
            _refuse(
                f"may complete {cost} fields, list sizes multiplied; at most {self._limits.max_cost} are allowed: ask"
                " for smaller pages",
                "MAX_COST",
            )
        ]

    def selected(self, node: FieldNode) -> frozenset[str]:
        """The names of all fields anywhere below a field of the document, found once."""
        # by identity, as nodes compare by all that is in them
        known = self._selected.get(id(node))
        if known is None and self.document is not None:
            fragments = {
                each.name.value: each for each in self.document.definitions if isinstance(each, FragmentDefinitionNode)
            }
            known = self._selected[id(node)] = frozenset(_names_below(node, fragments))
        return known or frozenset()

    def kind(self, operation_name: str | None) -> OperationType:
        """What an operation is; one that cannot be read counts as a query."""
        operation = get_operation_ast(self.document, operation_name) if self.document else None
        return operation.operation if operation else OperationType.QUERY


def _names_below(node: FieldNode, fragments: dict[str, FragmentDefinitionNode]) -> set[str]:
    names: set[str] = set()
    waiting = [node.selection_set]
    spread: set[str] = set()
    while waiting:
        selection_set = waiting.pop()
        for each in selection_set.selections if selection_set else ():
            if isinstance(each, FragmentSpreadNode):
                if each.name.value not in spread:
                    spread.add(each.name.value)
                    waiting.append(fragments[each.name.value].selection_set)
                continue
            if isinstance(each, FieldNode):
                names.add(each.name.value)
            if isinstance(each, FieldNode | InlineFragmentNode):
                waiting.append(each.selection_set)
    return names


#: For a request that has not said what it wants; Strawberry then says so.
NOTHING = Study(None, [])


class Documents:
    """Reads documents, each once: parses, limits and validates them."""

    def __init__(self, schema: GraphQLSchema, limits: DocumentLimits) -> None:
        self.schema = schema
        self.limits = limits
        self._kept: OrderedDict[str, Study] = OrderedDict()
        self._characters = 0

    async def study(self, query: str) -> Study:
        known = self._kept.get(query)
        if known is not None:
            self._kept.move_to_end(query)
            return known
        if len(query) <= _LONG:
            study = self._study(query)
        else:
            study = await asyncio.to_thread(self._study, query)
        self._keep(query, study)
        return study

    def _study(self, query: str) -> Study:
        try:
            document = parse(query, max_tokens=self.limits.max_tokens)
        except GraphQLError as error:
            return Study(None, [error])
        fault = _Shape(document).fault(self.limits)
        return Study(document, [fault] if fault else validate(self.schema, document), self.schema, self.limits)

    def _keep(self, query: str, study: Study) -> None:
        if len(query) > _LONGEST_KEPT or query in self._kept:
            return
        self._kept[query] = study
        self._characters += len(query)
        while self._characters > _KEPT:
            forgotten, _ = self._kept.popitem(last=False)
            self._characters -= len(forgotten)


class DocumentGuard(SchemaExtension):
    """Lets Strawberry, which streams, use what the operation's context knows of its document."""

    def on_parse(self) -> Iterator[None]:
        study: Study = self.execution_context.context.study
        if study.document is None:
            raise study.faults[0]
        self.execution_context.graphql_document = study.document
        yield

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        study: Study = context.context.study
        context.pre_execution_errors = study.faults_of(context.operation_name, context.variables or {})
        yield


@dataclass
class _Shape:
    """How large and how deep a document is."""

    document: DocumentNode
    fields: int = 0
    aliases: int = 0
    spreads: int = 0
    names: Counter[str] = field(default_factory=Counter)

    def fault(self, limits: DocumentLimits) -> GraphQLError | None:
        fragments = {
            each.name.value: each for each in self.document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        depths: dict[str, int] = {}
        for fragment in fragments.values():
            self._count(fragment.selection_set)
        depth = 0
        for each in self.document.definitions:
            if isinstance(each, OperationDefinitionNode):
                self._count(each.selection_set)
                depth = max(depth, _depth(each.selection_set, fragments, depths, limits.max_depth))
        most = max(self.names.values(), default=0)
        if depth > limits.max_depth:
            return _refuse(f"is more than {limits.max_depth} fields deep", "MAX_DEPTH")
        if self.aliases > limits.max_aliases:
            return _refuse(f"has {self.aliases} aliases; at most {limits.max_aliases} are allowed", "MAX_ALIASES")
        if self.fields > limits.max_fields or most > limits.max_repeats:
            return _refuse(
                f"has {self.fields} fields, one name {most} times; at most {limits.max_fields}, and"
                f" {limits.max_repeats} of one name, are allowed",
                "MAX_FIELDS",
            )
        if self.spreads > limits.max_spreads:
            return _refuse(f"spreads fragments {self.spreads} times; at most {limits.max_spreads}", "MAX_SPREADS")
        return None

    def _count(self, selection_set: SelectionSetNode) -> None:
        for each in selection_set.selections:
            if isinstance(each, FieldNode):
                self.fields += 1
                self.aliases += each.alias is not None
                self.names[(each.alias or each.name).value] += 1
            elif isinstance(each, FragmentSpreadNode):
                self.spreads += 1
            if isinstance(each, FieldNode | InlineFragmentNode) and each.selection_set:
                self._count(each.selection_set)


def _depth(
    selection_set: SelectionSetNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    known: dict[str, int],
    enough: int,
) -> int:
    """How many fields deep a selection is, counting no further than just past `enough`; each fragment once."""
    deepest = 0
    for each in selection_set.selections:
        depth = 0
        if isinstance(each, FieldNode):
            depth = 1
            if each.selection_set and enough > 0:
                depth += _depth(each.selection_set, fragments, known, enough)
        elif isinstance(each, InlineFragmentNode):
            depth = _depth(each.selection_set, fragments, known, enough)
        elif isinstance(each, FragmentSpreadNode) and each.name.value in fragments:
            name = each.name.value
            if name not in known:
                # a fragment that contains itself is for validation to refuse
                known[name] = 0
                known[name] = _depth(fragments[name].selection_set, fragments, known, enough)
            depth = known[name]
        deepest = max(deepest, depth)
    return deepest


class _Cost:
    """How many fields an operation may complete: a page's size multiplies what is selected of its items."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any]) -> None:
        self._schema = schema
        self._document = document
        self._variables = variables
        self._fragments = {
            each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self._known: dict[str, int] = {}
        #: Whether it depends on the variables.
        self.varies = False

    def of(self, operation_name: str | None) -> int:
        for each in self._document.definitions:
            if isinstance(each, OperationDefinitionNode) and (
                operation_name is None or (each.name and each.name.value == operation_name)
            ):
                root = self._schema.get_root_type(each.operation)
                return self._of(each.selection_set, root) if root else 0
        return 0

    def _of(self, selection_set: SelectionSetNode, parent: GraphQLNamedType | None) -> int:
        total = 0
        for each in selection_set.selections:
            if isinstance(each, FieldNode):
                total += self._of_field(each, parent)
            elif isinstance(each, InlineFragmentNode):
                kind = self._schema.get_type(each.type_condition.name.value) if each.type_condition else parent
                total += self._of(each.selection_set, kind)
            elif isinstance(each, FragmentSpreadNode):
                name = each.name.value
                if name not in self._known:
                    fragment = self._fragments[name]
                    kind = self._schema.get_type(fragment.type_condition.name.value)
                    self._known[name] = self._of(fragment.selection_set, kind)
                total += self._known[name]
        return total

    def _of_field(self, node: FieldNode, parent: GraphQLNamedType | None) -> int:
        if not node.selection_set:
            return 1
        definition = (
            parent.fields.get(node.name.value) if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType) else None
        )
        if definition is None:
            # introspection, which is limited by its own rule
            return 1
        sizes = [name for name in _SIZES if name in definition.args]
        times = self._size(node, sizes, definition.args) if sizes else 1
        return 1 + times * self._of(node.selection_set, get_named_type(definition.type))

    def _size(self, node: FieldNode, names: list[str], arguments: Mapping[str, GraphQLArgument]) -> int:
        given = [self._value(each.value) for each in node.arguments or () if each.name.value in names]
        usual = [arguments[name].default_value for name in names if isinstance(arguments[name].default_value, int)]
        return max((size for size in given if size is not None), default=max(usual, default=DEFAULT_PAGE_SIZE))

    def _value(self, node: ValueNode) -> int | None:
        if isinstance(node, IntValueNode):
            return abs(int(node.value))
        if isinstance(node, ListValueNode):
            return len(node.values)
        self.varies |= isinstance(node, VariableNode)
        value = self._variables.get(node.name.value) if isinstance(node, VariableNode) else None
        if isinstance(value, list):
            return len(value)
        return abs(value) if isinstance(value, int) else None
