"""A small client of Waymark's own GraphQL API."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self

import aiohttp
import orjson

_CONNECT_SECONDS = 10
# completing a large upload reads it whole
_ANSWER_SECONDS = 3600
_LONGEST_EVENT = 4 * 1024 * 1024


class ApiError(Exception):
    """The API's answer was an error: its message and `extensions`, of which `code` is the kind."""

    def __init__(self, message: str, extensions: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.extensions = dict(extensions or {})

    @property
    def code(self) -> str:
        return str(self.extensions.get("code", "INTERNAL"))


class UnreachableError(Exception):
    """The server did not answer, or something else did."""


class Client:
    """Use it as an asynchronous context manager."""

    def __init__(self, url: str, token: str, *, via: str = "API") -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "X-Waymark-Via": via}
        self._sessions = AsyncExitStack()

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_ANSWER_SECONDS)
        # an event is one line, however long
        api = aiohttp.ClientSession(timeout=timeout, read_bufsize=_LONGEST_EVENT)
        self._api = await self._sessions.enter_async_context(api)
        # files are taken as the store has them: decompressed, they would have other hashes
        files = aiohttp.ClientSession(timeout=timeout, auto_decompress=False)
        self._files = await self._sessions.enter_async_context(files)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sessions.aclose()

    async def execute(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Sends one operation and returns its data; the first error in the answer is raised as ApiError."""
        answer = await self.send(query, variables)
        if errors := answer.get("errors"):
            raise ApiError(errors[0]["message"], errors[0].get("extensions"))
        data: dict[str, Any] = answer["data"]
        return data

    async def send(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Sends one operation and returns the answer whole, errors and all."""
        body = {"query": query, "variables": dict(variables or {})}
        async with (
            self._reaching(),
            self._api.post(f"{self.url}/graphql", json=body, headers=self._headers) as response,
        ):
            if "json" not in response.content_type:
                raise UnreachableError(f"{self.url} answered {response.status} and no JSON; is it a Waymark server?")
            answer: dict[str, Any] = await response.json()
            return answer

    async def subscribe(self, query: str, variables: Mapping[str, Any] | None = None) -> AsyncGenerator[Any, None]:
        """Sends a subscription; gives the data of each event as it comes, until the server ends it or goes away.

        An error, at the start or in an event, is raised as ApiError; a stream that breaks is UnreachableError.
        """
        body = {"query": query, "variables": dict(variables or {})}
        headers = {**self._headers, "Accept": "text/event-stream, application/json;q=0.5"}
        async with (
            self._reaching(),
            self._api.post(f"{self.url}/graphql", json=body, headers=headers) as response,
        ):
            if response.content_type != "text/event-stream":
                error = (await response.json())["errors"][0]
                raise ApiError(error["message"], error.get("extensions"))
            async for line in response.content:
                if line.startswith(b"event: complete"):
                    return
                if not line.startswith(b"data: {"):
                    continue
                answer = orjson.loads(line.removeprefix(b"data: "))
                if errors := answer.get("errors"):
                    raise ApiError(errors[0]["message"], errors[0].get("extensions"))
                yield answer["data"]
            raise UnreachableError(f"{self.url} broke the stream off.")

    async def session_link(self) -> str:
        """An address that signs a browser in to the console with this token, once and within a minute."""
        async with self._reaching(), self._api.post(f"{self.url}/session/links", headers=self._headers) as response:
            if response.content_type != "application/json":
                raise UnreachableError(f"{self.url} answered {response.status} and no JSON; is it a Waymark server?")
            answer = await response.json()
        if errors := answer.get("errors"):
            raise ApiError(errors[0]["message"], errors[0].get("extensions"))
        return str(answer["url"])

    async def put(self, url: str, headers: Mapping[str, str], size: int, chunks: AsyncIterator[bytes]) -> None:
        """Sends bytes to a signed link."""
        async with (
            self._reaching(),
            self._files.put(url, data=chunks, headers={**headers, "Content-Length": str(size)}) as response,
        ):
            await _refuse_failure(response)

    @asynccontextmanager
    async def get(self, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes behind a signed link."""
        async with self._reaching(), self._files.get(url) as response:
            await _refuse_failure(response)
            yield response.content.iter_chunked(1024 * 1024)

    @asynccontextmanager
    async def _reaching(self) -> AsyncIterator[None]:
        try:
            yield
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UnreachableError(f"Cannot reach {self.url}: {error}") from error


async def _refuse_failure(response: aiohttp.ClientResponse) -> None:
    if response.status >= 400:
        detail = (await response.text())[:500]
        raise ApiError(
            f"The store answered {response.status}: {detail}", {"code": "STORE_UNAVAILABLE", "status": response.status}
        )
