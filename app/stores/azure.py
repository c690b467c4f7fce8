"""Azure Blob Storage, through Microsoft's asynchronous client.

One part is a Put Blob behind a link that may create and not overwrite. More parts are blocks; a link that may add
blocks may also overwrite, so they go to a staging blob, which is copied to its final name, only where nothing is.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import quote

import aiohttp
from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.blob import BlobBlock, BlobSasPermissions, generate_blob_sas
from azure.storage.blob.aio import BlobClient, ContainerClient, ExponentialRetry

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
from app.transfer.guard import NetworkGuard, guarded_connector

_MEBIBYTE = 1024 * 1024
# Microsoft, "Scalability and performance targets for Blob storage": 50,000 blocks of at most 4,000 MiB, and 5,000 MiB
# in one Put Blob
_PART = 64 * _MEBIBYTE
_MOST_PARTS = 50_000
_STAGED = ".staged"


class AzureStore:
    """A container."""

    def __init__(
        self,
        name: str,
        *,
        account: str,
        container: str,
        account_key: str | None,
        sas_token: str | None,
        endpoint_url: str | None,
        guard: NetworkGuard,
    ) -> None:
        self.name = name
        self._account = account
        self._container_name = container
        self._account_key = account_key
        self._url = (endpoint_url or f"https://{account}.blob.core.windows.net").rstrip("/")
        self._credential: Any = (
            {"account_name": account, "account_key": account_key} if account_key else (sas_token or "").lstrip("?")
        )
        self._guard = guard
        self._opening = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._container: ContainerClient | None = None

    async def _connected(self) -> ContainerClient:
        async with self._opening:
            if self._container is None:
                self._session = aiohttp.ClientSession(connector=guarded_connector(self._guard), auto_decompress=False)
                self._container = ContainerClient(
                    self._url,
                    self._container_name,
                    credential=self._credential,
                    transport=AioHttpTransport(session=self._session, session_owner=False),
                    connection_timeout=10,
                    read_timeout=60,
                    # its default waits 15 s before it tries again, while somebody waits
                    retry_policy=ExponentialRetry(initial_backoff=0, increment_base=2, retry_total=2),
                    max_single_get_size=8 * _MEBIBYTE,
                    max_chunk_get_size=32 * _MEBIBYTE,
                )
        return self._container

    async def _blob(self, key: str) -> BlobClient:
        return (await self._connected()).get_blob_client(key)

    async def stat(self, key: str) -> Stat:
        blob = await self._blob(key)
        with self._failures("stat", key):
            found = await blob.get_blob_properties()
        md5 = found.content_settings.content_md5
        return Stat(found.size, found.etag, found.version_id, Expected(md5=bytes(md5).hex() if md5 else None))

    @asynccontextmanager
    async def open(self, key: str, *, if_match: str | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        blob = await self._blob(key)
        condition: dict[str, Any] = (
            {"etag": if_match, "match_condition": MatchConditions.IfNotModified} if if_match else {}
        )
        with self._failures("open", key):
            found = await blob.download_blob(**condition)

        async def chunks() -> AsyncIterator[bytes]:
            with self._failures("open", key):
                async for chunk in found.chunks():
                    yield chunk

        yield chunks()

    async def create(self, key: str, content: bytes) -> Stat:
        blob = await self._blob(key)
        with self._failures("create", key):
            made = await blob.upload_blob(content, overwrite=False)
        return Stat(len(content), made["etag"], made.get("version_id"))

    async def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Entry]:
        container = await self._connected()
        with self._failures("list", prefix):
            async for each in container.list_blobs(name_starts_with=prefix):
                if each.name > after:
                    yield Entry(each.name, each.size, f'"{each.etag}"')

    async def sign_get(self, key: str, *, seconds: int, filename: str, media_type: str | None) -> str | None:
        return self._signed(
            key,
            seconds,
            BlobSasPermissions(read=True),
            content_disposition=attachment(filename),
            content_type=media_type,
        )

    def plan_upload(self, size: int) -> UploadPlan:
        return UploadPlan.cut(size, smallest=_PART, whole_up_to=_PART, most_parts=_MOST_PARTS)

    async def begin_upload(self, key: str, plan: UploadPlan) -> str:
        return "" if plan.part_count == 1 else key + _STAGED

    async def sign_part(
        self, key: str, session: str, plan: UploadPlan, number: int, *, expected: Expected, seconds: int
    ) -> SignedRequest | None:
        if plan.part_count > 1:
            url = self._signed(session, seconds, BlobSasPermissions(write=True, create=True))
            return SignedRequest("PUT", f"{url}&comp=block&blockid={quote(_block(number))}", {})
        headers = {"x-ms-blob-type": "BlockBlob"}
        if expected.md5:
            headers["Content-MD5"] = base64.b64encode(bytes.fromhex(expected.md5)).decode()
        return SignedRequest("PUT", self._signed(key, seconds, BlobSasPermissions(create=True)), headers)

    async def received_parts(self, key: str, session: str, plan: UploadPlan) -> Mapping[int, int]:
        try:
            if plan.part_count == 1:
                return {1: (await self.stat(key)).size}
            return (await self._blocks(session))[0]
        except NotFound:
            return {}

    async def _blocks(self, session: str) -> tuple[dict[int, int], bool]:
        """The blocks by number, with their sizes; and whether all of them have been committed."""
        blob = await self._blob(session)
        with self._failures("list blocks", session):
            committed, waiting = await blob.get_block_list("all")
        return {_number(str(each.id)): each.size for each in [*committed, *waiting]}, not waiting

    async def complete_upload(self, key: str, session: str, plan: UploadPlan, expected: Expected) -> Stat:
        if plan.part_count > 1:
            await assemble_once(self, key, lambda: self._assemble(key, session, plan))
        return await require_arrival(self, key, plan, expected)

    async def _assemble(self, key: str, session: str, plan: UploadPlan) -> None:
        try:
            parts, committed = await self._blocks(session)
        except NotFound:
            parts, committed = {}, False
        require_parts(self.name, key, plan, parts)
        staged, final = await self._blob(session), await self._blob(key)
        with self._failures("complete", key):
            if not committed:
                await staged.commit_block_list([BlobBlock(_block(number, encoded=False)) for number in sorted(parts)])
            source = self._signed(session, 3600, BlobSasPermissions(read=True))
            try:
                begun = await final.start_copy_from_url(source, headers={"If-None-Match": "*"})
                status: Any = begun.get("copy_status")
            except ResourceExistsError:
                status = "success"
            while status == "pending":
                await asyncio.sleep(0.2)
                status = (await final.get_blob_properties()).copy.status
            if status != "success":
                raise Unavailable(self.name, "complete", key, f"the copy ended as {status}")
        await self.delete(session)

    async def abort_upload(self, key: str, session: str) -> None:
        if not session:
            return
        # committing nothing is the way to drop blocks that have not been committed
        blob = await self._blob(session)
        with self._failures("abort", session):
            await blob.commit_block_list([])
        await self.delete(session)

    async def delete(self, key: str) -> None:
        blob = await self._blob(key)
        try:
            with self._failures("delete", key):
                await blob.delete_blob()
        except NotFound:
            return

    async def aclose(self) -> None:
        if self._container is not None:
            await self._container.close()
        if self._session is not None:
            await self._session.close()

    def _signed(self, key: str, seconds: int, permission: BlobSasPermissions, **more: Any) -> str:
        if not self._account_key:
            raise Unsupported(self.name, "sign", key, "links can only be signed with an account key, not a SAS token")
        token = generate_blob_sas(
            self._account,
            self._container_name,
            key,
            account_key=self._account_key,
            permission=permission,
            expiry=dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds),
            **more,
        )
        return f"{self._url}/{self._container_name}/{quote(key)}?{token}"

    @contextmanager
    def _failures(self, operation: str, key: str) -> Iterator[None]:
        try:
            yield
        except ResourceExistsError as error:
            raise AlreadyExists(self.name, operation, key, "there is an object already") from error
        except ResourceNotFoundError as error:
            code = str(getattr(error, "error_code", "") or "")
            kind: type[StoreError] = BucketMissing if code == "ContainerNotFound" else NotFound
            raise kind(self.name, operation, key, f"{code or 'not found'} (HTTP 404)") from error
        except (ServiceRequestError, ServiceResponseError, TimeoutError, OSError) as error:
            raise Unavailable(self.name, operation, key, str(error)) from error
        except HttpResponseError as error:
            code = str(getattr(error, "error_code", "") or error.reason or "")
            status = error.status_code or 0
            if status == 412:
                kind = PreconditionFailed
            elif isinstance(error, ClientAuthenticationError) or code == "AuthenticationFailed":
                kind = BadCredentials
            elif code in ("Md5Mismatch", "InvalidMd5"):
                kind = ChecksumMismatch
            else:
                # without a status, the answer broke off
                kind = Unavailable if status >= 500 or status in (0, 408, 429) else Forbidden
            cause = f"{code} (HTTP {status})" if status else str(error)
            raise kind(self.name, operation, key, cause) from error
        except (AzureError, ValueError) as error:
            raise Unsupported(self.name, operation, key, str(error)) from error


def _block(number: int, *, encoded: bool = True) -> str:
    """A block's id; all ids of a blob are of one length. The client encodes those that it is given itself."""
    name = f"{number:06}"
    return base64.b64encode(name.encode()).decode() if encoded else name


def _number(block_id: str) -> int:
    return int(block_id if block_id.isdecimal() else base64.b64decode(block_id))
