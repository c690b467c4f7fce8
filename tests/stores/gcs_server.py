"""A strict stand-in for Google Cloud Storage: what it checks, the one emulator that can be installed does not.

    python -m tests.stores.gcs_server PORT KEY.json BUCKET

It knows service accounts' tokens (RS256), V4 signed links, generations, preconditions, md5 and CRC32C, composed objects
and pages of listings; tests/stores/test_gcs.py has Google's own client use it, so that it is checked by others' code.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import google_crc32c
import jwt
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

#: Objects of a listing's page: few, so that short listings have pages.
_PAGE = 3
_MOST_COMPONENTS = 32
_LONGEST_LINK = 7 * 24 * 3600


def make_key(path: Path, url: str) -> dict[str, str]:
    """A service account's key file, as Google's console gives it, for a server at an address."""
    private = rsa.generate_private_key(65537, 2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = {
        "type": "service_account",
        "project_id": "tests",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": "waymark@tests.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": f"{url}/token",
    }
    path.write_text(json.dumps(key))
    return key


class _RefusalError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class _Object:
    content: bytes
    generation: int
    media_type: str
    components: int | None = None

    def metadata(self, bucket: str, name: str) -> dict[str, Any]:
        crc = google_crc32c.value(self.content)
        found = {
            "kind": "storage#object",
            "bucket": bucket,
            "name": name,
            "size": str(len(self.content)),
            "generation": str(self.generation),
            "metageneration": "1",
            "contentType": self.media_type,
            "crc32c": base64.b64encode(crc.to_bytes(4, "big")).decode(),
        }
        if self.components:
            return {**found, "componentCount": self.components}
        return {**found, "md5Hash": _md5(self.content)}


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content).digest()).decode()


class _Server:
    def __init__(self, key: Mapping[str, str], bucket: str) -> None:
        self._email = key["client_email"]
        # Google's own client names Google whatever the key says
        self._audiences = [key["token_uri"], "https://oauth2.googleapis.com/token"]
        private = serialization.load_pem_private_key(key["private_key"].encode(), None)
        assert isinstance(private, rsa.RSAPrivateKey)
        self._public = private.public_key()
        self._bucket = bucket
        self._tokens: set[str] = set()
        self._objects: dict[str, _Object] = {}
        #: Resumable uploads: the object's name, its precondition, and what has arrived.
        self._sessions: dict[str, tuple[str, str | None, bytearray]] = {}
        self._generation = time.time_ns() // 1000

    async def handle(self, request: web.Request) -> web.Response:
        parts = [unquote(part) for part in request.rel_url.raw_path.split("/")[1:]]
        is_json = parts[0] in ("storage", "upload", "download", "token")
        try:
            if parts == ["token"]:
                return await self._token(request)
            if is_json:
                self._authorize(request)
                return await self._json(request, parts)
            return await self._xml(request, parts)
        except _RefusalError as refusal:
            if is_json:
                error = {"error": {"code": refusal.status, "message": str(refusal)}}
                return web.json_response(error, status=refusal.status)
            text = f"<?xml version='1.0'?><Error><Message>{refusal}</Message></Error>"
            return web.Response(status=refusal.status, text=text, content_type="application/xml")

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        try:
            claims = jwt.decode(str(form.get("assertion")), self._public, ["RS256"], audience=self._audiences)
        except jwt.InvalidTokenError as error:
            raise _RefusalError(400, f"invalid_grant: {error}") from error
        if claims["iss"] != self._email or (
            "devstorage" not in claims["scope"] and "cloud-platform" not in claims["scope"]
        ):
            raise _RefusalError(400, "invalid_grant")
        token = base64.b64encode(hashlib.sha256(str(time.time_ns()).encode()).digest()).decode()
        self._tokens.add(token)
        return web.json_response({"access_token": token, "expires_in": 3600, "token_type": "Bearer"})

    def _authorize(self, request: web.Request) -> None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token in self._tokens:
            return
        # a service account may also sign its tokens itself
        try:
            claims = jwt.decode(token, self._public, ["RS256"], options={"verify_aud": False, "require": ["exp"]})
        except jwt.InvalidTokenError as error:
            raise _RefusalError(401, "Invalid Credentials") from error
        if claims["iss"] != self._email:
            raise _RefusalError(401, "Invalid Credentials")

    async def _json(self, request: web.Request, parts: list[str]) -> web.Response:
        upload = parts[0] == "upload"
        match request.method, parts[1:] if parts[0] != "storage" else parts:
            case _, ["storage", "v1", "b", bucket, *_] if bucket != self._bucket:
                raise _RefusalError(404, "The specified bucket does not exist.")
            case "GET", ["storage", "v1", "b", bucket]:
                return web.json_response({"kind": "storage#bucket", "name": bucket})
            case "POST", ["storage", "v1", "b", _, "o"] if upload and request.query["uploadType"] == "multipart":
                return await self._insert(request)
            case "POST", ["storage", "v1", "b", _, "o"] if upload and request.query["uploadType"] == "resumable":
                return await self._begin(request)
            case "PUT", ["storage", "v1", "b", _, "o"] if upload:
                return await self._resume(request)
            case "GET", ["storage", "v1", "b", _, "o"]:
                return self._list(request)
            case "GET", ["storage", "v1", "b", _, "o", name]:
                found = self._checked(name, request.query.get("ifGenerationMatch"))
                if request.query.get("alt") == "media":
                    return self._bytes(found)
                return web.json_response(found.metadata(self._bucket, name))
            case "DELETE", ["storage", "v1", "b", _, "o", name]:
                self._checked(name, request.query.get("ifGenerationMatch"))
                del self._objects[name]
                return web.Response(status=204)
            case "POST", ["storage", "v1", "b", _, "o", name, "compose"]:
                return await self._compose(request, name)
        raise _RefusalError(404, f"no method {request.method} {request.path}")

    async def _insert(self, request: web.Request) -> web.Response:
        head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
        parts: Any = BytesParser().parsebytes(head + await request.read()).get_payload()
        described, media = parts
        metadata = json.loads(_payload(described))
        content = _payload(media)
        if metadata.get("md5Hash", _md5(content)) != _md5(content):
            raise _RefusalError(400, "Provided MD5 hash doesn't match calculated MD5 hash")
        name = str(metadata.get("name") or request.query["name"])
        return self._keep(name, content, media.get_content_type(), request.query.get("ifGenerationMatch"))

    async def _begin(self, request: web.Request) -> web.Response:
        metadata = await request.json()
        self._check(metadata["name"], request.query.get("ifGenerationMatch"))
        session = f"{time.time_ns()}"
        self._sessions[session] = (metadata["name"], request.query.get("ifGenerationMatch"), bytearray())
        return web.Response(headers={"Location": str(request.url.update_query(upload_id=session))})

    async def _resume(self, request: web.Request) -> web.Response:
        name, condition, received = self._sessions[request.query["upload_id"]]
        place, _, total = request.headers["Content-Range"].removeprefix("bytes ").partition("/")
        content = await request.read()
        if place != "*":
            if int(place.partition("-")[0]) != len(received):
                raise _RefusalError(503, f"expected a range from {len(received)}")
            received += content
        if total == "*" or len(received) < int(total):
            found = {"Range": f"bytes=0-{len(received) - 1}"} if received else {}
            return web.Response(status=308, headers=found)
        del self._sessions[request.query["upload_id"]]
        return self._keep(name, bytes(received), "application/octet-stream", condition)

    async def _compose(self, request: web.Request, name: str) -> web.Response:
        wanted = await request.json()
        if not 1 <= len(wanted["sourceObjects"]) <= _MOST_COMPONENTS:
            raise _RefusalError(400, "The number of source components provided exceeds the maximum (32).")
        sources = [self._checked(each["name"]) for each in wanted["sourceObjects"]]
        for each, source in zip(wanted["sourceObjects"], sources, strict=True):
            if int(each.get("generation", source.generation)) != source.generation:
                raise _RefusalError(404, f"No such object: {self._bucket}/{each['name']}")
        content = b"".join(source.content for source in sources)
        count = sum(source.components or 1 for source in sources)
        media_type = wanted.get("destination", {}).get("contentType", "application/octet-stream")
        return self._keep(name, content, media_type, request.query.get("ifGenerationMatch"), components=count)

    def _keep(
        self, name: str, content: bytes, media_type: str, condition: str | None, *, components: int | None = None
    ) -> web.Response:
        self._check(name, condition)
        self._generation += 1
        made = self._objects[name] = _Object(content, self._generation, media_type, components)
        return web.json_response(made.metadata(self._bucket, name))

    def _list(self, request: web.Request) -> web.Response:
        begins = [request.query.get("startOffset", ""), request.query.get("pageToken", "")]
        names = sorted(
            (name for name in self._objects if name.startswith(request.query.get("prefix", ""))), key=str.encode
        )
        left = [name for name in names if all(name.encode() >= begin.encode() for begin in begins)]
        items = [self._objects[name].metadata(self._bucket, name) for name in left[:_PAGE]]
        more = {"nextPageToken": left[_PAGE]} if len(left) > _PAGE else {}
        return web.json_response({"kind": "storage#objects", **({"items": items} if items else {}), **more})

    def _checked(self, name: str, condition: str | None = None) -> _Object:
        if name not in self._objects:
            raise _RefusalError(404, f"No such object: {self._bucket}/{name}")
        self._check(name, condition)
        return self._objects[name]

    def _check(self, name: str, condition: str | None) -> None:
        if condition is None:
            return
        if not condition.isdecimal():
            raise _RefusalError(400, f"Invalid value for ifGenerationMatch: {condition}")
        there = self._objects.get(name)
        if int(condition) != (there.generation if there else 0):
            raise _RefusalError(412, "At least one of the pre-conditions you specified did not hold.")

    def _bytes(self, found: _Object, headers: Mapping[str, str] | None = None) -> web.Response:
        crc = base64.b64encode(google_crc32c.value(found.content).to_bytes(4, "big")).decode()
        vouched = {"x-goog-hash": f"crc32c={crc}", "x-goog-generation": str(found.generation)}
        return web.Response(
            body=found.content, headers={"Content-Type": found.media_type, **vouched, **(headers or {})}
        )

    async def _xml(self, request: web.Request, parts: list[str]) -> web.Response:
        self._verify(request)
        bucket, name = parts[0], "/".join(parts[1:])
        if bucket != self._bucket:
            raise _RefusalError(404, "The specified bucket does not exist.")
        if request.method == "GET":
            changes = {
                header: request.query[parameter]
                for parameter, header in (
                    ("response-content-disposition", "Content-Disposition"),
                    ("response-content-type", "Content-Type"),
                )
                if parameter in request.query
            }
            return self._bytes(self._checked(name), changes)
        if request.method != "PUT":
            raise _RefusalError(405, "The specified method is not allowed against this resource.")
        content = await request.read()
        least, _, most = request.headers.get("x-goog-content-length-range", f"0,{len(content)}").partition(",")
        if not int(least) <= len(content) <= int(most):
            raise _RefusalError(400, "EntityTooSmall or EntityTooLarge")
        if request.headers.get("Content-MD5", _md5(content)) != _md5(content):
            raise _RefusalError(400, "BadDigest")
        self._keep(name, content, request.content_type, request.headers.get("x-goog-if-generation-match"))
        return web.Response()

    def _verify(self, request: web.Request) -> None:
        """Refuses a link that was not signed, as Google's V4 scheme has it, for just this request."""
        query = dict(parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True))
        signature = bytes.fromhex(query.pop("X-Goog-Signature", ""))
        try:
            stamp, scope = query["X-Goog-Date"], query["X-Goog-Credential"].partition("/")[2]
            email, names = query["X-Goog-Credential"].partition("/")[0], query["X-Goog-SignedHeaders"].split(";")
            seconds = int(query["X-Goog-Expires"])
        except KeyError as error:
            raise _RefusalError(403, "Access denied.") from error
        signed = {name: " ".join(request.headers.get(name, "").split()) for name in names}
        unsigned = [
            name for name in request.headers if name.lower().startswith("x-goog-") and name.lower() not in names
        ]
        lines = "".join(f"{name}:{text}\n" for name, text in signed.items())
        canonical = "&".join(f"{quote(name, safe='~')}={quote(text, safe='~')}" for name, text in sorted(query.items()))
        path = quote(unquote(request.rel_url.raw_path), safe="/~")
        text = f"{request.method}\n{path}\n{canonical}\n{lines}\n{';'.join(names)}\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(text.encode()).hexdigest()
        try:
            self._public.verify(
                signature,
                f"GOOG4-RSA-SHA256\n{stamp}\n{scope}\n{digest}".encode(),
                padding.PKCS1v15(),
                hashes.SHA256(),
            )
        except InvalidSignature as error:
            raise _RefusalError(403, "SignatureDoesNotMatch") from error
        if email != self._email or names != sorted(names) or "host" not in names or unsigned:
            raise _RefusalError(403, f"SignatureDoesNotMatch {unsigned}")
        begins = dt.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
        if not 0 < seconds <= _LONGEST_LINK or dt.datetime.now(dt.UTC) > begins + dt.timedelta(seconds=seconds):
            raise _RefusalError(400, "ExpiredToken")


def _payload(part: Any) -> bytes:
    content: bytes = part.get_payload(decode=True)
    return content


def main() -> None:
    port, key, bucket = int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), sys.argv[3]
    application = web.Application(client_max_size=1024**3)
    application.router.add_route("*", "/{path:.*}", _Server(key, bucket).handle)
    web.run_app(application, host="127.0.0.1", port=port, print=None)


if __name__ == "__main__":
    main()
