"""Stores through GraphQL: tried out before they are kept, secrets never shown, files straight to and from them."""

from __future__ import annotations

import asyncio
import hashlib
import io
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.domain.housekeeping import keep_house_once
from app.domain.secrets import SecretBox
from app.stores.registry import StoreRegistry
from app.transfer.guard import NetworkGuard
from tests.conftest import SECRET_KEY, LiveServer
from tests.stores import servers

_CREATE = """mutation($i: CreateDataStoreInput!) { createDataStore(input: $i) {
    store { id name kind url isDefault project { slug } } } }"""
_UPDATE = "mutation($i: UpdateDataStoreInput!) { updateDataStore(input: $i) { store { name isDefault } } }"
_CHECK = "mutation($i: CheckDataStoreInput!) { checkDataStore(input: $i) { ok message } }"
_REQUEST = """mutation($i: RequestUploadInput!) { requestUpload(input: $i) { datum { id } upload { id
    parts { nodes { number size received method url headers { name value } } } } } }"""
_COMPLETE = """mutation($i: CompleteUploadInput!) { completeUpload(input: $i) { datum { id status downloadUrl storageUri
    checksums { md5 sha1 sha256 evidence } } } }"""
_DATUM = "query($id: ID!) { datum(id: $id) { status statusReason checksums { md5 sha1 sha256 evidence } } }"


def _s3(url: str, **more: Any) -> dict[str, Any]:
    return {
        "bucket": servers.BUCKET,
        "prefix": "team/",
        "endpointUrl": url,
        "accessKeyId": servers.ACCESS_KEY,
        "secretAccessKey": servers.SECRET_KEY,
        **more,
    }


def _azure(url: str) -> dict[str, Any]:
    return {
        "account": servers.AZURE_ACCOUNT,
        "container": servers.BUCKET,
        "endpointUrl": url,
        "accountKey": servers.AZURE_KEY,
    }


async def _add(server: LiveServer, url: str) -> str:
    values = {"project": await server.project_id(), "name": "s3", "isDefault": True, "s3": _s3(url)}
    data = await server.run(_CREATE, i=values)
    assert data["createDataStore"]["store"] | {"id": ""} == {
        "id": "",
        "name": "s3",
        "kind": "S3",
        "url": f"s3://{servers.BUCKET}/team/",
        "isDefault": True,
        "project": {"slug": "default"},
    }
    return str(data["createDataStore"]["store"]["id"])


async def _send(part: dict[str, Any], content: bytes) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            part["method"],
            part["url"],
            data=io.BytesIO(content),
            headers={header["name"]: header["value"] for header in part["headers"]},
        ) as response,
    ):
        return response.status


async def _push(server: LiveServer, content: bytes, *, declared: bool = True, **complete: Any) -> dict[str, Any]:
    hashes = {"sha256": hashlib.sha256(content).hexdigest()} if declared else {}
    values = {"project": await server.project_id(), "name": "w.bin", "size": str(len(content)), **hashes}
    requested = (await server.run(_REQUEST, i=values))["requestUpload"]
    for part in requested["upload"]["parts"]["nodes"]:
        assert await _send(part, content) in (200, 201, 204)
    done = await server.run(_COMPLETE, i={"upload": requested["upload"]["id"], **complete})
    datum: dict[str, Any] = done["completeUpload"]["datum"]
    return datum


async def _keep_house(server: LiveServer) -> None:
    stores = StoreRegistry(NetworkGuard(server.settings.allowed_networks))
    await keep_house_once(server.pool, stores, SecretBox(SECRET_KEY))
    await stores.aclose()


async def _verified(server: LiveServer, datum_id: str) -> dict[str, Any]:
    """The datum once its bytes have been read, by this or by the server's own housekeeping."""
    async with asyncio.timeout(10):
        while True:
            await _keep_house(server)
            datum: dict[str, Any] = (await server.run(_DATUM, id=datum_id))["datum"]
            if datum["checksums"]["evidence"] == "VERIFIED":
                return datum
            await asyncio.sleep(0.05)


def _hashes(content: bytes) -> dict[str, str]:
    return {name: hashlib.new(name, content).hexdigest() for name in ("md5", "sha1", "sha256")}


