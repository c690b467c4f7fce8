"""GraphQL over HTTP: authentication, JSON in and out, and an id for every request."""

from __future__ import annotations

import asyncio
import html
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import orjson
import structlog
from cross_web import AsyncHTTPRequestAdapter
from cross_web import HTTPException as ViewError
from graphql import GraphQLError, OperationType
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry import UNSET
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.http.streaming import SSETransport
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult

from app.api.context import Context
from app.api.limits import NOTHING
from app.api.schema import make_schema
from app.api.services import Services
from app.api.sessions import authenticated
from app.api.websocket import Handshake, TransportHandler, WebSocketAdapter, until
from app.domain.transactions import reading
from app.errors import (
    AppError,
    ForbiddenError,
    LimitExceededError,
    StoreUnavailableError,
    UnauthenticatedError,
)
from app.settings import Settings

log = structlog.get_logger("waymark.http")


_JSON = "application/json"
_GRAPHQL_JSON = "application/graphql-response+json"
_EVENT_STREAM = "text/event-stream"
_MEMBERS: tuple[tuple[str, type, str], ...] = (
    ("query", str, "text; expected a GraphQL document"),
    ("variables", dict, "JSON object"),
    ("operationName", str, "text; expected the name of an operation of the query"),
    ("extensions", dict, "JSON object"),
)
_HANDSHAKE = timedelta(seconds=10)

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Waymark: the GraphQL endpoint</title>
<style>body { font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem;
color-scheme: light dark }
pre { overflow-x: auto; padding: 1rem; border: 1px solid #8888; border-radius: .5rem }</style>
<h1>This is Waymark's GraphQL endpoint</h1>
<p>Send queries here by POST, as JSON, with a token:</p>
<pre>curl -s %s/graphql \\
  -H "Authorization: Bearer $TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{"query": "{ viewer { name projects { nodes { slug } } } }"}'</pre>
<p><a href="/graphiql">GraphiQL</a> lets you write them here. Introspection tells the whole schema, with a description
of every field. On the server's own machine,
<code>waymark query '{ viewer { name } }'</code> needs no token.</p>
</html>
"""


class _EventStream(SSETransport):
    """Strawberry's server-sent events with the line ends that urql knows; the standard allows both."""

    def encode_event(self, event: str, data: str | None = None) -> str:
        return super().encode_event(event, data).replace("\r\n", "\n")

    def encode_comment(self, comment: str) -> str:
        return super().encode_comment(comment).replace("\r\n", "\n")


class GraphQLView(GraphQL["Context | Handshake", None]):
    """Strawberry's view as the GraphQL-over-HTTP specification wants it, authenticated, every failure in JSON."""

    websocket_adapter_class = WebSocketAdapter
    graphql_transport_ws_handler_class = TransportHandler
    stream_transport_classes_by_protocol = MappingProxyType({GRAPHQL_SSE_PROTOCOL: _EventStream})

    def __init__(self, settings: Settings) -> None:
        schema = make_schema(settings.document_limits)
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL),
            connection_init_wait_timeout=_HANDSHAKE,
            max_subscriptions_per_connection=settings.max_streams,
            # where a page is from matters with a session's cookie alone, and is looked at together with that
            allowed_origins=("*",),
        )
        self.documents = schema.documents
        self.query_timeout = settings.query_timeout
        self.stream_timeout = settings.stream_timeout
        self._max_body_bytes = settings.max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self.run(WebSocket(scope, receive, send))
            return
        request = Request(scope, receive=self._limited(receive))
        try:
            response = await self._respond(request)
        except ClientDisconnect:
            log.info("a client went away before its request was whole")
            return
        except ViewError as error:
            response = _view_failure(error)
        except UnauthenticatedError as error:
            response = _failure(401, error.message, error.extensions)
            response.headers["WWW-Authenticate"] = "Bearer"
        except ForbiddenError as error:
            response = _failure(403, error.message, error.extensions)
        except StoreUnavailableError as error:
            response = _failure(503, error.message, error.extensions)
            response.headers["Retry-After"] = "1"
        except _BodyTooLargeError as error:
            response = _failure(413, error.message, error.extensions)
            response.headers["Connection"] = "close"
        except AppError as error:
            response = _failure(400, error.message, error.extensions)

        async def patient_send(message: Message) -> None:
            async with asyncio.timeout(self.stream_timeout):
                await send(message)

        try:
            await response(scope, receive, patient_send)
        except (TimeoutError, ClientDisconnect):
            log.warning("a client went away or took nothing in, and was cut off", seconds=self.stream_timeout)

    def _limited(self, receive: Receive) -> Receive:
        taken = 0

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._max_body_bytes:
                raise _BodyTooLargeError(
                    f"The request's body has more than {self._max_body_bytes} bytes (WAYMARK_MAX_BODY_BYTES)."
                )
            return message

        return limited

    async def _respond(self, request: Request) -> Response:
        accept = request.headers.get("accept", "")
        if request.method == "GET" and "query" not in request.query_params and "text/html" in accept:
            page = HTMLResponse(_PAGE % html.escape(str(request.base_url).rstrip("/")))
            page.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
            return page
        if negotiate(accept) is None:
            raise ViewError(406, f"This answers in {_GRAPHQL_JSON}, {_JSON} or {_EVENT_STREAM}; Accept names none.")
        response: Response = await self.run(request)
        return response

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context | Handshake:
        return Handshake(request) if isinstance(request, WebSocket) else await self.open_context(request)

    async def open_context(self, request: Request | Handshake) -> Context:
        """The context of one operation; who sends it is found out anew each time."""
        connection = request.websocket if isinstance(request, Handshake) else request
        services: Services = connection.app.state.services
        caller = await authenticated(services, connection, request.headers)
        structlog.contextvars.bind_contextvars(actor=caller.name)
        base_url = str(connection.base_url).rstrip("/").replace("ws", "http", 1)
        return Context(services, caller, services.settings.public_url or base_url)

    async def on_ws_connect(self, context: Context | Handshake) -> Any:
        if isinstance(context, Handshake):
            try:
                await self.open_context(context)
            except StoreUnavailableError as error:
                await context.websocket.close(1013, "Try again later")
                raise ConnectionRejectionError from error
            except AppError as error:
                raise ConnectionRejectionError from error
        return UNSET

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        response = await super().get_sub_response(request)
        response.media_type = negotiate(request.headers.get("accept", ""))
        return response

    async def create_streaming_response(
        self,
        request: Request | WebSocket,
        stream: Callable[[], AsyncIterator[str]],
        sub_response: Response,
        headers: Mapping[str, str],
    ) -> Response:
        services: Services = request.app.state.services
        # cut, not completed: clients come back and go on
        return StreamingResponse(until(services.closing, stream()), headers=headers)

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> Any:
        kind = (request.content_type or "").partition(";")[0].strip().lower()
        if request.method == "POST" and kind != _JSON:
            raise ViewError(415, f"Content-Type is {kind or 'missing'}; expected {_JSON}.")
        # streamed only if that is what the client likes best: some always say that they could read a stream
        protocol: Any = (
            _EventStream.protocol if negotiate(request.headers.get("accept", "")) == _EVENT_STREAM else "http"
        )
        if request.method == "GET":
            return self._operation(self.parse_query_params(request.query_params), protocol)
        data = self.parse_json(await request.get_body())
        if isinstance(data, list):
            self._validate_batch_request(data, protocol)
            return [self._operation(each, protocol) for each in data]
        return self._operation(data, protocol)

    def _operation(self, data: Any, protocol: Any) -> GraphQLRequestData:
        """One operation as sent. (Strawberry's own reading takes every media type apart as if it were mail.)"""
        for name, kind, what in _MEMBERS:
            if not isinstance(data.get(name), kind | None):
                raise ViewError(400, f"{name} is no {what}.")
        return GraphQLRequestData(
            query=data.get("query"),
            variables=data.get("variables"),
            operation_name=data.get("operationName"),
            extensions=data.get("extensions"),
            protocol=protocol,
        )

    async def execute_operation(self, *args: Any, **kwargs: Any) -> Any:
        data: GraphQLRequestData | list[GraphQLRequestData] = kwargs["request_data"]
        if isinstance(data, GraphQLRequestData) and data.query:
            kwargs["context"] = kwargs["context"].of(await self.documents.study(data.query))
        return await super().execute_operation(*args, **kwargs)

    async def execute_single(self, *args: Any, **kwargs: Any) -> ExecutionResult:
        # a write is short, but completing an upload reads it whole: neither is cut off half way
        data: GraphQLRequestData = kwargs["request_data"]
        context: Context = kwargs["context"]
        if data.query and context.study is NOTHING:
            # the operations of a batch run side by side
            kwargs["context"] = context = context.of(await self.documents.study(data.query))
        kind = context.study.kind(data.operation_name)
        if kind is OperationType.MUTATION and kwargs["request_adapter"].method != "POST":
            raise ViewError(405, "Mutations are sent by POST.")
        if kind is OperationType.SUBSCRIPTION:
            raise ViewError(
                406, f"Subscriptions are streams: send them with Accept: {_EVENT_STREAM}, or over graphql-transport-ws."
            )
        if kind is OperationType.MUTATION:
            return await super().execute_single(*args, **kwargs)
        try:
            async with asyncio.timeout(self.query_timeout):
                return await super().execute_single(*args, **kwargs)
        except TimeoutError:
            late = self.too_late()
            error = GraphQLError(late.message, original_error=late, extensions=dict(late.extensions))
            return ExecutionResult(data=None, errors=[error])

    def too_late(self) -> LimitExceededError:
        return LimitExceededError(f"The query took more than {self.query_timeout} s (WAYMARK_QUERY_TIMEOUT).")

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        response = await super().process_result(request, result)
        if result.data is None and not any(error.path for error in result.errors or ()):
            # nothing was executed, which is told by there being no data at all
            del response["data"]
        return response

    def create_response(
        self, response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse], sub_response: Response
    ) -> Response:
        response = super().create_response(response_data, sub_response)
        response.headers["Content-Type"] = f"{sub_response.media_type}; charset=utf-8"
        if sub_response.media_type == _GRAPHQL_JSON and isinstance(response_data, dict) and "data" not in response_data:
            response.status_code = 400
        return response

    def parse_json(self, data: str | bytes) -> Any:
        parsed = super().parse_json(data)
        if not isinstance(parsed, dict | list):
            raise ViewError(400, 'Not a JSON object; expected one such as {"query": "{ viewer { name } }"}.')
        return parsed

    def _validate_batch_request(self, request_data: list[GraphQLRequestData], protocol: Any) -> None:
        if not 1 <= len(request_data) <= self.documents.limits.max_batch:
            raise LimitExceededError(
                f"The request has {len(request_data)} operations; 1 to {self.documents.limits.max_batch} are allowed"
                " (WAYMARK_MAX_BATCH)."
            )
        if not all(isinstance(each, dict) for each in request_data):
            raise ViewError(400, "The request is a list, and not all of it are JSON objects.")
        super()._validate_batch_request(request_data, protocol)

    def decode_json(self, data: str | bytes) -> object:
        return orjson.loads(data)

    def encode_json(self, data: object) -> bytes:
        return orjson.dumps(data)


