"""What tests of the API, and of what runs behind it, begin with: files and stores."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import aiohttp

from tests.conftest import LiveServer

CREATE_STORE = """mutation($i: CreateDataStoreInput!) { createDataStore(input: $i) {
    store { id name kind url isDefault project { slug } } } }"""
REQUEST_UPLOAD = """mutation($i: RequestUploadInput!) { requestUpload(input: $i) { datum { id status } upload { id
    parts { totalCount nodes { number size received method url headers { name value } } } } } }"""
COMPLETE_UPLOAD = """mutation($i: CompleteUploadInput!) { completeUpload(input: $i) { datum { id status storageUri
    checksums { md5 sha1 sha256 evidence } } change { version alias { name } } } }"""
_DATUM = "query($id: ID!) { datum(id: $id) { status statusReason checksums { md5 sha1 sha256 evidence } } }"


async def request_upload(server: LiveServer, size: int, **more: Any) -> dict[str, Any]:
    values = {"project": await server.project_id(), "name": "file.bin", "size": str(size), **more}
    requested: dict[str, Any] = (await server.run(REQUEST_UPLOAD, i=values))["requestUpload"]
    return requested


async def send_part(part: dict[str, Any], content: bytes) -> int:
    """The status with which the store, or Waymark for a local one, answers."""
    headers = {header["name"]: header["value"] for header in part["headers"]}
    async with (
        aiohttp.ClientSession() as session,
        session.request(part["method"], part["url"], data=io.BytesIO(content), headers=headers) as response,
    ):
        return response.status


async def push_datum(server: LiveServer, content: bytes, *, alias: str | None = None, **more: Any) -> dict[str, Any]:
    """A file, its bytes sent in one part to the project's store."""
    requested = await request_upload(server, len(content), **more)
    (part,) = requested["upload"]["parts"]["nodes"]
    assert await send_part(part, content) in (200, 201, 204)
    completed = await server.run(COMPLETE_UPLOAD, i={"upload": requested["upload"]["id"], "alias": alias})
    datum: dict[str, Any] = completed["completeUpload"]["datum"]
    return datum


async def push(server: LiveServer, content: bytes, **more: Any) -> str:
    """The id of a file, its bytes sent in one part to the project's store."""
    return str((await push_datum(server, content, **more))["id"])


async def download_link(server: LiveServer, datum: str, expires_in: int = 60) -> str:
    data = await server.run(
        "query($id: ID!, $expiresIn: Int!) { datum(id: $id) { downloadUrl(expiresIn: $expiresIn) } }",
        id=datum,
        expiresIn=expires_in,
    )
    return str(data["datum"]["downloadUrl"])


async def show_datum(server: LiveServer, datum: str) -> dict[str, Any]:
    shown: dict[str, Any] = (await server.run(_DATUM, id=datum))["datum"]
    return shown


async def verified(server: LiveServer, datum: str) -> dict[str, Any]:
    """A datum once its bytes have been read, by the test's housekeeping or by the server's own."""
    async with asyncio.timeout(60):
        while (shown := await show_datum(server, datum))["checksums"]["evidence"] != "VERIFIED":
            await server.keep_house()
            await asyncio.sleep(0.05)
    return shown


async def condemned(server: LiveServer, datum: str) -> dict[str, Any]:
    """A datum once housekeeping, the test's or the server's own, has found that it is not what it was."""
    async with asyncio.timeout(60):
        while (shown := await show_datum(server, datum))["status"] == "AVAILABLE":
            await server.keep_house()
            await asyncio.sleep(0.05)
    return shown
