"""Stores through GraphQL: tried out before they are kept, secrets never shown, files straight to and from them."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.domain.secrets import SecretBox
from tests.api.given import (
    COMPLETE_UPLOAD,
    CREATE_STORE,
    condemned,
    download_link,
    push_datum,
    request_upload,
    send_part,
    verified,
)
from tests.conftest import SECRET_KEY, LiveServer
from tests.stores import servers
from tests.stores.kinds import azure, s3

_UPDATE = "mutation($i: UpdateDataStoreInput!) { updateDataStore(input: $i) { store { name isDefault } } }"
_CHECK = "mutation($i: CheckDataStoreInput!) { checkDataStore(input: $i) { ok message } }"


def _s3(url: str, **more: Any) -> dict[str, Any]:
    values: dict[str, Any] = s3(url).spec["s3"]
    return values | {"prefix": "team/"} | more


async def _add(server: LiveServer, url: str) -> str:
    values = {"project": await server.project_id(), "name": "s3", "isDefault": True, "s3": _s3(url)}
    data = await server.run(CREATE_STORE, i=values)
    assert data["createDataStore"]["store"] | {"id": ""} == {
        "id": "",
        "name": "s3",
        "kind": "S3",
        "url": f"s3://{servers.BUCKET}/team/",
        "isDefault": True,
        "project": {"slug": "default"},
    }
    return str(data["createDataStore"]["store"]["id"])


def _hashes(content: bytes) -> dict[str, str]:
    return {name: hashlib.new(name, content).hexdigest() for name in ("md5", "sha1", "sha256")}


async def test_a_file_goes_straight_to_s3_and_comes_straight_back(server: LiveServer, seaweedfs: str) -> None:
    await _add(server, seaweedfs)
    datum = await push_datum(server, b"weights", sha256=_hashes(b"weights")["sha256"])
    assert datum["storageUri"].startswith(f"s3://{servers.BUCKET}/team/waymark/")
    link = await download_link(server, datum["id"])
    assert link.startswith(seaweedfs)
    assert datum["checksums"]["sha256"] == _hashes(b"weights")["sha256"]
    async with aiohttp.ClientSession() as session, session.get(link) as response:
        assert await response.read() == b"weights"
    found = await verified(server, datum["id"])
    assert found["checksums"] == _hashes(b"weights") | {"evidence": "VERIFIED"}


async def test_a_file_goes_straight_to_azure_and_comes_straight_back(server: LiveServer, azurite: str) -> None:
    project = await server.project_id()
    await server.run(
        CREATE_STORE, i={"project": project, "name": "azure", "isDefault": True, "azure": azure(azurite).spec["azure"]}
    )
    datum = await push_datum(server, b"weights", sha256=_hashes(b"weights")["sha256"])
    assert datum["storageUri"].startswith(f"azure://{servers.AZURE_ACCOUNT}/{servers.BUCKET}/waymark/")
    # Azure vouches for no sha256, so completing has read the object
    assert datum["checksums"] == _hashes(b"weights") | {"evidence": "VERIFIED"}
    async with aiohttp.ClientSession() as session, session.get(await download_link(server, datum["id"])) as response:
        assert await response.read() == b"weights"
    both = {**azure(azurite).spec["azure"], "sasToken": "x"}
    error = await server.fails(CREATE_STORE, i={"project": project, "name": "two", "azure": both})
    assert "exactly one of accountKey and sasToken" in error.message


async def test_what_the_client_did_not_hash_is_hashed_by_the_server(server: LiveServer, seaweedfs: str) -> None:
    await _add(server, seaweedfs)
    datum = await push_datum(server, b"unknown")
    assert datum["status"] == "AVAILABLE"
    found = await verified(server, datum["id"])
    assert found["checksums"] == _hashes(b"unknown") | {"evidence": "VERIFIED"}


async def test_bytes_that_are_not_those_announced_are_refused(server: LiveServer, seaweedfs: str) -> None:
    await _add(server, seaweedfs)
    requested = (await request_upload(server, 5))["upload"]
    (part,) = requested["parts"]["nodes"]
    assert await send_part(part, b"wrong") == 200
    announced = {"upload": requested["id"], "md5": hashlib.md5(b"right").hexdigest()}
    assert (await server.fails(COMPLETE_UPLOAD, i=announced)).code == "CHECKSUM_MISMATCH"
    assert (await server.fails(COMPLETE_UPLOAD, i={"upload": requested["id"]})).code == "WRONG_STATE"


async def test_a_purged_file_is_deleted_from_the_store(server: LiveServer, seaweedfs: str) -> None:
    await _add(server, seaweedfs)
    datum = await push_datum(server, b"to be purged")
    link = await download_link(server, datum["id"])
    await server.run(
        "mutation($i: PurgeDatumInput!) { purgeDatum(input: $i) { datum { status } } }",
        i={"id": datum["id"], "reason": "no longer needed"},
    )
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while True:
            # by this housekeeping or by the server's own
            await server.keep_house()
            async with session.get(link) as response:
                if response.status == 404:
                    break
                assert response.status == 200
            await asyncio.sleep(0.05)


async def test_bytes_changed_behind_our_back_are_found_and_said(server: LiveServer, tmp_path: Path) -> None:
    folder = tmp_path / "roots" / "mine"
    values = {"project": await server.project_id(), "name": "folder", "local": {"path": str(folder)}}
    (tmp_path / "roots").mkdir()
    store = (await server.run(CREATE_STORE, i=values))["createDataStore"]["store"]["id"]
    requested = await request_upload(server, 4, store=store)
    (part,) = requested["upload"]["parts"]["nodes"]
    assert await send_part(part, b"data") == 204
    await server.run(COMPLETE_UPLOAD, i={"upload": requested["upload"]["id"]})
    (path,) = [each for each in folder.rglob("*") if each.is_file()]
    path.chmod(0o600)
    path.write_bytes(b"evil")
    async with server.pool.acquire() as connection:
        await connection.execute("UPDATE datum SET verify_at = clock_timestamp()")
    found = await condemned(server, requested["datum"]["id"])
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
    error = await server.fails(CREATE_STORE, i=values)
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
    assert (await server.fails(CREATE_STORE, writer, i=values)).code == "FORBIDDEN"
    (tmp_path / "roots").mkdir()
    (tmp_path / "roots" / "out").symlink_to("/etc")
    for path in ("/etc", str(tmp_path / "roots" / "out"), str(tmp_path / "roots" / ".." / "x"), "roots/x"):
        error = await server.fails(CREATE_STORE, i={"project": project, "name": "x", "local": {"path": path}})
        assert "WAYMARK_LOCAL_STORE_ROOTS" in error.message
    both = {"project": project, "name": "x", "local": {"path": "/x"}, "s3": _s3(seaweedfs)}
    assert "exactly one kind" in (await server.fails(CREATE_STORE, i=both)).message