@lru_cache(maxsize=256)
def negotiate(accept: str) -> str | None:
    """The media type to answer in; None if the client takes neither. What it names first wins among equals."""
    if not accept.strip():
        return _JSON
    ranges: list[tuple[float, str]] = []
    for each in accept.split(","):
        name, *parameters = [part.strip().lower() for part in each.split(";")]
        weight = next((part.removeprefix("q=") for part in parameters if part.startswith("q=")), "1")
        try:
            ranges.append((float(weight), name))
        except ValueError:
            continue
    for quality, name in sorted(ranges, key=lambda each: -each[0]):
        if quality > 0 and name in (_JSON, _GRAPHQL_JSON, _EVENT_STREAM):
            return name
        if quality > 0 and name in ("*/*", "application/*"):
            return _JSON
    return None


class _BodyTooLargeError(LimitExceededError):
    pass


def _view_failure(error: ViewError) -> Response:
    response = _failure(error.status_code, error.reason)
    if error.status_code == 405:
        response.headers["Allow"] = "POST" if error.reason.startswith("Mutations") else "GET, POST"
    return response


def _failure(status: int, message: str, extensions: Mapping[str, object] | None = None) -> Response:
    error: dict[str, Any] = {"message": message}
    if extensions:
        error["extensions"] = dict(extensions)
    return JSONResponse({"errors": [error]}, status_code=status)


