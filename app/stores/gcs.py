"""Google Cloud Storage: its JSON API for the server, and links signed by V4 for its clients.

One part is a PUT behind a link that may create and not overwrite. More parts are objects of their own, behind such
links each, which the server composes into the final one, only where nothing is.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import io
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from uuid import uuid4

import aiohttp
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from gcloud.aio.auth import Token

from app.stores.base import (
    AlreadyExists,
    BadCredentials,
    BucketMissing,
    Entry,
    Expected,
    NotFound,
    PreconditionFailed,
    SignedRequest,
    Stat,
    StoreError,
    Unavailable,
    Unsupported,
    UploadPlan,
    assemble_once,
    attachment,
    require_arrival,
    require_parts,
)
from app.stores.web import WebSession
from app.transfer.guard import NetworkGuard

_MEBIBYTE = 1024 * 1024
# Google, "Quotas and limits": objects of 5 TiB; "Composite objects": 32 components in one request, any number in all
_PART = 64 * _MEBIBYTE
_MOST_PARTS = 10_000
_COMPONENTS = 32
_PARTS = ".parts/"
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"


class GcsStore:
    """A bucket."""

    def __init__(
        self,
        name: str,
        *,
        bucket: str,
        endpoint_url: str | None,
        service_account_key: Mapping[str, Any] | None,
        guard: NetworkGuard,
    ) -> None:
        self.name = name
        self._bucket = bucket
        self._url = (endpoint_url or "https://storage.googleapis.com").rstrip("/")
        self._objects = f"{self._url}/storage/v1/b/{quote(bucket, safe='')}/o"
        self._web = WebSession(name, guard)
        self._identity = _Identity(name, service_account_key, self._web)

    async def _ask(
        self,
        operation: str,
        key: str,
        method: str,
        url: str,
        parameters: Mapping[str, str],
        *,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Any:
        """The JSON that an authorised request is answered with."""
        headers = await self._authorized(operation, key) | dict(headers or {})
        with self._failures(operation, key):
            answer = await self._web.ask(
                operation, key, method, f"{url}?{urlencode(parameters)}", headers=headers, **options
            )
        return orjson.loads(answer.body or b"null")

    async def _authorized(self, operation: str, key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {await self._identity.token(operation, key)}"}

    @contextmanager
    def _failures(self, operation: str, key: str) -> Iterator[None]:
        try:
            yield
        except NotFound as error:
            if "The specified bucket" in error.cause:
                raise BucketMissing(self.name, operation, key, error.cause) from error
            raise

    def _object(self, key: str) -> str:
        return f"{self._objects}/{quote(key, safe='')}"

    async def stat(self, key: str) -> Stat:
        return _stat(await self._ask("stat", key, "GET", self._object(key), {"fields": _FIELDS}))

    @asynccontextmanager
    async def open(self, key: str, *, if_match: str | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        parameters = {"alt": "media"}
        if if_match is not None:
            if not if_match.isdecimal():
                raise PreconditionFailed(self.name, "open", key, f"{if_match} is no generation of an object")
            parameters["ifGenerationMatch"] = if_match
        url = f"{self._object(key)}?{urlencode(parameters)}"
        async with AsyncExitStack() as stack:
            headers = await self._authorized("open", key)
            with self._failures("open", key):
                chunks = await stack.enter_async_context(self._web.stream("open", key, url, headers))
            yield chunks

    async def create(self, key: str, content: bytes) -> Stat:
        boundary = uuid4().hex
        body = b"\r\n".join(
            [
                f"--{boundary}".encode(),
                b"Content-Type: application/json; charset=UTF-8",
                b"",
                orjson.dumps(
                    {
                        "name": key,
                        "md5Hash": base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode(),
                    }
                ),
                f"--{boundary}".encode(),
                b"Content-Type: application/octet-stream",
                b"",
                content,
                f"--{boundary}--".encode(),
            ]
        )
        try:
            made = await self._ask(
                "create",
                key,
                "POST",
                f"{self._url}/upload/storage/v1/b/{quote(self._bucket, safe='')}/o",
                {"uploadType": "multipart", "ifGenerationMatch": "0", "fields": _FIELDS},
                headers={"Content-Type": f"multipart/related; boundary={boundary}"},
                data=body,
            )
        except PreconditionFailed as error:
            raise AlreadyExists(self.name, "create", key, "there is an object already") from error
        return _stat(made)

    async def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Entry]:
        parameters = {"prefix": prefix, "fields": "nextPageToken,items(name,size,generation)"}
        if after > prefix:
            parameters["startOffset"] = after
        while True:
            page = await self._ask("list", prefix, "GET", self._objects, parameters)
            for each in page.get("items", ()):
                if each["name"] > after:
                    yield Entry(each["name"], int(each["size"]), str(each["generation"]))
            if not page.get("nextPageToken"):
                return
            parameters["pageToken"] = page["nextPageToken"]

    async def sign_get(self, key: str, *, seconds: int, filename: str, media_type: str | None) -> str | None:
        more = {"response-content-disposition": attachment(filename)}
        if media_type:
            more["response-content-type"] = media_type
        return await self._signed("GET", key, seconds, query=more)

    def plan_upload(self, size: int) -> UploadPlan:
        return UploadPlan.cut(size, smallest=_PART, whole_up_to=_PART, most_parts=_MOST_PARTS)

    async def begin_upload(self, key: str, plan: UploadPlan) -> str:
        return "" if plan.part_count == 1 else key + _PARTS

    async def sign_part(
        self, key: str, session: str, plan: UploadPlan, number: int, *, expected: Expected, seconds: int
    ) -> SignedRequest | None:
        size = plan.size_of(number)
        headers = {"x-goog-content-length-range": f"{size},{size}"}
        if plan.part_count > 1:
            # a part may be sent again, when the answer to the first time was lost
            return SignedRequest("PUT", await self._signed("PUT", _part(session, number), seconds, headers), headers)
        headers["x-goog-if-generation-match"] = "0"
        if expected.md5:
            headers["Content-MD5"] = base64.b64encode(bytes.fromhex(expected.md5)).decode()
        return SignedRequest("PUT", await self._signed("PUT", key, seconds, headers), headers)

    async def received_parts(self, key: str, session: str, plan: UploadPlan) -> Mapping[int, int]:
        if plan.part_count > 1:
            return {number: part.size for number, part in (await self._parts(session)).items()}
        try:
            return {1: (await self.stat(key)).size}
        except NotFound:
            return {}

    async def _parts(self, session: str) -> dict[int, Entry]:
        found = [entry async for entry in self.list(session)]
        numbered = ((entry.key.removeprefix(session), entry) for entry in found)
        return {int(number): entry for number, entry in numbered if number.isdecimal()}

    async def complete_upload(self, key: str, session: str, plan: UploadPlan, expected: Expected) -> Stat:
        if plan.part_count > 1:
            await assemble_once(self, key, lambda: self._assemble(key, session, plan))
        return await require_arrival(self, key, plan, expected)

    async def _assemble(self, key: str, session: str, plan: UploadPlan) -> None:
        parts = await self._parts(session)
        require_parts(self.name, key, plan, {number: part.size for number, part in parts.items()})
        # the generations pin the parts that have been counted
        components = [(part.key, str(part.etag)) for _, part in sorted(parts.items())]
        # not in the way of a twin of this call, which composes the same
        level = f"{session}{uuid4().hex}/"
        while len(components) > _COMPONENTS:
            groups = [components[start : start + _COMPONENTS] for start in range(0, len(components), _COMPONENTS)]
            targets = [f"{level}{number:05}" for number in range(len(groups))]
            made = await asyncio.gather(*(self._compose(*each) for each in zip(targets, groups, strict=True)))
            components, level = list(zip(targets, made, strict=True)), f"{level}above/"
        # where there is an object, it is the same one, if a twin was faster; its size is compared next
        with suppress(PreconditionFailed):
            await self._compose(key, components, create_only=True)
        await self.abort_upload(key, session)

    async def _compose(self, key: str, components: Sequence[tuple[str, str]], *, create_only: bool = False) -> str:
        """Makes one object of up to 32; returns its generation."""
        sources = [{"name": name, "generation": generation} for name, generation in components]
        made = await self._ask(
            "compose",
            key,
            "POST",
            f"{self._object(key)}/compose",
            {"fields": "generation", **({"ifGenerationMatch": "0"} if create_only else {})},
            json={"sourceObjects": sources, "destination": {"contentType": "application/octet-stream"}},
        )
        return str(made["generation"])

    async def abort_upload(self, key: str, session: str) -> None:
        if session:
            left = [entry.key async for entry in self.list(session)]
            await asyncio.gather(*(self.delete(each) for each in left))

    async def delete(self, key: str) -> None:
        with suppress(NotFound):
            await self._ask("delete", key, "DELETE", self._object(key), {})

    async def aclose(self) -> None:
        await self._identity.aclose()
        await self._web.aclose()

    async def _signed(
        self,
        method: str,
        key: str,
        seconds: int,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> str:
        """A link by Google's V4 scheme: good for this method, this object and these headers, for some seconds."""
        now = dt.datetime.now(dt.UTC)
        stamp, scope = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d/auto/storage/goog4_request")
        signed = {"host": urlsplit(self._url).netloc, **{name.lower(): text for name, text in (headers or {}).items()}}
        names = ";".join(sorted(signed))
        parameters = {
            "X-Goog-Algorithm": "GOOG4-RSA-SHA256",
            "X-Goog-Credential": f"{self._identity.email}/{scope}",
            "X-Goog-Date": stamp,
            "X-Goog-Expires": str(seconds),
            "X-Goog-SignedHeaders": names,
            **(query or {}),
        }
        path = f"/{self._bucket}/{quote(key, safe='/~')}"
        canonical_query = urlencode(sorted(parameters.items()), quote_via=quote, safe="~")
        canonical_headers = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
        canonical = f"{method}\n{path}\n{canonical_query}\n{canonical_headers}\n{names}\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        signature = await self._identity.sign(key, f"GOOG4-RSA-SHA256\n{stamp}\n{scope}\n{digest}".encode())
        return f"{self._url}{path}?{canonical_query}&X-Goog-Signature={signature.hex()}"