async def test_a_file_goes_straight_to_s3_and_comes_straight_back(server: LiveServer, seaweedfs: str) -> None:
    await _add(server, seaweedfs)
    datum = await _push(server, b"weights")
    assert datum["storageUri"].startswith(f"s3://{servers.BUCKET}/team/waymark/")
    assert datum["downloadUrl"].startswith(seaweedfs)
    assert datum["checksums"]["sha256"] == _hashes(b"weights")["sha256"]
    async with aiohttp.ClientSession() as session, session.get(datum["downloadUrl"]) as response:
        assert await response.read() == b"weights"
    found = await _verified(server, datum["id"])
    assert found["checksums"] == _hashes(b"weights") | {"evidence": "VERIFIED"}


async def test_a_file_goes_straight_to_azure_and_comes_straight_back(server: LiveServer, azurite: str) -> None:
    project = await server.project_id()
    await server.run(_CREATE, i={"project": project, "name": "azure", "isDefault": True, "azure": _azure(azurite)})
    datum = await _push(server, b"weights")
    assert datum["storageUri"].startswith(f"azure://{servers.AZURE_ACCOUNT}/{servers.BUCKET}/waymark/")
    # Azure vouches for no sha256, so completing has read the object
    assert datum["checksums"] == _hashes(b"weights") | {"evidence": "VERIFIED"}
    async with aiohttp.ClientSession() as session, session.get(datum["downloadUrl"]) as response:
        assert await response.read() == b"weights"
    both = {**_azure(azurite), "sasToken": "x"}
    error = await server.fails(_CREATE, i={"project": project, "name": "two", "azure": both})
    assert "exactly one of accountKey and sasToken" in error.message


async def test_what_the_client_did_not_hash_is_hashed_by_the_server(server: LiveServer, seaweedfs: str) -> None:
    await _add(server, seaweedfs)
    datum = await _push(server, b"unknown", declared=False)
    assert datum["status"] == "AVAILABLE"
    found = await _verified(server, datum["id"])
    assert found["checksums"] == _hashes(b"unknown") | {"evidence": "VERIFIED"}


async def test_bytes_that_are_not_those_announced_are_refused(server: LiveServer, seaweedfs: str) -> None:
    await _add(server, seaweedfs)
    values = {"project": await server.project_id(), "name": "w", "size": "5"}
    requested = (await server.run(_REQUEST, i=values))["requestUpload"]["upload"]
    (part,) = requested["parts"]["nodes"]
    assert await _send(part, b"wrong") == 200
    announced = {"upload": requested["id"], "md5": hashlib.md5(b"right").hexdigest()}
    assert (await server.fails(_COMPLETE, i=announced)).code == "CHECKSUM_MISMATCH"
    assert (await server.fails(_COMPLETE, i={"upload": requested["id"]})).code == "WRONG_STATE"


async def test_a_purged_file_is_deleted_from_the_store(server: LiveServer, seaweedfs: str) -> None:
    await _add(server, seaweedfs)
    datum = await _push(server, b"to be purged")
    await server.run(
        "mutation($i: PurgeDatumInput!) { purgeDatum(input: $i) { datum { status } } }",
        i={"id": datum["id"], "reason": "no longer needed"},
    )
    await _keep_house(server)
    async with aiohttp.ClientSession() as session, session.get(datum["downloadUrl"]) as response:
        assert response.status == 404


