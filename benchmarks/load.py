"""HTTP as fast as one process can send it: prepared requests on kept connections, one at a time on each."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from itertools import cycle
from urllib.parse import urlsplit

import orjson


@dataclass
class Result:
    requests: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    def percentile(self, part: float) -> float:
        """In milliseconds."""
        return sorted(self.latencies)[int(part * (len(self.latencies) - 1))] * 1000


class _Connection(asyncio.Protocol):
    def __init__(self, requests: cycle[bytes], ends: float, result: Result) -> None:
        self._requests = requests
        self._ends = ends
        self._result = result
        self._received = b""
        self._sent = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]):
            return
        now = time.perf_counter()
        if not head.startswith(b"HTTP/1.1 200") or body.startswith(b'{"errors"') or b',"errors":[' in body:
            self._fail(RuntimeError(body[:500].decode()))
            return
        self._received = b""
        self._result.requests += 1
        self._result.latencies.append(now - self._sent)
        if now < self._ends:
            self._send()
        else:
            self._transport.close()
            self.done.set_result(None)

    def _fail(self, error: Exception) -> None:
        self._transport.close()
        if not self.done.done():
            self.done.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionError("the server closed the connection"))


def graphql_request(url: str, token: str, document: str, variables: object) -> bytes:
    body = orjson.dumps({"query": document, "variables": variables})
    return (
        f"POST /graphql HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def run(url: str, requests: list[bytes], *, connections: int, seconds: float) -> Result:
    """Sends the requests round and round."""
    address = urlsplit(url)
    result = Result()
    sent = cycle(requests)
    began = time.perf_counter()
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: _Connection(sent, began + seconds, result), address.hostname, address.port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(protocol.done for _, protocol in made))
    result.seconds = time.perf_counter() - began
    return result
