"""Keeps the server from being sent to its own network: loopback, link-local, private and other special addresses.

Addresses are judged after names have been resolved, by the very resolver that connections use, so that a name cannot
mean one thing when it is checked and another when it is used; on every redirect anew.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ForbiddenAddressError(OSError):
    """An address of a network that the server may not reach."""


@dataclass(frozen=True)
class NetworkGuard:
    """Allows public addresses, and of the others those in the networks that the operator named."""

    allowed: Sequence[Network] = ()

    def check_address(self, host: str, address: str) -> None:
        ip = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        if (ip.is_global and not ip.is_multicast) or any(ip in network for network in self.allowed):
            return
        raise ForbiddenAddressError(
            f"{host} is at {ip}, in a network that this server may not reach (WAYMARK_ALLOWED_NETWORKS)"
        )

    async def check_url(self, url: str) -> None:
        """Refuses an address whose host is, or is now resolved to, one that is forbidden."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ForbiddenAddressError(f"{url!r} is no http or https address")
        host = parts.hostname
        found = await asyncio.get_running_loop().getaddrinfo(host, parts.port or 443, type=socket.SOCK_STREAM)
        for *_, address in found:
            self.check_address(host, str(address[0]))


class GuardedResolver(AbstractResolver):
    """aiohttp's resolver, which gives no forbidden address away."""

    def __init__(self, guard: NetworkGuard) -> None:
        self._guard = guard
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for each in found:
            self._guard.check_address(host, each["host"])
        return found

    async def close(self) -> None:
        await self._resolver.close()


def guarded_connector(guard: NetworkGuard, *, limit: int = 50) -> aiohttp.TCPConnector:
    """aiohttp's connections, none of them to a forbidden address, whether a name led there or it was written."""

    def open_socket(address: Any) -> socket.socket:
        family, kind, protocol, _, place = address
        guard.check_address(str(place[0]), str(place[0]))
        return socket.socket(family, kind, protocol)

    return aiohttp.TCPConnector(resolver=GuardedResolver(guard), socket_factory=open_socket, limit=limit)