def read_private_key(pem: str) -> rsa.RSAPrivateKey:
    """The key with which a service account signs; a text that is none is a ValueError."""
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("it is no RSA key")
    return key


class _Identity:
    """Who the store is to Google: a service account by its key, or the server itself where it may be that."""

    def __init__(self, store: str, key: Mapping[str, Any] | None, web: WebSession) -> None:
        self._store = store
        self._key = key
        self._web = web
        self._source: Token | None = None
        self._private_key: rsa.RSAPrivateKey | None = None
        self._renewing = asyncio.Lock()
        self._token = ""
        self._renew_at = 0.0

    async def token(self, operation: str, key: str) -> str:
        async with self._renewing:
            if time.monotonic() >= self._renew_at:
                with self._failures(operation, key):
                    # the library's own way to keep tokens tries a refused key five times, for half a minute
                    fresh = await self._opened().refresh(timeout=10)
                self._token, self._renew_at = fresh.value, time.monotonic() + fresh.expires_in * 0.8
            return self._token

    async def sign(self, key: str, text: bytes) -> bytes:
        with self._failures("sign", key):
            self._opened()
        if self._private_key is None:
            raise Unsupported(self._store, "sign", key, "links can only be signed with a service account's key")
        # takes a millisecond
        return await asyncio.to_thread(self._private_key.sign, text, padding.PKCS1v15(), hashes.SHA256())

    @property
    def email(self) -> str:
        return str(self._opened().service_data.get("client_email", ""))

    def _opened(self) -> Token:
        if self._source is None:
            if self._key is None:
                # in the server's own network, where the guard would not let it
                source = Token(scopes=[_SCOPE])
            else:
                session: Any = self._web.session
                source = Token(io.StringIO(orjson.dumps(self._key).decode()), session, [_SCOPE])
            if pem := source.service_data.get("private_key"):
                self._private_key = read_private_key(pem)
            self._source = source
        return self._source

    @contextmanager
    def _failures(self, operation: str, key: str) -> Iterator[None]:
        try:
            yield
        except aiohttp.ClientResponseError as error:
            kind: type[StoreError] = Unavailable if error.status >= 500 else BadCredentials
            cause = f"Google refuses the service account's key (HTTP {error.status})"
            raise kind(self._store, operation, key, cause) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(self._store, operation, key, str(error) or type(error).__name__) from error
        except (KeyError, ValueError, TypeError) as error:
            raise BadCredentials(self._store, operation, key, "the service account's key cannot be read") from error

    async def aclose(self) -> None:
        if self._source is not None and self._key is None:
            await self._source.close()


def _part(session: str, number: int) -> str:
    return f"{session}{number:05}"


_FIELDS = "size,generation,md5Hash"


def _stat(found: Mapping[str, Any]) -> Stat:
    """An object's metadata; those that are composed of others have no md5."""
    md5 = found.get("md5Hash")
    generation = str(found["generation"])
    return Stat(int(found["size"]), generation, generation, Expected(md5=base64.b64decode(md5).hex() if md5 else None))
