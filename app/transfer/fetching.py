"""Files from addresses of HTTP and HTTPS, within limits, and never from the networks that the guard forbids."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from app.transfer.guard import ForbiddenAddressError, NetworkGuard, guarded_connector

_CHUNK = 1024 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 10
_MOST_ATTEMPTS = 5
_PASSING = (408, 425, 429, 500, 502, 503, 504)


class FetchError(Exception):
    """An address could not be fetched; names it without credentials and query, and the cause."""

    def __init__(self, url: URL, cause: str) -> None:
        super().__init__(f"{_shown(url)}: {cause}")


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What one file may take."""

    size: int = 1024**4
    #: Seconds for the whole file.
    total: float = 24 * 3600
    #: Seconds without a byte.
    idle: float = 60


@dataclass(slots=True)
class Fetched:
    """A file on its way: its size where the server tells, and its bytes, once."""

    size: int | None
    chunks: AsyncIterator[bytes]


class Fetcher:
    """Connections for fetching files."""

    def __init__(self, guard: NetworkGuard, limits: FetchLimits) -> None:
        self._limits = limits
        self._session = aiohttp.ClientSession(
            connector=guarded_connector(guard),
            timeout=aiohttp.ClientTimeout(total=None, connect=min(30, limits.idle), sock_read=limits.idle),
            # sizes and hashes are those of the file, not of what it would unpack to
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    @asynccontextmanager
    async def open(self, text: str) -> AsyncIterator[Fetched]:
        """A file by its address, which may have user and password in it.

        What breaks off is continued where the server can tell that it is the same file still. FetchError, also while
        the chunks are read, where it cannot be had whole.
        """
        url = URL(text)
        deadline = asyncio.get_running_loop().time() + self._limits.total
        async with AsyncExitStack() as stack:
            response = await self._begin(stack, url, {}, deadline)
            size = response.content_length
            if size is not None and size > self._limits.size:
                raise FetchError(url, f"it has {size} bytes; at most {self._limits.size} are taken")
            yield Fetched(size, self._chunks(stack, url, response, deadline))

    async def _chunks(
        self, stack: AsyncExitStack, url: URL, response: aiohttp.ClientResponse, deadline: float
    ) -> AsyncIterator[bytes]:
        received, failures = 0, 0
        validator = _validator(response)
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    chunk = await response.content.readany()
            except TimeoutError as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise self._too_late(url) from error
                broken: Exception = error
            except (aiohttp.ClientError, OSError) as error:
                broken = error
            else:
                if not chunk:
                    return
                received += len(chunk)
                if received > self._limits.size:
                    raise FetchError(url, f"it is larger than the {self._limits.size} bytes that are taken")
                yield chunk
                continue
            failures += 1
            cause = f"it broke off after {received} bytes ({_cause(broken)})"
            if validator is None or failures == _MOST_ATTEMPTS:
                raise FetchError(url, cause) from broken
            response.close()
            await _pause(failures)
            headers = {"Range": f"bytes={received}-", "If-Range": validator}
            response = await self._begin(stack, url, headers, deadline)
            begins = response.headers.get("Content-Range", "").startswith(f"bytes {received}-")
            if response.status != 206 or not begins or _validator(response) not in (None, validator):
                raise FetchError(url, f"{cause}, and cannot be continued: the server sent another file, or all of it")

    async def _begin(
        self, stack: AsyncExitStack, url: URL, headers: Mapping[str, str], deadline: float
    ) -> aiohttp.ClientResponse:
        """The answer to a request after redirects, tried again while what is wrong may pass."""
        failures = 0
        while True:
            failures += 1
            try:
                async with asyncio.timeout_at(deadline):
                    response = await self._follow(url, headers)
                stack.push_async_callback(_close, response)
                if response.status in (200, 206):
                    return response
                cause = f"the server answered HTTP {response.status} {response.reason}"
                if response.status not in _PASSING:
                    raise FetchError(url, cause)
            except TimeoutError as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise self._too_late(url) from error
                cause = f"the server did not answer for {self._limits.idle:g} s"
            except aiohttp.InvalidURL as error:
                raise FetchError(url, "it is, or redirects to, no address that can be used") from error
            except (aiohttp.ClientError, OSError) as error:
                if forbidden := _forbidden(error):
                    raise FetchError(url, str(forbidden)) from error
                cause = _cause(error)
            if failures == _MOST_ATTEMPTS:
                raise FetchError(url, f"{cause}, {failures} times")
            await _pause(failures)

    async def _follow(self, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        place = first = url.with_user(None)
        # they are for the server that they were given for, and none that it sends us to
        credentials = (
            {"Authorization": aiohttp.encode_basic_auth(url.user or "", url.password or "")} if url.user else {}
        )
        for _ in range(_MOST_REDIRECTS + 1):
            response = await self._session.get(
                place,
                headers={
                    "Accept-Encoding": "identity",
                    **headers,
                    **(credentials if place.origin() == first.origin() else {}),
                },
                allow_redirects=False,
            )
            target = response.headers.get("Location")
            if response.status not in _REDIRECTS or target is None:
                return response
            response.close()
            try:
                place = place.join(URL(target))
            except ValueError as error:
                raise FetchError(url, "it redirects to what is no address") from error
            if place.scheme not in ("http", "https") or not place.host:
                raise FetchError(url, f"it redirects to an address of {place.scheme}, which is not HTTP")
            place = place.with_user(None)
        raise FetchError(url, f"it redirects more than {_MOST_REDIRECTS} times")

    def _too_late(self, url: URL) -> FetchError:
        return FetchError(url, f"it took longer than {self._limits.total:g} s")


async def _close(response: aiohttp.ClientResponse) -> None:
    response.close()


async def _pause(failures: int) -> None:
    await asyncio.sleep(min(2.0 ** (failures - 2), 8) * (0.5 + secrets.randbelow(1000) / 1000))


def _validator(response: aiohttp.ClientResponse) -> str | None:
    """What tells that the file is the same still; weak etags do not say so of its bytes."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


def _forbidden(error: BaseException | None) -> ForbiddenAddressError | None:
    while error is not None:
        if isinstance(error, ForbiddenAddressError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _cause(error: Exception) -> str:
    return str(error) or type(error).__name__


def _shown(url: URL) -> str:
    return str(url.with_user(None).with_query(None).with_fragment(None)) if url.is_absolute() else str(url)
