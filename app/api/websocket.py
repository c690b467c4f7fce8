"""GraphQL over WebSocket: graphql-transport-ws, with a token in connection_init, every operation on its own."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
from graphql import GraphQLError, OperationType
from starlette.datastructures import Headers
from starlette.websockets import WebSocket, WebSocketState
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler, Operation

from app.errors import AppError, BadUserInputError

log = structlog.get_logger("waymark.websocket")

Item = TypeVar("Item")


@dataclass(slots=True)
class Handshake:
    """A WebSocket connection: what stands in for a context until an operation has its own."""

    websocket: WebSocket
    #: The payload of connection_init.
    connection_params: dict[str, Any] = field(default_factory=dict)

    @property
    def headers(self) -> Headers:
        """The connection's headers, and over them what connection_init gave, as browsers can set no headers."""
        given = {name: value for name, value in self.connection_params.items() if isinstance(value, str)}
        return Headers({**self.websocket.headers, **{name.lower(): value for name, value in given.items()}})


class WebSocketAdapter(ASGIWebSocketAdapter):
    """Sends text, and gives up on a client that takes nothing in."""

    def __init__(self, view: Any, request: WebSocket, response: WebSocket) -> None:
        super().__init__(view, request, response)
        self._patience: int = view.stream_timeout
        self._given_up = asyncio.Event()

    def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncGenerator[object, None]:
        return until(self._given_up, super().iter_json(ignore_parsing_errors=ignore_parsing_errors))

    async def send_json(self, message: Mapping[str, object]) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self.ws.send_text(self.view.encode_json_string(message))
        except TimeoutError as error:
            log.warning("a client took nothing in and was cut off", seconds=self._patience)
            self._given_up.set()
            raise WebSocketDisconnected from error
        except OSError as error:
            raise WebSocketDisconnected from error

    async def close(self, code: int, reason: str) -> None:
        if self.ws.application_state != WebSocketState.DISCONNECTED:
            await super().close(code, reason)


class TransportHandler(BaseGraphQLTransportWSHandler[Any, None]):
    """Runs each operation as a request of its own would: authenticated, with loaders of its own, within its time."""

    view: Any

    async def run_operation(self, operation: Operation[Any, None]) -> None:
        handler = copy.copy(self)
        try:
            context = await self.view.open_context(self.context)
            if not isinstance(operation.query, str):
                raise BadUserInputError("payload.query is no text; expected a GraphQL document.")
            study = await self.view.documents.study(operation.query)
            handler.context = context.of(study)
            query = study.kind(operation.operation_name) is OperationType.QUERY
            async with asyncio.timeout(self.view.query_timeout if query else None):
                await super(TransportHandler, handler).run_operation(operation)
        except WebSocketDisconnected:
            return
        except AppError as error:
            await self._fail(operation, error)
        except TimeoutError:
            await self._fail(operation, self.view.too_late())

    async def _fail(self, operation: Operation[Any, None], error: AppError) -> None:
        await operation.send_initial_errors([GraphQLError(error.message, extensions=dict(error.extensions))])


async def until(end: asyncio.Event, items: AsyncIterator[Item]) -> AsyncGenerator[Item, None]:
    """The items, until there are no more or `end` is set."""
    ended = asyncio.ensure_future(end.wait())
    following: asyncio.Future[Item] | None = None
    try:
        while True:
            following = asyncio.ensure_future(anext(items))
            await asyncio.wait({following, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                return
            try:
                item = following.result()
            except StopAsyncIteration:
                return
            yield item
    finally:
        ended.cancel()
        if following is not None and not following.done():
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        if isinstance(items, AsyncGenerator):
            await items.aclose()
