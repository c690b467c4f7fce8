"""Sending files to stores, by the signed links that the API gives."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, BinaryIO, TypeVar

from app.client.client import ApiError, Client, UnreachableError
from app.errors import BadUserInputError
from app.transfer.hashing import CHUNK_BYTES

Done = TypeVar("Done")

_PARTS_AT_ONCE = 4
_ATTEMPTS = 5
_PART = "number offset size received method url headers { name value }"


async def send_parts(client: Client, upload: str, file: BinaryIO, advance: Callable[[int], None]) -> None:
    """Sends the parts of an upload that are not there yet, several at once; says how many bytes more are there."""
    sending = asyncio.Semaphore(_PARTS_AT_ONCE)

    async def send(part: dict[str, Any]) -> None:
        try:
            await _send_part(client, part, file, advance)
        finally:
            sending.release()

    after = None
    try:
        async with asyncio.TaskGroup() as parts_under_way:
            while True:
                page = partial(
                    client.execute,
                    f"query($id: ID!, $after: String) {{ upload(id: $id) {{ parts(first: 100, after: $after) {{"
                    f" nodes {{ {_PART} }} pageInfo {{ hasNextPage endCursor }} }} }} }}",
                    {"id": upload, "after": after},
                )
                data = await patiently(page)
                if data["upload"] is None:
                    raise ApiError("The upload is gone.", {"code": "NOT_FOUND"})
                parts = data["upload"]["parts"]
                for part in parts["nodes"]:
                    if part["received"]:
                        advance(int(part["size"]))
                        continue
                    await sending.acquire()
                    parts_under_way.create_task(send(part))
                after = parts["pageInfo"]["endCursor"]
                if not parts["pageInfo"]["hasNextPage"]:
                    return
    except ExceptionGroup as failed:
        # the first failure ended the other parts
        raise failed.exceptions[0] from failed


async def patiently(work: Callable[[], Awaitable[Done]]) -> Done:
    """Does some work; again, a few times, while the store is away."""
    attempt = 1
    while True:
        try:
            return await work()
        except ApiError as error:
            if error.code != "STORE_UNAVAILABLE" or attempt == _ATTEMPTS:
                raise
        await _pause(attempt)
        attempt += 1


async def _pause(attempt: int) -> None:
    await asyncio.sleep(2 ** (attempt - 1) * (0.5 + secrets.randbelow(1000) / 1000))


async def _send_part(client: Client, part: dict[str, Any], file: BinaryIO, advance: Callable[[int], None]) -> None:
    """Sends one part; again, a few times, if the store did not take it."""
    size, offset = int(part["size"]), int(part["offset"])
    headers = {header["name"]: header["value"] for header in part["headers"]}
    for attempt in range(1, _ATTEMPTS + 1):
        sent = 0

        async def chunks() -> AsyncIterator[bytes]:
            nonlocal sent
            while sent < size:
                chunk = await asyncio.to_thread(os.pread, file.fileno(), min(size - sent, CHUNK_BYTES), offset + sent)
                if not chunk:
                    raise BadUserInputError("The file became shorter while it was sent; push it again.")
                sent += len(chunk)
                advance(len(chunk))
                yield chunk

        try:
            await client.put(part["url"], headers, size, chunks())
        except (ApiError, UnreachableError) as error:
            advance(-sent)
            status = error.extensions.get("status", 0) if isinstance(error, ApiError) else 503
            if status in (409, 412):
                # it is there: the answer to an earlier attempt was lost, and what arrived is verified at the end
                advance(size)
                return
            if attempt == _ATTEMPTS or (status < 500 and status not in (408, 429)):
                raise
            await _pause(attempt)
        else:
            return
