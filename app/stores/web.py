"""HTTP, for the stores that speak it without a vendor's client: pooled, limited in time, tried again with jitter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from aiohttp_retry import JitterRetry, RetryClient
from yarl import URL

from app.stores.base import (
    BadCredentials,
    ChecksumMismatch,
    Forbidden,
    NotFound,
    PreconditionFailed,
    SizeMismatch,
    StoreError,
    Unavailable,
    Unsupported,
)
from app.transfer.guard import NetworkGuard, guarded_connector

_CHUNK = 1024 * 1024
_MOST_OF_AN_ERROR = 4000
_KINDS: dict[int, type[StoreError]] = {
    400: Unsupported,
    401: BadCredentials,
    403: Forbidden,
    404: NotFound,
    405: Unsupported,
    408: Unavailable,
    411: Unsupported,
    412: PreconditionFailed,
    413: SizeMismatch,
    422: ChecksumMismatch,
    429: Unavailable,
    501: Unsupported,
}
_RETRIES = JitterRetry(
    attempts=3,
    start_timeout=0.2,
    random_interval_size=0.7,
    statuses={408, 429},
    exceptions={aiohttp.ClientConnectionError},
)


@dataclass(frozen=True, slots=True)
class Answer:
    headers: Mapping[str, str]
    body: bytes


class WebSession:
    """A store's connections."""

    def __init__(self, store: str, guard: NetworkGuard) -> None:
        self._store = store
        self._guard = guard
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """Made when it is first needed, as it belongs to the event loop that runs then."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=guarded_connector(self._guard),
                timeout=aiohttp.ClientTimeout(total=None, connect=10, sock_read=60),
                auto_decompress=False,
            )
        return self._session

    async def ask(self, operation: str, key: str, method: str, url: str, **options: Any) -> Answer:
        """The whole answer to a request; one that is none of success is a StoreError."""
        async with AsyncExitStack() as stack:
            with self._failures(operation, key):
                response = await self._send(stack, operation, key, method, url, **options)
                return Answer(response.headers, await response.read())

    @asynccontextmanager
    async def stream(
        self, operation: str, key: str, url: str, headers: Mapping[str, str]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The body of an answer while it arrives; one that breaks off is a StoreError."""
        async with AsyncExitStack() as stack:
            with self._failures(operation, key):
                response = await self._send(stack, operation, key, "GET", url, headers=headers)

            async def chunks() -> AsyncIterator[bytes]:
                with self._failures(operation, key):
                    async for chunk in response.content.iter_chunked(_CHUNK):
                        yield chunk

            yield chunks()

    async def _send(
        self, stack: AsyncExitStack, operation: str, key: str, method: str, url: str, **options: Any
    ) -> aiohttp.ClientResponse:
        client = RetryClient(self.session, retry_options=_RETRIES)
        # the address is as it has to be, percent signs and all
        address = URL(url, encoded=True)
        response = await stack.enter_async_context(client.request(method, address, allow_redirects=False, **options))
        if response.status < 300:
            return response
        cause = f"{_said(await response.content.read(_MOST_OF_AN_ERROR), response)} (HTTP {response.status})"
        kind = _KINDS.get(response.status) or (Unavailable if response.status >= 500 else Forbidden)
        raise kind(self._store, operation, key, cause)

    @contextmanager
    def _failures(self, operation: str, key: str) -> Iterator[None]:
        try:
            yield
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(self._store, operation, key, str(error) or type(error).__name__) from error

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


def _said(body: bytes, response: aiohttp.ClientResponse) -> str:
    """What the store says is wrong: Google's message, or HTTP's phrase."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return response.reason or "refused"
    error = answer.get("error") if isinstance(answer, dict) else None
    said = error.get("message") if isinstance(error, dict) else None
    return str(said or response.reason or "refused")
