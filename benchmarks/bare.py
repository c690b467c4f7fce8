"""The least that an ASGI application can do on the same server: read the body, answer JSON."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

_BODY = b'{"data":{"viewer":{"name":"nobody"}}}'


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(_BODY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _BODY})
