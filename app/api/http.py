"""GraphQL over HTTP: authentication, JSON in and out, and an id for every request."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import orjson
import structlog
from cross_web import HTTPException as ViewError
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL

from app.api.context import Context
from app.api.schema import schema
from app.api.services import Services
from app.domain.access import Caller, Via
from app.domain.tokens import authenticate
from app.domain.transactions import UNAVAILABLE, reading
from app.errors import AppError, BadUserInputError, UnauthenticatedError

log = structlog.get_logger("waymark.http")


class GraphQLView(GraphQL[Context, None]):
    """Strawberry's view, authenticated, with every failure as JSON."""

    def __init__(self) -> None:
        super().__init__(schema, graphql_ide=None, subscription_protocols=())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive=receive)
        try:
            response = await self.run(request)
        except ViewError as error:
            response = _failure(error.status_code, error.reason)
        except UnauthenticatedError as error:
            response = _failure(401, error.message, error.extensions)
            response.headers["WWW-Authenticate"] = "Bearer"
        except AppError as error:
            response = _failure(400, error.message, error.extensions)
        await response(scope, receive, send)

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        services: Services = request.app.state.services
        caller = await _authenticated(services, request)
        structlog.contextvars.bind_contextvars(actor=caller.name)
        return Context(services, caller, services.settings.public_url or str(request.base_url).rstrip("/"))

    def parse_json(self, data: str | bytes) -> Any:
        parsed = super().parse_json(data)
        if not isinstance(parsed, dict | list):
            raise ViewError(
                400, 'The request is no JSON object; expected one such as {"query": "{ viewer { name } }"}.'
            )
        return parsed

    def decode_json(self, data: str | bytes) -> object:
        return orjson.loads(data)

    def encode_json(self, data: object) -> bytes:
        return orjson.dumps(data)


def _failure(status: int, message: str, extensions: Mapping[str, object] | None = None) -> Response:
    error: dict[str, Any] = {"message": message}
    if extensions:
        error["extensions"] = dict(extensions)
    return JSONResponse({"errors": [error]}, status_code=status)


async def _authenticated(services: Services, request: Request | WebSocket) -> Caller:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise UnauthenticatedError("This needs a token: send Authorization: Bearer <token>.")
    via = request.headers.get("x-waymark-via", Via.API).upper()
    if via not in (Via.API, Via.CLI, Via.CONSOLE):
        raise BadUserInputError(f"X-Waymark-Via is {via[:40]!r}; expected API, CLI or CONSOLE.")
    async with reading(services.pool) as connection:
        return await authenticate(connection, secret.strip(), Via(via))


def graphql_route(max_body_bytes: int) -> Route:
    return Route(
        "/graphql",
        GraphQLView(),
        middleware=[Middleware(RequestBodyLimitMiddleware, max_body_size=max_body_bytes)],
    )


async def healthz(_: Request) -> Response:
    """Whether the process lives."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """Whether it can serve: the database answers."""
    services: Services = request.app.state.services
    try:
        async with reading(services.pool) as connection:
            await connection.fetchval("SELECT 1", timeout=5)
    except UNAVAILABLE:
        return JSONResponse({"status": "the database does not answer"}, status_code=503)
    return JSONResponse({"status": "ok"})


HEALTH_ROUTES = [Route("/healthz", healthz), Route("/readyz", readyz)]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class RequestLog:
    """Gives each request an id (or keeps a proxy's), and logs each with its outcome and time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Request(scope).headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        began = time.perf_counter()
        status = 500

        async def stamp(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers.setdefault("X-Content-Type-Options", "nosniff")
            await send(message)

        try:
            await self._app(scope, receive, stamp)
        finally:
            milliseconds = round((time.perf_counter() - began) * 1000, 1)
            # the path alone: queries carry signatures
            log.info("request", method=scope["method"], path=scope["path"], status=status, milliseconds=milliseconds)