def graphql_routes(settings: Settings) -> list[BaseRoute]:
    view = GraphQLView(settings)
    compressed = Middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)
    return [Route("/graphql", view, middleware=[compressed]), WebSocketRoute("/graphql", view)]


async def healthz(_: Request) -> Response:
    """Whether the process lives."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """Whether it can serve: the database answers."""
    services: Services = request.app.state.services
    try:
        async with asyncio.timeout(5), reading(services.pool) as connection:
            await connection.fetchval("SELECT 1")
    except (StoreUnavailableError, TimeoutError):
        return JSONResponse({"status": "the database does not answer"}, status_code=503)
    return JSONResponse({"status": "ok"})


HEALTH_ROUTES = [Route("/healthz", healthz), Route("/readyz", readyz)]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class RequestLog:
    """Gives each request an id (or keeps a proxy's), and logs each with its outcome and time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        began = time.perf_counter()
        status = 500 if scope["type"] == "http" else 101

        async def stamp(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("X-Frame-Options", "DENY")
                headers.setdefault("Referrer-Policy", "no-referrer")
            await send(message)

        try:
            await self._app(scope, receive, stamp)
        finally:
            milliseconds = round((time.perf_counter() - began) * 1000, 1)
            # the path alone: queries carry signatures
            # such as a worker that asks in vain, once a second
            say = log.debug if structlog.contextvars.get_contextvars().get("is_minor") else log.info
            say(
                "request",
                method=scope.get("method", "WebSocket"),
                path=scope["path"],
                status=status,
                milliseconds=milliseconds,
            )
