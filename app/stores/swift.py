"""OpenStack Swift, behind Keystone or TempAuth, with TempURLs as links and static large objects for files in parts.

Swift can refuse to write where an object is (If-None-Match), though neither to racing requests nor to the holder of a
link who leaves the header out, and it cannot copy on that condition. So keys nobody can guess, links of short life,
and the etag, which is pinned and checked at each read, keep files what they are; segments are pinned by the manifest.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import orjson

from app.stores.base import (
    AlreadyExists,
    BadCredentials,
    BucketMissing,
    Entry,
    Expected,
    Forbidden,
    NotFound,
    PreconditionFailed,
    SignedRequest,
    Stat,
    StoreError,
    Unavailable,
    Unsupported,
    UploadPlan,
    assemble_once,
    plain_name,
    require_arrival,
    require_parts,
)
from app.stores.web import Answer, WebSession
from app.transfer.guard import NetworkGuard

_MEBIBYTE = 1024 * 1024
# OpenStack, "Static Large Objects" and Swift's /info: 1,000 segments of at most 5 GiB
_PART = 64 * _MEBIBYTE
_MOST_PARTS = 1000
_LARGEST = _MOST_PARTS * 5 * 1024 * _MEBIBYTE
_SEGMENTS = ".segments/"
_ANY_BYTES = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class SwiftLogin:
    """How to prove who the store is, to Keystone (an address that ends in /v3) or TempAuth (/v1.0)."""

    auth_url: str
    #: The user's name, or the id of an application credential.
    username: str
    password: str
    project: str
    domain: str
    region: str | None
    is_application_credential: bool

    @property
    def is_keystone(self) -> bool:
        return urlsplit(self.auth_url).path.rstrip("/").endswith("/v3")

    def body(self) -> dict[str, Any]:
        """What Keystone is asked with."""
        if self.is_application_credential:
            credential = {"id": self.username, "secret": self.password}
            return {"auth": {"identity": {"methods": ["application_credential"], "application_credential": credential}}}
        domain = {"name": self.domain}
        user = {"name": self.username, "domain": domain, "password": self.password}
        return {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"name": self.project, "domain": domain}},
            }
        }


@dataclass(frozen=True, slots=True)
class _Session:
    token: str
    #: The account's address, such as https://swift.example.org/v1/AUTH_team.
    url: str
    renew_at: float


class SwiftStore:
    """A container."""

    def __init__(
        self, name: str, *, login: SwiftLogin, container: str, temp_url_key: str | None, guard: NetworkGuard
    ) -> None:
        self.name = name
        self._login = login
        self._container = container
        self._temp_url_key = temp_url_key
        self._web = WebSession(name, guard)
        self._logging_in = asyncio.Lock()
        self._session: _Session | None = None
        self._preparing = asyncio.Lock()
        self._signer: tuple[str, str] | None = None

    async def _logged_in(self, refused: _Session | None = None) -> _Session:
        """The session; a new one if it is old, or is the one that the store has just refused."""
        async with self._logging_in:
            if self._session is None or self._session is refused or time.monotonic() >= self._session.renew_at:
                self._session = await (self._ask_keystone() if self._login.is_keystone else self._ask_tempauth())
            return self._session

    async def _ask_tempauth(self) -> _Session:
        credentials = {"X-Auth-User": self._login.username, "X-Auth-Key": self._login.password}
        headers = (await self._web.ask("log in", "", "GET", self._login.auth_url, headers=credentials)).headers
        if "X-Auth-Token" not in headers or "X-Storage-Url" not in headers:
            raise Unsupported(self.name, "log in", "", f"{self._login.auth_url} does not speak like TempAuth")
        lifetime = float(headers.get("X-Auth-Token-Expires", "3600"))
        return _Session(
            headers["X-Auth-Token"], headers["X-Storage-Url"].rstrip("/"), time.monotonic() + lifetime * 0.8
        )

    async def _ask_keystone(self) -> _Session:
        url = f"{self._login.auth_url.rstrip('/')}/auth/tokens"
        answered = await self._web.ask("log in", "", "POST", url, json=self._login.body())
        token = answered.headers.get("X-Subject-Token")
        try:
            answer = orjson.loads(answered.body)
            expires = datetime.fromisoformat(answer["token"]["expires_at"])
            endpoints = [
                endpoint
                for service in answer["token"].get("catalog", ())
                if service["type"] == "object-store"
                for endpoint in service["endpoints"]
                if endpoint["interface"] == "public" and self._login.region in (None, endpoint.get("region_id"))
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise Unsupported(self.name, "log in", "", f"{url} does not speak like Keystone") from error
        if not token or not endpoints:
            where = f" in region {self._login.region}" if self._login.region else ""
            raise Unsupported(self.name, "log in", "", f"Keystone knows no object store{where} for this project")
        lifetime = (expires - datetime.now(UTC)).total_seconds()
        return _Session(token, str(endpoints[0]["url"]).rstrip("/"), time.monotonic() + lifetime * 0.8)

    async def _ask(
        self,
        operation: str,
        method: str,
        key: str | None,
        *,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> Answer:
        """Asks, authorised, of an object, or of the container."""

        async def ask(session: _Session) -> Answer:
            url = f"{session.url}/{quote(self._container)}" + ("" if key is None else f"/{quote(key)}")
            query = f"?{urlencode(parameters)}" if parameters else ""
            authorized = {"X-Auth-Token": session.token, **(headers or {})}
            return await self._web.ask(operation, key or "", method, url + query, headers=authorized, data=data)

        session = await self._logged_in()
        try:
            try:
                return await ask(session)
            except BadCredentials:
                # tokens may be revoked before they expire
                return await ask(await self._logged_in(refused=session))
        except NotFound as error:
            if key is None or method == "PUT":
                cause = f"there is no container {self._container!r} (HTTP 404)"
                raise BucketMissing(self.name, operation, key or "", cause) from error
            raise

    async def stat(self, key: str) -> Stat:
        headers = (await self._ask("stat", "HEAD", key)).headers
        etag = headers.get("Etag", "").strip('"')
        attests = not _is_in_segments(headers) and "X-Object-Manifest" not in headers
        return Stat(int(headers["Content-Length"]), etag, etag, Expected(md5=etag if attests else None))

    @asynccontextmanager
    async def open(self, key: str, *, if_match: str | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        condition = {"If-Match": f'"{if_match.strip(chr(34))}"'} if if_match else {}

        def stream(session: _Session) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
            url = f"{session.url}/{quote(self._container)}/{quote(key)}"
            return self._web.stream("open", key, url, {"X-Auth-Token": session.token, **condition})

        session = await self._logged_in()
        async with AsyncExitStack() as stack:
            try:
                chunks = await stack.enter_async_context(stream(session))
            except BadCredentials:
                chunks = await stack.enter_async_context(stream(await self._logged_in(refused=session)))
            yield chunks

    async def create(self, key: str, content: bytes) -> Stat:
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        headers = {**_ANY_BYTES, "If-None-Match": "*", "ETag": md5}
        try:
            await self._ask("create", "PUT", key, headers=headers, data=content)
        except PreconditionFailed as error:
            raise AlreadyExists(self.name, "create", key, "there is an object already") from error
        return Stat(len(content), md5, md5, Expected(md5=md5))

    async def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Entry]:
        while True:
            parameters = {"format": "json", "prefix": prefix, "marker": after}
            page = orjson.loads((await self._ask("list", "GET", None, parameters=parameters)).body)
            for each in page:
                yield Entry(each["name"], each["bytes"], str(each.get("slo_etag") or each["hash"]).strip('"'))
            if not page:
                return
            after = page[-1]["name"]

    async def sign_get(self, key: str, *, seconds: int, filename: str, media_type: str | None) -> str | None:
        return await self._signed("GET", key, seconds, filename=plain_name(filename))

    def plan_upload(self, size: int) -> UploadPlan:
        if size > _LARGEST:
            raise Unsupported(self.name, "plan", "", f"Swift keeps files of {_LARGEST} bytes at most")
        return UploadPlan.cut(size, smallest=_PART, whole_up_to=_PART, most_parts=_MOST_PARTS)

    async def begin_upload(self, key: str, plan: UploadPlan) -> str:
        return "" if plan.part_count == 1 else key + _SEGMENTS

    async def sign_part(
        self, key: str, session: str, plan: UploadPlan, number: int, *, expected: Expected, seconds: int
    ) -> SignedRequest | None:
        if plan.part_count > 1:
            return SignedRequest("PUT", await self._signed("PUT", _segment(session, number), seconds), _ANY_BYTES)
        headers = {**_ANY_BYTES, "If-None-Match": "*", **({"ETag": expected.md5} if expected.md5 else {})}
        return SignedRequest("PUT", await self._signed("PUT", key, seconds), headers)

    async def received_parts(self, key: str, session: str, plan: UploadPlan) -> Mapping[int, int]:
        if plan.part_count > 1:
            return {number: segment.size for number, segment in (await self._segments(session)).items()}
        try:
            return {1: (await self.stat(key)).size}
        except NotFound:
            return {}

    async def _segments(self, session: str) -> dict[int, Entry]:
        return {int(entry.key.removeprefix(session)): entry async for entry in self.list(session)}

    async def complete_upload(self, key: str, session: str, plan: UploadPlan, expected: Expected) -> Stat:
        if plan.part_count > 1:
            await assemble_once(self, key, lambda: self._assemble(key, session, plan))
        return await require_arrival(self, key, plan, expected)

    async def _assemble(self, key: str, session: str, plan: UploadPlan) -> None:
        segments = await self._segments(session)
        for number in range(1, plan.part_count + 1):
            # listings may be behind
            if number not in segments:
                try:
                    stat = await self.stat(_segment(session, number))
                except NotFound:
                    break
                segments[number] = Entry(_segment(session, number), stat.size, stat.etag)
        require_parts(self.name, key, plan, {number: segment.size for number, segment in segments.items()})
        manifest = [
            {"path": f"/{self._container}/{segment.key}", "etag": segment.etag, "size_bytes": segment.size}
            for _, segment in sorted(segments.items())
        ]
        parameters, headers = {"multipart-manifest": "put"}, {**_ANY_BYTES, "If-None-Match": "*"}
        # where there is an object, it is the same one, if a twin was faster; its size is compared next
        with suppress(PreconditionFailed):
            await self._ask("complete", "PUT", key, parameters=parameters, headers=headers, data=orjson.dumps(manifest))

    async def abort_upload(self, key: str, session: str) -> None:
        if session:
            left = [entry.key async for entry in self.list(session)]
            await asyncio.gather(*(self._delete(each) for each in left))

    async def delete(self, key: str) -> None:
        try:
            in_segments = _is_in_segments((await self._ask("delete", "HEAD", key)).headers)
        except NotFound:
            return
        await self._delete(key, {"multipart-manifest": "delete"} if in_segments else {})

    async def _delete(self, key: str, parameters: Mapping[str, str] | None = None) -> None:
        try:
            accept = {"Accept": "application/json"}
            body = (await self._ask("delete", "DELETE", key, headers=accept, parameters=parameters)).body
        except NotFound:
            return
        # deleting with segments succeeds always, and tells of errors inside
        if parameters and (errors := orjson.loads(body).get("Errors")):
            raise Unavailable(self.name, "delete", key, f"{len(errors)} segments were not deleted: {errors[0][1]}")

    async def aclose(self) -> None:
        await self._web.aclose()

    async def _signed(self, method: str, key: str, seconds: int, **more: str) -> str:
        secret, digest = await self._prepared()
        session = await self._logged_in()
        host, path = urlsplit(session.url).netloc, unquote(urlsplit(session.url).path)
        path = f"{path}/{self._container}/{key}"
        expires = int(time.time()) + seconds
        signature = hmac.new(secret.encode(), f"{method}\n{expires}\n{path}".encode(), digest).hexdigest()
        query = urlencode({"temp_url_sig": signature, "temp_url_expires": expires, **more}, quote_via=quote)
        return f"{urlsplit(session.url).scheme}://{host}{quote(path)}?{query}"

    async def _prepared(self) -> tuple[str, str]:
        """The key that links are signed with, and the digest that the store knows."""
        async with self._preparing:
            if self._signer is None:
                self._signer = (await self._find_temp_url_key(), await self._find_digest())
            return self._signer

    async def _find_temp_url_key(self) -> str:
        """The key given, unless the store is seen to have others; else the container's, made if there is none."""
        found = (await self._ask("read the key of links", "HEAD", None)).headers
        names = ("X-Container-Meta-Temp-Url-Key", "X-Container-Meta-Temp-Url-Key-2")
        known = [found[name] for name in names if name in found]
        if self._temp_url_key is None:
            if not known:
                # the same from every server process, which may all be doing this now
                known = [hashlib.sha256(f"{self._container}\n{self._login.password}".encode()).hexdigest()]
                await self._ask(
                    "set the key of links", "POST", None, headers={"X-Container-Meta-Temp-URL-Key": known[0]}
                )
            return known[0]
        session = await self._logged_in()
        try:
            token = {"X-Auth-Token": session.token}
            found = (await self._web.ask("read the key of links", "", "HEAD", session.url, headers=token)).headers
            names = ("X-Account-Meta-Temp-Url-Key", "X-Account-Meta-Temp-Url-Key-2")
            known += [found[name] for name in names if name in found]
        except Forbidden:
            # who may not see the account's keys is believed
            return self._temp_url_key
        if self._temp_url_key not in known:
            raise BadCredentials(self.name, "sign", "", "neither the container nor the account has this tempUrlKey")
        return self._temp_url_key

    async def _find_digest(self) -> str:
        parts = urlsplit((await self._logged_in()).url)
        try:
            answer = await self._web.ask("read /info", "", "GET", f"{parts.scheme}://{parts.netloc}/info")
            digests = orjson.loads(answer.body)["tempurl"]["allowed_digests"]
        except (StoreError, orjson.JSONDecodeError, KeyError, TypeError):
            # not told to everybody
            return "sha256"
        return "sha256" if "sha256" in digests else "sha1"


def _segment(session: str, number: int) -> str:
    return f"{session}{number:05}"


def _is_in_segments(headers: Mapping[str, str]) -> bool:
    return headers.get("X-Static-Large-Object", "").lower() == "true"
