"""Signing in to the console: a cookie stands for a token, which page scripts never see.

A browser sends the cookie along whoever asks it to, so what comes with it must come from a page of this server.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import orjson
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from app.api.services import Services
from app.domain.access import Caller, Via
from app.domain.sessions import (
    LIFETIME,
    authenticate_session,
    create_link,
    create_session,
    end_session,
    redeem_link,
)
from app.domain.tokens import authenticate
from app.domain.transactions import reading, writing
from app.errors import AppError, BadUserInputError, ForbiddenError, UnauthenticatedError

COOKIE = "waymark_session"


async def authenticated(services: Services, connection: HTTPConnection, headers: Headers) -> Caller:
    """The caller behind a token, or behind a session. `headers` are what a WebSocket's client says in their place."""
    via = headers.get("x-waymark-via")
    if via is not None and via.upper() not in (Via.API, Via.CLI, Via.CONSOLE):
        raise BadUserInputError(f"X-Waymark-Via is {via[:40]!r}; expected API, CLI or CONSOLE.")
    session = connection.cookies.get(COOKIE)
    if "authorization" not in headers and session is not None:
        require_own_origin(services, connection)
        async with reading(services.pool) as database:
            return await authenticate_session(database, session, Via(via.upper()) if via else Via.CONSOLE)
    async with reading(services.pool) as database:
        return await authenticate(database, _token(headers), Via(via.upper()) if via else Via.API)


def require_own_origin(services: Services, connection: HTTPConnection) -> None:
    """Refuses what another site's page has sent, whose browser added the cookie; GET without an Origin only reads."""
    origin = connection.headers.get("origin")
    if origin is None and connection.scope["type"] == "http" and connection.scope["method"] in ("GET", "HEAD"):
        return
    own = {connection.headers.get("host"), urlsplit(services.settings.public_url or "").netloc}
    if origin is None or urlsplit(origin).netloc not in own - {None, ""}:
        raise ForbiddenError(f"This came from {origin or 'a page that does not say which'}, and not from the console.")


def _token(headers: Headers) -> str:
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise UnauthenticatedError("This needs a token: send Authorization: Bearer <token>.")
    return secret.strip()


async def _is_signed_in(request: Request) -> Response:
    """GET: whether the browser has a session, which scripts cannot see."""
    services: Services = request.app.state.services
    try:
        async with reading(services.pool) as connection:
            await authenticate_session(connection, request.cookies.get(COOKIE, ""), Via.CONSOLE)
    except UnauthenticatedError:
        signed_in = False
    except AppError as error:
        return _refusal(error)
    else:
        signed_in = True
    return JSONResponse({"signedIn": signed_in}, headers={"Cache-Control": "no-store"})


async def _sign_in(request: Request) -> Response:
    """POST {"token": "…"} from the console: begins a session."""
    services: Services = request.app.state.services
    try:
        require_own_origin(services, request)
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise BadUserInputError("Expected application/json.")
        token = _read_token(await request.body())
        async with reading(services.pool) as connection:
            caller = await authenticate(connection, token, Via.CONSOLE)
        async with writing(services.pool) as connection:
            secret = await create_session(connection, caller)
    except AppError as error:
        return _refusal(error)
    return _with_cookie(services, request, JSONResponse({"name": caller.name}), secret)


async def _sign_out(request: Request) -> Response:
    """DELETE: ends the session, wherever its cookie still is."""
    services: Services = request.app.state.services
    try:
        require_own_origin(services, request)
        if secret := request.cookies.get(COOKIE):
            async with writing(services.pool) as connection:
                await end_session(connection, secret)
    except AppError as error:
        return _refusal(error)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return response


async def _make_link(request: Request) -> Response:
    """POST with a token: an address that signs in, once and within a minute."""
    services: Services = request.app.state.services
    try:
        async with reading(services.pool) as connection:
            caller = await authenticate(connection, _token(request.headers), Via.CONSOLE)
        async with writing(services.pool) as connection:
            link = await create_link(connection, caller)
    except AppError as error:
        return _refusal(error)
    base = services.settings.public_url or str(request.base_url).rstrip("/")
    return JSONResponse({"url": f"{base}/session/links/{link}"}, headers={"Cache-Control": "no-store"})


async def _follow_link(request: Request) -> Response:
    """GET: signs in and goes on to the console."""
    services: Services = request.app.state.services
    try:
        async with writing(services.pool) as connection:
            secret = await redeem_link(connection, request.path_params["link"])
    except AppError as error:
        return RedirectResponse(f"/sign-in?fault={type(error).__name__}", 303)
    return _with_cookie(services, request, RedirectResponse("/", 303), secret)


def _read_token(body: bytes) -> str:
    try:
        token = orjson.loads(body)["token"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise BadUserInputError('Expected {"token": "…"}.') from error
    if not isinstance(token, str) or not token.strip():
        raise BadUserInputError("The token is empty.")
    return token.strip()


def _with_cookie(services: Services, request: Request, response: Response, secret: str) -> Response:
    secure = (services.settings.public_url or str(request.base_url)).startswith("https:")
    response.set_cookie(
        COOKIE,
        secret,
        max_age=int(LIFETIME.total_seconds()),
        path="/",
        httponly=True,
        samesite="strict",
        secure=secure,
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def _refusal(error: AppError) -> Response:
    status = {"UNAUTHENTICATED": 401, "FORBIDDEN": 403, "STORE_UNAVAILABLE": 503}.get(error.code, 400)
    body = {"errors": [{"message": error.message, "extensions": dict(error.extensions)}]}
    return JSONResponse(body, status_code=status)


ROUTES = [
    Route("/session", _is_signed_in, methods=["GET"]),
    Route("/session", _sign_in, methods=["POST"]),
    Route("/session", _sign_out, methods=["DELETE"]),
    Route("/session/links", _make_link, methods=["POST"]),
    Route("/session/links/{link}", _follow_link, methods=["GET"]),
]
