"""S3 and what speaks like it, through aioboto3.

One part is a presigned PUT that the store itself refuses to let overwrite (If-None-Match), of the announced length and,
where the client announced it, of the announced sha256. More parts are a multipart upload that we complete, again only
where nothing is.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import aioboto3
import aiohttp
from aiobotocore.config import AioConfig
from aiohttp.abc import AbstractResolver
from botocore import exceptions as boto
from botocore.exceptions import ClientError

from app.stores.base import (
    AlreadyExists,
    BadCredentials,
    BucketMissing,
    ChecksumMismatch,
    Entry,
    Expected,
    Forbidden,
    NotFound,
    PreconditionFailed,
    SignedRequest,
    SizeMismatch,
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

_MEBIBYTE = 1024 * 1024
# Amazon S3 User Guide, "Amazon S3 multipart upload limits": 1 to 10,000 parts of 5 MiB to 5 GiB
_SMALLEST_PART = 64 * _MEBIBYTE
_MOST_PARTS = 10_000
_CHUNK = 1024 * 1024
_KINDS: Mapping[str, type[StoreError]] = {
    "NoSuchKey": NotFound,
    "NoSuchUpload": NotFound,
    "NotFound": NotFound,
    "404": NotFound,
    "NoSuchBucket": BucketMissing,
    "PreconditionFailed": PreconditionFailed,
    "ConditionalRequestConflict": PreconditionFailed,
    "412": PreconditionFailed,
    "InvalidAccessKeyId": BadCredentials,
    "SignatureDoesNotMatch": BadCredentials,
    "ExpiredToken": BadCredentials,
    "InvalidToken": BadCredentials,
    "AccessDenied": Forbidden,
    "403": Forbidden,
    "BadDigest": ChecksumMismatch,
    "EntityTooLarge": SizeMismatch,
    "NotImplemented": Unsupported,
}


class S3Store:
    """A bucket."""

    def __init__(
        self,
        name: str,
        *,
        bucket: str,
        region: str | None,
        endpoint_url: str | None,
        access_key_id: str | None,
        secret_access_key: str | None,
        resolver: AbstractResolver,
    ) -> None:
        self.name = name
        self._bucket = bucket
        self._options: dict[str, Any] = {
            "region_name": region or "us-east-1",
            "endpoint_url": endpoint_url,
            "aws_access_key_id": access_key_id,
            "aws_secret_access_key": secret_access_key,
            "config": AioConfig(
                connector_args={"resolver": resolver},
                signature_version="s3v4",
                connect_timeout=10,
                read_timeout=60,
                max_pool_connections=50,
                retries={"mode": "standard", "total_max_attempts": 3},
                # stores that are not Amazon's know no checksum trailers
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": "path" if endpoint_url else "auto"},
            ),
        }
        self._opened = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._signing = asyncio.Lock()
        self._client: Any = None

    async def _connected(self) -> Any:
        async with self._opening:
            if self._client is None:
                self._client = await self._opened.enter_async_context(aioboto3.Session().client("s3", **self._options))
        return self._client

    async def _call(self, method: str, key: str, **arguments: Any) -> Any:
        client = await self._connected()
        with self._failures(method, key):
            return await getattr(client, method)(Bucket=self._bucket, Key=key, **arguments)

    async def stat(self, key: str) -> Stat:
        found = await self._call("head_object", key, ChecksumMode="ENABLED")
        return Stat(
            size=found["ContentLength"],
            etag=found.get("ETag"),
            version=found.get("VersionId"),
            attested=Expected(sha256=_hexadecimal(found.get("ChecksumSHA256"))),
        )

    @asynccontextmanager
    async def open(self, key: str, *, if_match: str | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        condition = {"IfMatch": if_match} if if_match else {}
        found = await self._call("get_object", key, **condition)
        async with found["Body"] as body:

            async def chunks() -> AsyncIterator[bytes]:
                with self._failures("get_object", key):
                    async for chunk in body.content.iter_chunked(_CHUNK):
                        yield chunk

            yield chunks()

    async def create(self, key: str, content: bytes) -> Stat:
        try:
            made = await self._call("put_object", key, Body=content, IfNoneMatch="*")
        except PreconditionFailed as error:
            raise AlreadyExists(self.name, "create", key, "there is an object already") from error
        return Stat(len(content), made.get("ETag"), made.get("VersionId"))

    async def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Entry]:
        client = await self._connected()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix, StartAfter=after)
        with self._failures("list_objects_v2", prefix):
            async for page in pages:
                for each in page.get("Contents", ()):
                    yield Entry(each["Key"], each["Size"], each.get("ETag"))

    async def sign_get(self, key: str, *, seconds: int, filename: str, media_type: str | None) -> str | None:
        return await self._sign(
            "get_object",
            key,
            seconds,
            ResponseContentDisposition=attachment(filename),
            **({"ResponseContentType": media_type} if media_type else {}),
        )

    def plan_upload(self, size: int) -> UploadPlan:
        return UploadPlan.cut(size, smallest=_SMALLEST_PART, whole_up_to=_SMALLEST_PART, most_parts=_MOST_PARTS)

    async def begin_upload(self, key: str, plan: UploadPlan) -> str:
        if plan.part_count == 1:
            return ""
        begun = await self._call("create_multipart_upload", key)
        return str(begun["UploadId"])

    async def sign_part(
        self, key: str, session: str, plan: UploadPlan, number: int, *, expected: Expected, seconds: int
    ) -> SignedRequest | None:
        if plan.part_count > 1:
            url = await self._sign("upload_part", key, seconds, UploadId=session, PartNumber=number)
            return SignedRequest("PUT", url, {})
        headers = {"If-None-Match": "*"}
        arguments: dict[str, Any] = {"IfNoneMatch": "*", "ContentLength": plan.size}
        if expected.sha256:
            arguments["ChecksumSHA256"] = base64.b64encode(bytes.fromhex(expected.sha256)).decode()
            headers["x-amz-checksum-sha256"] = arguments["ChecksumSHA256"]
        return SignedRequest("PUT", await self._sign("put_object", key, seconds, **arguments), headers)

    async def received_parts(self, key: str, session: str, plan: UploadPlan) -> Mapping[int, int]:
        try:
            if plan.part_count == 1:
                return {1: (await self.stat(key)).size}
            return {number: size for number, (size, _) in (await self._parts(key, session)).items()}
        except NotFound:
            return {}

    async def complete_upload(self, key: str, session: str, plan: UploadPlan, expected: Expected) -> Stat:
        if plan.part_count > 1:
            await assemble_once(self, key, lambda: self._assemble(key, session, plan))
        return await require_arrival(self, key, plan, expected)

    async def _assemble(self, key: str, session: str, plan: UploadPlan) -> None:
        parts = await self._parts(key, session)
        require_parts(self.name, key, plan, {number: size for number, (size, _) in parts.items()})
        assembled = {"Parts": [{"PartNumber": number, "ETag": etag} for number, (_, etag) in sorted(parts.items())]}
        try:
            await self._call(
                "complete_multipart_upload", key, UploadId=session, MultipartUpload=assembled, IfNoneMatch="*"
            )
        except PreconditionFailed:
            # there is an object: the same one, if a twin was faster; its size is compared next
            await self.abort_upload(key, session)

    async def _parts(self, key: str, session: str) -> dict[int, tuple[int, str]]:
        client = await self._connected()
        found: dict[int, tuple[int, str]] = {}
        with self._failures("list_parts", key):
            pages = client.get_paginator("list_parts").paginate(Bucket=self._bucket, Key=key, UploadId=session)
            async for page in pages:
                found |= {each["PartNumber"]: (each["Size"], each["ETag"]) for each in page.get("Parts", ())}
        return found

    async def abort_upload(self, key: str, session: str) -> None:
        if session:
            try:
                await self._call("abort_multipart_upload", key, UploadId=session)
            except NotFound:
                return

    async def delete(self, key: str) -> None:
        try:
            await self._call("delete_object", key)
        except NotFound:
            return

    async def aclose(self) -> None:
        await self._opened.aclose()

    async def _sign(self, method: str, key: str, seconds: int, **arguments: Any) -> str:
        client = await self._connected()
        # it takes half a millisecond of the event loop, so a page of links lets others in between
        async with self._signing:
            await asyncio.sleep(0)
            with self._failures("sign", key):
                url: str = await client.generate_presigned_url(
                    method, Params={"Bucket": self._bucket, "Key": key, **arguments}, ExpiresIn=seconds
                )
        return url

    @contextmanager
    def _failures(self, operation: str, key: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            detail: Any = error.response.get("Error", {})
            code = str(detail.get("Code", ""))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            kind = _KINDS.get(code) or (Unavailable if status >= 500 or code == "SlowDown" else Forbidden)
            cause = f"{code} {detail.get('Message', '')} (HTTP {status})".replace("  ", " ")
            raise kind(self.name, operation, key, cause) from error
        except boto.NoCredentialsError as error:
            raise BadCredentials(self.name, operation, key, "there are no credentials") from error
        except (boto.ConnectionError, boto.HTTPClientError, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(self.name, operation, key, _innermost(error)) from error
        except boto.BotoCoreError as error:
            raise Unsupported(self.name, operation, key, str(error)) from error


def _innermost(error: BaseException) -> str:
    """What really went wrong; botocore says only that it could not connect."""
    cause = error.__cause__ or error.__context__ or getattr(error, "kwargs", {}).get("error")
    return _innermost(cause) if isinstance(cause, BaseException) else str(error) or type(error).__name__


def _hexadecimal(checksum: str | None) -> str | None:
    """A checksum as S3 has it; those of several parts, which end in -<parts>, are none of the whole."""
    if checksum is None or "-" in checksum:
        return None
    return base64.b64decode(checksum).hex()