async def test_bytes_changed_behind_our_back_are_found_and_said(server: LiveServer, tmp_path: Path) -> None:
    folder = tmp_path / "roots" / "mine"
    values = {"project": await server.project_id(), "name": "folder", "local": {"path": str(folder)}}
    (tmp_path / "roots").mkdir()
    store = (await server.run(_CREATE, i=values))["createDataStore"]["store"]["id"]
    request = {"project": await server.project_id(), "store": store, "name": "w", "size": "4"}
    requested = (await server.run(_REQUEST, i=request))["requestUpload"]
    (part,) = requested["upload"]["parts"]["nodes"]
    assert await _send(part, b"data") == 204
    await server.run(_COMPLETE, i={"upload": requested["upload"]["id"]})
    (path,) = [each for each in folder.rglob("*") if each.is_file()]
    path.chmod(0o600)
    path.write_bytes(b"evil")
    async with server.pool.acquire() as connection:
        await connection.execute("UPDATE datum SET verify_at = clock_timestamp()")
    async with asyncio.timeout(10):
        # by this or by the server's own housekeeping
        while (found := (await server.run(_DATUM, id=requested["datum"]["id"]))["datum"])["status"] == "AVAILABLE":
            await _keep_house(server)
            await asyncio.sleep(0.05)
    assert (found["status"], found["statusReason"]) == (
        "CORRUPT",
        "the object in the store was changed outside Waymark",
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"secretAccessKey": "wrong"}, "does not work"),
        ({"bucket": "missing"}, "does not work"),
        ({"secretAccessKey": None}, "WAYMARK_AMBIENT_CREDENTIALS"),
        ({"prefix": "/team"}, "prefix"),
        ({"endpointUrl": "http://10.0.0.1"}, "WAYMARK_ALLOWED_NETWORKS"),
        ({"endpointUrl": "http://[::ffff:10.0.0.1]"}, "WAYMARK_ALLOWED_NETWORKS"),
        ({"endpointUrl": "file:///etc"}, "no http or https address"),
    ],
)
async def test_a_store_that_does_not_work_is_not_kept_and_the_error_tells_no_secret(
    server: LiveServer, seaweedfs: str, change: dict[str, Any], says: str
) -> None:
    values = {"project": await server.project_id(), "name": "s3", "s3": _s3(seaweedfs, **change)}
    error = await server.fails(_CREATE, i=values)
    assert error.code == "BAD_USER_INPUT"
    assert says in error.message
    assert servers.SECRET_KEY not in str(error.extensions) + error.message
    stores = (await server.run('{ project(slug: "default") { stores { name } } }'))["project"]["stores"]
    assert stores == [{"name": "default"}]


async def test_secrets_are_encrypted_at_rest_and_can_be_rotated(server: LiveServer, seaweedfs: str) -> None:
    store = await _add(server, seaweedfs)
    async with server.pool.acquire() as connection:
        row = await connection.fetchrow(
            "SELECT data_store::text AS everything, credentials FROM data_store WHERE project_id IS NOT NULL"
        )
    assert row
    assert servers.SECRET_KEY not in row["everything"]
    assert servers.SECRET_KEY in SecretBox(f"{'another key, the one in use from now on'},{SECRET_KEY}").decrypt(
        row["credentials"]
    )
    assert (await server.run(_CHECK, i={"id": store}))["checkDataStore"] == {"ok": True, "message": None}
    wrong = await server.fails(_UPDATE, i={"id": store, "s3": _s3(seaweedfs, secretAccessKey="wrong")})
    assert wrong.code == "BAD_USER_INPUT"
    elsewhere = await server.fails(_UPDATE, i={"id": store, "s3": _s3(seaweedfs, prefix="other/")})
    assert "add another store" in elsewhere.message
    await server.run(_UPDATE, i={"id": store, "name": "renamed", "s3": _s3(seaweedfs)})
    assert (await server.run(_CHECK, i={"id": store}))["checkDataStore"]["ok"]


async def test_only_administrators_manage_stores_and_only_below_the_operators_folders(
    server: LiveServer, seaweedfs: str, tmp_path: Path
) -> None:
    project = await server.project_id()
    writer = await server.new_token("writer", "WRITE")
    values = {"project": project, "name": "s3", "s3": _s3(seaweedfs)}
    assert (await server.fails(_CREATE, writer, i=values)).code == "FORBIDDEN"
    (tmp_path / "roots").mkdir()
    (tmp_path / "roots" / "out").symlink_to("/etc")
    for path in ("/etc", str(tmp_path / "roots" / "out"), str(tmp_path / "roots" / ".." / "x"), "roots/x"):
        error = await server.fails(_CREATE, i={"project": project, "name": "x", "local": {"path": path}})
        assert "WAYMARK_LOCAL_STORE_ROOTS" in error.message
    both = {"project": project, "name": "x", "local": {"path": "/x"}, "s3": _s3(seaweedfs)}
    assert "exactly one kind" in (await server.fails(_CREATE, i=both)).message
