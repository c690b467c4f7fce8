"""Signed, expiring links to the bytes of local stores, and the routes that serve them.

A link is a capability: whoever has it may use it until it expires, and it says nothing about anything else.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from app.api.services import Services
from app.domain.data_stores import load_data_stores
from app.domain.datums import Datum, DatumStatus, load_datums
from app.domain.secrets import SecretBox
from app.domain.transactions import reading
from app.domain.uploads import Upload, load_uploads
from app.domain.validation import is_id
from app.stores.base import NotFound, SizeMismatch, Unavailable
from app.stores.local import LocalStore

LONGEST_LIFETIME = 7 * 24 * 3600


def download_link(secrets: SecretBox, base_url: str, datum_id: UUID, expires_in: int) -> str:
    return _signed(secrets, base_url, "GET", f"/files/{datum_id}", int(time.time()) + expires_in)


def part_link(secrets: SecretBox, base_url: str, upload: Upload, number: int) -> str:
    """Where to PUT one part of an upload, for as long as the upload lives."""
    return _signed(secrets, base_url, "PUT", f"/uploads/{upload.id}/parts/{number}", int(upload.expires_at.timestamp()))


def _signed(secrets: SecretBox, base_url: str, method: str, path: str, expires: int) -> str:
    signature = secrets.sign(f"{method} {path} {expires}")
    return f"{base_url}{path}?expires={expires}&signature={signature}"


def _check(services: Services, request: Request, method: str) -> None:
    """Refuses a link that was tampered with before it says whether it expired."""
    expires = request.query_params.get("expires", "")
    signature = request.query_params.get("signature", "")
    if not services.secrets.is_signed(f"{method} {request.url.path} {expires}", signature):
        raise HTTPException(403, "This link is not valid.")
    if int(expires) < time.time():
        raise HTTPException(403, "This link has expired; ask for a new one.")


async def _store_of(services: Services, datum: Datum) -> LocalStore:
    async with reading(services.pool) as connection:
        record = (await load_data_stores(connection, [datum.store_id]))[datum.store_id]
    store = services.store(record)
    if not isinstance(store, LocalStore):
        raise HTTPException(404, "The bytes of this file are in a store of their own; ask for a new link.")
    return store


async def download(request: Request) -> Response:
    """The bytes of an AVAILABLE datum: Range, HEAD and If-None-Match as in RFC 9110; always as an attachment."""
    services: Services = request.app.state.services
    _check(services, request, "GET")
    datum_id = _path_id(request.path_params["datum_id"])
    async with reading(services.pool) as connection:
        datum = (await load_datums(connection, [datum_id])).get(datum_id)
    if datum is None:
        raise HTTPException(404, "There is no such file.")
    if datum.status == DatumStatus.PURGED and datum.purged_at:
        raise HTTPException(410, f"This file was purged at {datum.purged_at.isoformat()}.")
    if datum.status != DatumStatus.AVAILABLE:
        raise HTTPException(409, f"This file is {datum.status}.")
    etag = f'"{datum.sha256}"'
    if etag in [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers={"ETag": etag})
    path = (await _store_of(services, datum)).path(datum.object_key)
    try:
        stat = await asyncio.to_thread(os.stat, path)
    except FileNotFoundError as error:
        raise HTTPException(410, "This file's bytes are gone.") from error
    return FileResponse(
        path,
        media_type=datum.media_type or "application/octet-stream",
        filename=datum.name.rsplit("/", 1)[-1],
        stat_result=stat,
        headers={
            "ETag": etag,
            "Cache-Control": "private, immutable",
            "Content-Security-Policy": "sandbox; default-src 'none'",
        },
    )


async def receive_part(request: Request) -> Response:
    """One part of an upload, exactly as long as planned; sending it again replaces it."""
    services: Services = request.app.state.services
    _check(services, request, "PUT")
    upload_id, number = _path_id(request.path_params["upload_id"]), request.path_params["number"]
    async with reading(services.pool) as connection:
        upload = (await load_uploads(connection, [upload_id])).get(upload_id)
        datum = (await load_datums(connection, [upload.datum_id]))[upload.datum_id] if upload else None
    if upload is None or datum is None:
        raise HTTPException(404, "There is no such upload.")
    if upload.ended_at is not None:
        raise HTTPException(409, "This upload has ended.")
    plan = upload.plan(datum)
    if not 1 <= number <= plan.part_count:
        raise HTTPException(404, f"This upload has parts 1 to {plan.part_count}.")
    size = plan.size_of(number)
    announced = request.headers.get("content-length")
    if announced is not None and announced != str(size):
        raise HTTPException(400, f"Part {number} has {size} bytes; Content-Length says {announced}.")
    store = await _store_of(services, datum)
    try:
        await store.write_part(datum.object_key, number, size, request.stream())
    except SizeMismatch as error:
        raise HTTPException(400, f"Part {number} is wrong: {error.cause}.") from error
    except NotFound as error:
        raise HTTPException(409, "This upload has ended.") from error
    except Unavailable as error:
        raise HTTPException(507, f"The store cannot take it: {error.cause}.") from error
    except ClientDisconnect as error:
        raise HTTPException(400, "The connection was closed before the part was whole.") from error
    return Response(status_code=204)


def _path_id(text: str) -> UUID:
    if not is_id(text):
        raise HTTPException(404, "There is nothing at this address.")
    return UUID(text)


async def refuse(_: Request, error: Exception) -> Response:
    """Every HTTP error as JSON, like GraphQL's own."""
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "Internal error.")
    headers: dict[str, Any] = dict(getattr(error, "headers", None) or {})
    return JSONResponse({"errors": [{"message": detail}]}, status_code=status, headers=headers)


ROUTES = [
    Route("/files/{datum_id}", download, methods=["GET"]),
    Route("/uploads/{upload_id}/parts/{number:int}", receive_part, methods=["PUT"]),
]
