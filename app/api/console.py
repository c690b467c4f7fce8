"""Serves the web console: files that were built before, and nothing from anywhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from mimetypes import guess_type
from pathlib import Path

import structlog
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from app.settings import Settings

_BUILT = Path(__file__).parents[1] / "console" / "static"

# styles are set by scripts too, as GraphiQL's editor does
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " font-src 'self' data:; connect-src {connect}; worker-src 'self' blob:; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'"
)
_UNBUILT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Waymark</title>
<style>body { font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem;
color-scheme: light dark }</style>
<h1>Waymark is running, but its console was not built</h1>
<p>The API is at <a href="/graphql">/graphql</a>. To get the console, run <code>make console</code> in a checkout and
start the server again, or install Waymark from a wheel, which has it.</p>
</html>
"""


class _Assets(StaticFiles):
    """Files whose names change with their contents, compressed when they were built."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        structlog.contextvars.bind_contextvars(is_minor=True)
        takes_gzip = "gzip" in Headers(scope=scope).get("accept-encoding", "")
        is_compressed = takes_gzip and (await asyncio.to_thread(self.lookup_path, f"{path}.gz"))[1] is not None
        response = await super().get_response(f"{path}.gz" if is_compressed else path, scope)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        response.headers["Vary"] = "Accept-Encoding"
        if is_compressed:
            response.headers["Content-Encoding"] = "gzip"
            response.headers["Content-Type"] = guess_type(path)[0] or "application/octet-stream"
        return response


def console_routes(settings: Settings, built: Path = _BUILT) -> list[BaseRoute]:
    """The pages and what they load; or one that says how to get them, where they were not built."""
    if not (built / "index.html").exists():
        return [Route("/", lambda _: HTMLResponse(_UNBUILT))]

    def page(name: str) -> Callable[[Request], Awaitable[Response]]:
        async def send(_: Request) -> Response:
            return FileResponse(built / name, headers=headers)

        return send

    policy = _POLICY.format(connect=" ".join(["'self'", *settings.upload_origins]))
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}
    console = page("index.html")
    return [
        Route("/", console),
        Route("/sign-in", console),
        Route("/tokens", console),
        Route("/projects/{rest:path}", console),
        Route("/graphiql", page("graphiql.html")),
        Route("/favicon.svg", page("favicon.svg")),
        Mount("/assets", _Assets(directory=built / "assets")),
    ]
