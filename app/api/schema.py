"""The schema as a whole. `python -m app.api.schema` prints it."""

from __future__ import annotations

import sys
from functools import partial

import strawberry
import structlog
from graphql import GraphQLError
from strawberry.extensions import MaskErrors
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from app.api.limits import DocumentGuard, Documents
from app.api.mutations import Mutation
from app.api.queries import Query
from app.api.scalars import SCALARS
from app.api.subscriptions import Subscription
from app.errors import AppError
from app.settings import DocumentLimits

log = structlog.get_logger("waymark.graphql")


def is_unexpected(error: GraphQLError) -> bool:
    """Whether an error is a fault of ours. Syntax, validation and coercion errors have no other error behind them."""
    return error.original_error is not None and not isinstance(error.original_error, AppError | GraphQLError)


class _Mask(MaskErrors):
    """What is unexpected leaves the server as INTERNAL with the request's id, under which it was logged whole."""

    def __init__(self) -> None:
        super().__init__(should_mask_error=is_unexpected)

    def anonymise_error(self, error: GraphQLError) -> GraphQLError:
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        return GraphQLError(
            f"Something went wrong on the server. Its log says more under request {request_id}.",
            nodes=error.nodes,
            path=error.path,
            extensions={"code": "INTERNAL", "requestId": request_id},
        )


class _Schema(strawberry.Schema):
    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        for error in errors:
            if is_unexpected(error):
                log.error("unexpected error", path=error.path, exc_info=error.original_error)


def make_schema(limits: DocumentLimits) -> strawberry.Schema:
    return _Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        config=StrawberryConfig(scalar_map=SCALARS, batching_config={"max_operations": limits.max_batch}),
        extensions=[partial(DocumentGuard, limits), _Mask],
    )


def documents_of(schema: strawberry.Schema, limits: DocumentLimits) -> Documents:
    return Documents(schema._schema, limits)


if __name__ == "__main__":
    sys.stdout.write(make_schema(DocumentLimits()).as_str() + "\n")
