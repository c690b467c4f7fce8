"""The schema as a whole. `python -m app.api.schema` prints it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from inspect import isawaitable
from typing import Any, cast

import strawberry
import structlog
from graphql import GraphQLError, execute
from strawberry.exceptions import MissingQueryError
from strawberry.execution.is_awaitable import optimized_is_awaitable
from strawberry.extensions import MaskErrors
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.graphql import OperationType

from app.api.limits import DocumentGuard, Documents, Study
from app.api.mutations import Mutation
from app.api.queries import Query
from app.api.resolvers import resolve_straight
from app.api.scalars import SCALARS
from app.api.subscriptions import Subscription
from app.errors import AppError
from app.settings import DocumentLimits

log = structlog.get_logger("waymark.graphql")


def is_unexpected(error: GraphQLError) -> bool:
    """Whether an error is a fault of ours. Syntax, validation and coercion errors have no other error behind them."""
    return error.original_error is not None and not isinstance(error.original_error, AppError | GraphQLError)


def _public(error: GraphQLError) -> GraphQLError:
    """What is unexpected leaves the server as INTERNAL with the request's id, under which it is logged whole."""
    if not is_unexpected(error):
        return error
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    return GraphQLError(
        f"Something went wrong on the server. Its log says more under request {request_id}.",
        nodes=error.nodes,
        path=error.path,
        extensions={"code": "INTERNAL", "requestId": request_id},
    )


class _Mask(MaskErrors):
    """The same for streams."""

    def __init__(self) -> None:
        super().__init__(should_mask_error=is_unexpected)

    def anonymise_error(self, error: GraphQLError) -> GraphQLError:
        return _public(error)


class Schema(strawberry.Schema):
    """Strawberry's schema, which goes straight to the executor with a document that has been studied already.

    Strawberry's own way there costs as much as a short query. Streams still take it, with the extensions.
    """

    def __init__(self, limits: DocumentLimits, **options: Any) -> None:
        super().__init__(extensions=[DocumentGuard, _Mask], **options)
        resolve_straight(self._schema, self.config)
        self.documents = Documents(self._schema, limits)

    async def execute(
        self,
        query: str | None,
        variable_values: dict[str, Any] | None = None,
        context_value: Any = None,
        root_value: Any = None,
        operation_name: str | None = None,
        allowed_operation_types: Iterable[OperationType] | None = None,
        operation_extensions: dict[str, Any] | None = None,
    ) -> ExecutionResult:
        study: Study = context_value.study
        if faults := study.faults_of(operation_name, variable_values or {}):
            return ExecutionResult(data=None, errors=faults)
        if study.document is None:
            raise MissingQueryError
        result = execute(
            self._schema,
            study.document,
            context_value=context_value,
            variable_values=variable_values,
            operation_name=operation_name,
            is_awaitable=cast(Any, optimized_is_awaitable),
        )
        if isawaitable(result):
            result = await result
        if not result.errors:
            return ExecutionResult(data=result.data, errors=None)
        self.process_errors(result.errors)
        return ExecutionResult(data=result.data, errors=[_public(error) for error in result.errors])

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        for error in errors:
            if is_unexpected(error):
                log.error("unexpected error", path=error.path, exc_info=error.original_error)


def make_schema(limits: DocumentLimits) -> Schema:
    return Schema(
        limits,
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        config=StrawberryConfig(
            scalar_map=SCALARS,
            batching_config={"max_operations": limits.max_batch},
        ),
    )


if __name__ == "__main__":
    sys.stdout.write(make_schema(DocumentLimits()).as_str() + "\n")
