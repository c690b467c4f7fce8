"""Files over the API: announced, sent straight to the store, verified, listed, described, fetched, purged."""

from __future__ import annotations

import asyncio
import hashlib
import io
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.api.given import COMPLETE_UPLOAD, REQUEST_UPLOAD, download_link, push, request_upload
from tests.conftest import LiveServer

_LIST = """
    query($filter: DatumFilter, $orderBy: DatumOrder, $first: Int, $after: String, $last: Int, $before: String) {
        project(slug: "default") { data(filter: $filter, orderBy: $orderBy, first: $first, after: $after, last: $last,
            before: $before) {
            totalCount nodes { id name } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }
"""


async def _put(url: str, body: bytes | io.BytesIO, **headers: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.put(url, data=body, headers=headers) as response:
        return response.status, await response.text()


async def _get(url: str, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
    async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers) as response:
        return response.status, await response.read(), response.headers


async def test_a_file_is_announced_sent_verified_and_fetched(server: LiveServer) -> None:
    content = b"weights" * 1000
    request = await request_upload(server, len(content), sha256=hashlib.sha256(content).hexdigest())
    assert request["datum"]["status"] == "PENDING"
    (part,) = request["upload"]["parts"]["nodes"]
    assert (part["size"], part["received"]) == (str(len(content)), False)
    assert (await _put(part["url"], content))[0] == 204
    done = (await server.run(COMPLETE_UPLOAD, i={"upload": request["upload"]["id"], "alias": "model"}))[
        "completeUpload"
    ]
    assert done["datum"]["checksums"] == {
        "md5": hashlib.md5(content).hexdigest(),
        "sha1": hashlib.sha1(content).hexdigest(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "evidence": "VERIFIED",
    }
    assert done["change"] == {"version": 1, "alias": {"name": "model"}}
    assert (await _get(await download_link(server, done["datum"]["id"])))[1] == content


async def test_an_empty_file_is_a_file(server: LiveServer) -> None:
    assert (await _get(await download_link(server, await push(server, b""))))[:2] == (200, b"")


async def test_a_large_file_travels_in_parts_in_any_order(server: LiveServer) -> None:
    size = 150 * 1024 * 1024
    content = bytes(1024 * 1024) * 150
    request = await request_upload(server, size)
    parts = request["upload"]["parts"]["nodes"]
    assert [int(part["size"]) for part in parts] == [64 << 20, 64 << 20, 22 << 20]
    offsets = [0, 64 << 20, 128 << 20]
    assert (await server.fails(COMPLETE_UPLOAD, i={"upload": request["upload"]["id"]})).code == "WRONG_STATE"
    for part, offset in reversed(list(zip(parts, offsets, strict=True))):
        body = io.BytesIO(content[offset : offset + int(part["size"])])
        assert (await _put(part["url"], body))[0] == 204
    done = await server.run(COMPLETE_UPLOAD, i={"upload": request["upload"]["id"]})
    assert done["completeUpload"]["datum"]["checksums"]["sha256"] == hashlib.sha256(content).hexdigest()


async def test_other_bytes_than_announced_are_refused_and_can_be_sent_again(server: LiveServer) -> None:
    request = await request_upload(server, 4, md5=hashlib.md5(b"good").hexdigest())
    (part,) = request["upload"]["parts"]["nodes"]
    await _put(part["url"], b"evil")
    error = await server.fails(COMPLETE_UPLOAD, i={"upload": request["upload"]["id"]})
    assert error.code == "CHECKSUM_MISMATCH"
    assert hashlib.md5(b"evil").hexdigest() in error.message
    await _put(part["url"], b"good")
    done = await server.run(COMPLETE_UPLOAD, i={"upload": request["upload"]["id"]})
    assert done["completeUpload"]["datum"]["status"] == "AVAILABLE"


@pytest.mark.parametrize("body", [b"", b"123", b"12345"])
async def test_a_part_of_another_size_is_refused(server: LiveServer, body: bytes) -> None:
    (part,) = (await request_upload(server, 4))["upload"]["parts"]["nodes"]
    status, text = await _put(part["url"], body)
    assert status == 400
    assert "4 bytes" in text


async def test_twins_that_complete_at_once_publish_once(server: LiveServer) -> None:
    request = await request_upload(server, 4)
    (part,) = request["upload"]["parts"]["nodes"]
    await _put(part["url"], b"data")
    done = await asyncio.gather(
        *(server.run(COMPLETE_UPLOAD, i={"upload": request["upload"]["id"], "alias": "a"}) for _ in range(8))
    )
    assert {each["completeUpload"]["datum"]["status"] for each in done} == {"AVAILABLE"}
    assert sum(1 for each in done if each["completeUpload"]["change"]) == 1


async def test_a_retried_completion_with_a_key_returns_the_first_result(server: LiveServer) -> None:
    request = await request_upload(server, 4)
    (part,) = request["upload"]["parts"]["nodes"]
    await _put(part["url"], b"data")
    values = {"upload": request["upload"]["id"], "alias": "a", "idempotencyKey": "key"}
    first = await server.run(COMPLETE_UPLOAD, i=values)
    project = await server.project_id()
    await server.run(
        "mutation($i: DeleteAliasInput!) { deleteAlias(input: $i) { changed } }", i={"project": project, "name": "a"}
    )
    assert await server.run(COMPLETE_UPLOAD, i=values) == first
    assert first["completeUpload"]["change"] == {"version": 1, "alias": {"name": "a"}}
    late = {"upload": request["upload"]["id"], "alias": "never-made", "idempotencyKey": "another"}
    for _ in range(2):
        assert (await server.run(COMPLETE_UPLOAD, i=late))["completeUpload"]["change"] is None


async def test_published_bytes_cannot_be_written_again(server: LiveServer) -> None:
    request = await request_upload(server, 4)
    (part,) = request["upload"]["parts"]["nodes"]
    await _put(part["url"], b"good")
    await server.run(COMPLETE_UPLOAD, i={"upload": request["upload"]["id"]})
    assert (await _put(part["url"], b"evil"))[0] == 409
    assert (await _get(await download_link(server, request["datum"]["id"])))[1] == b"good"


async def test_the_same_name_twice_is_two_files(server: LiveServer) -> None:
    assert await push(server, b"one") != await push(server, b"two")


async def test_links_serve_ranges_heads_and_etags_as_attachments(server: LiveServer) -> None:
    url = await download_link(
        server, await push(server, b"0123456789", name='dir/a "quoted"\u00e9.html', mediaType="text/html")
    )
    status, body, headers = await _get(url, Range="bytes=2-4")
    assert (status, body, headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert headers["Content-Disposition"] == "attachment; filename*=utf-8''a%20%22quoted%22%C3%A9.html"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["ETag"] == f'"{hashlib.sha256(b"0123456789").hexdigest()}"'
    assert (await _get(url, Range="bytes=20-"))[0] == 416
    assert (await _get(url, "HEAD"))[2]["Content-Length"] == "10"
    assert (await _get(url, **{"If-None-Match": headers["ETag"]}))[0] == 304


async def test_a_link_that_was_tampered_with_or_expired_is_refused(server: LiveServer) -> None:
    first, second = await push(server, b"one"), await push(server, b"two")
    url = await download_link(server, first)
    assert (await _get(url.replace(first, second)))[0] == 403
    assert (await _get(url.replace("expires=", "expires=9")))[0] == 403
    assert (await _get(url.split("&signature")[0]))[0] == 403
    (part,) = (await request_upload(server, 3))["upload"]["parts"]["nodes"]
    assert (await _put(part["url"].replace("/parts/1", "/parts/2"), b"abc"))[0] == 403
    short = await download_link(server, first, expires_in=1)
    await asyncio.sleep(2.1)
    status, body, _ = await _get(short)
    assert (status, b"expired" in body) == (403, True)


async def _until_empty(folder: Path) -> None:
    """The server's own housekeeping deletes what was given up, soon."""
    async with asyncio.timeout(60):
        while [path for path in folder.rglob("*") if path.is_file()]:
            await asyncio.sleep(0.05)


async def test_an_upload_that_never_completes_becomes_expired_and_its_parts_go(
    server: LiveServer, tmp_path: Path
) -> None:
    request = await request_upload(server, 4)
    (part,) = request["upload"]["parts"]["nodes"]
    await _put(part["url"], b"data")
    async with server.pool.acquire() as connection:
        await connection.execute("UPDATE upload SET expires_at = clock_timestamp() - interval '1 second'")
    await server.keep_house()
    data = await server.run("query($id: ID!) { datum(id: $id) { status statusReason } }", id=request["datum"]["id"])
    assert data["datum"] == {"status": "EXPIRED", "statusReason": "its bytes never came"}
    await _until_empty(tmp_path / "files")
    error = await server.fails(COMPLETE_UPLOAD, i={"upload": request["upload"]["id"]})
    assert error.code == "WRONG_STATE"


async def test_an_aborted_upload_takes_no_more_and_can_be_aborted_again(server: LiveServer) -> None:
    request = await request_upload(server, 4)
    (part,) = request["upload"]["parts"]["nodes"]
    abort = "mutation($input: AbortUploadInput!) { abortUpload(input: $input) { datum { status } } }"
    for _ in range(2):
        data = await server.run(abort, input={"upload": request["upload"]["id"]})
        assert data["abortUpload"]["datum"]["status"] == "EXPIRED"
    assert (await _put(part["url"], b"data"))[0] == 409


async def test_a_retried_request_with_a_key_is_the_same_upload_signed_anew(server: LiveServer) -> None:
    first = await request_upload(server, 4, idempotencyKey="key")
    again = await request_upload(server, 4, idempotencyKey="key")
    assert again["upload"]["id"] == first["upload"]["id"]
    project = await server.project_id()
    error = await server.fails(
        REQUEST_UPLOAD, i={"project": project, "name": "file.bin", "size": 5, "idempotencyKey": "key"}
    )
    assert error.code == "IDEMPOTENCY_MISMATCH"


async def test_a_purge_is_refused_while_in_use_and_then_deletes_the_bytes(server: LiveServer, tmp_path: Path) -> None:
    datum = await push(server, b"bytes")
    project = await server.project_id()
    await server.run(
        "mutation($input: SetAliasInput!) { setAlias(input: $input) { changed } }",
        input={"project": project, "name": "in-use", "datum": datum},
    )
    await server.run(
        "mutation($input: CreateExecutionInput!) { createExecution(input: $input) { execution { id } } }",
        input={"project": project, "command": ["run"], "inputs": [{"name": "a", "references": ["datum://in-use"]}]},
    )
    purge = "mutation($input: PurgeDatumInput!) { purgeDatum(input: $input) { datum { status purgeReason } } }"
    error = await server.fails(purge, input={"id": datum, "reason": "space"})
    assert error.code == "ALIAS_IN_USE"
    assert error.extensions["aliases"] == ["in-use"]
    assert error.extensions["executions"] == [1]
    url = await download_link(server, datum)
    await server.run(purge, input={"id": datum, "reason": "space", "force": True})
    await _until_empty(tmp_path / "files")
    assert (await _get(url))[0] == 410
    error = await server.fails(
        'query($p: ID!) { resolve(project: $p, reference: "datum://in-use") { version } }', p=project
    )
    assert error.code == "DATUM_PURGED"


async def test_lists_filter_by_everything_that_describes_a_file(server: LiveServer) -> None:
    raw = await push(server, b"raw", name="train.csv", tags=["raw", "2026"], properties={"stage": {"n": 1}, "rows": 5})
    await push(server, b"clean", name="100%_clean.csv", tags=["clean"])
    project = await server.project_id()
    await server.run(
        "mutation($input: SetAliasInput!) { setAlias(input: $input) { changed } }",
        input={"project": project, "name": "train", "datum": raw},
    )
    await request_upload(server, 4, name="pending.bin")

    async def names(**filter_: Any) -> list[str]:
        data = (await server.run(_LIST, filter=filter_))["project"]["data"]
        assert data["totalCount"] == len(data["nodes"])
        return [node["name"] for node in data["nodes"]]

    assert await names() == ["100%_clean.csv", "train.csv"]
    assert await names(text="RAIN") == ["train.csv"]
    assert await names(text="2026") == ["train.csv"]
    assert await names(text="0%_c") == ["100%_clean.csv"]
    assert await names(name={"contains": "%"}) == ["100%_clean.csv"]
    assert await names(name={"startsWith": "tr"}) == ["train.csv"]
    assert await names(name={"in": ["train.csv", "other"]}) == ["train.csv"]
    assert await names(tagsAll=["raw", "2026"]) == ["train.csv"]
    assert await names(tagsAll=["raw", "clean"]) == []
    assert await names(tagsAny=["raw", "clean"]) == ["100%_clean.csv", "train.csv"]
    assert await names(properties={"stage": {"n": 1}}) == ["train.csv"]
    assert await names(sha256=hashlib.sha256(b"raw").hexdigest().upper()) == ["train.csv"]
    assert await names(md5=hashlib.md5(b"clean").hexdigest()) == ["100%_clean.csv"]
    assert await names(alias="train") == ["train.csv"]
    assert await names(status=["PENDING"]) == ["pending.bin"]
    assert await names(createdAt={"lt": "2001-01-01T00:00:00Z"}) == []
    assert await names(store="no id") == []


async def test_lists_page_by_keyset_in_every_order_both_ways(server: LiveServer) -> None:
    project = await server.project_id()
    async with server.pool.acquire() as connection:
        await connection.execute(
            "INSERT INTO datum (project_id, store_id, object_key, name, size, checksum_evidence, origin, status)"
            " SELECT $1, (SELECT id FROM data_store), 'key-' || n, 'name-' || n % 3, n % 4, 'VERIFIED', 'UPLOAD',"
            " 'AVAILABLE' FROM generate_series(1, 23) AS n",
            project,
        )
    for field in ("CREATED_AT", "NAME", "SIZE"):
        for direction in ("ASC", "DESC"):
            order = {"field": field, "direction": direction}
            whole = [node["id"] for node in (await server.run(_LIST, orderBy=order))["project"]["data"]["nodes"]]
            assert len(whole) == 23
            forward: list[str] = []
            after = None
            while True:
                page = (await server.run(_LIST, orderBy=order, first=5, after=after))["project"]["data"]
                forward += [node["id"] for node in page["nodes"]]
                assert page["pageInfo"]["hasPreviousPage"] == (after is not None)
                after = page["pageInfo"]["endCursor"]
                if not page["pageInfo"]["hasNextPage"]:
                    break
            assert forward == whole
            backward: list[str] = []
            before = None
            while True:
                page = (await server.run(_LIST, orderBy=order, last=5, before=before))["project"]["data"]
                backward = [node["id"] for node in page["nodes"]] + backward
                before = page["pageInfo"]["startCursor"]
                if not page["pageInfo"]["hasPreviousPage"]:
                    break
            assert backward == whole
    error = await server.fails(_LIST, orderBy={"field": "NAME"}, after=after)
    assert error.code == "BAD_USER_INPUT"
    assert (await server.fails(_LIST, first=501)).code == "BAD_USER_INPUT"
    assert (await server.fails(_LIST, first=1, last=1)).code == "BAD_USER_INPUT"


async def test_tags_and_properties_change_and_bytes_do_not(server: LiveServer) -> None:
    datum = await push(server, b"x", tags=["a", "b"], properties={"one": 1, "two": 2})
    data = await server.run(
        "mutation($input: UpdateDatumInput!) { updateDatum(input: $input) { datum { tags properties } } }",
        input={
            "id": datum,
            "addTags": ["c", "b"],
            "removeTags": ["a"],
            "setProperties": {"two": 22, "three": [3]},
            "removeProperties": ["one"],
        },
    )
    assert data["updateDatum"]["datum"] == {"tags": ["b", "c"], "properties": {"two": 22, "three": [3]}}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "../../etc/passwd"),
        ("name", "a/./b"),
        ("name", "nul\u0000"),
        ("name", "a\\b"),
        ("size", -1),
        ("md5", "xyz"),
        ("mediaType", "not a type"),
        ("properties", [1]),
        ("tags", [""]),
        ("tags", ["x" * 200]),
        ("properties", {"nul": "\u0000"}),
    ],
)
async def test_bad_announcements_are_named(server: LiveServer, field: str, value: Any) -> None:
    values = {"project": await server.project_id(), "name": "a", "size": 1, field: value}
    assert (await server.fails(REQUEST_UPLOAD, i=values)).code == "BAD_USER_INPUT"
