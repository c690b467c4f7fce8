"""Adopting objects that are in a store already, by themselves and as inputs of executions."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from app.stores.base import Store
from tests.api.given import CREATE_STORE, condemned, show_datum, verified
from tests.conftest import LiveServer
from tests.stores.kinds import KINDS, kind_of

_ADOPT = """mutation($i: AdoptDatumInput!) { adoptDatum(input: $i) { created
    datum { id name size origin status storageUri tags properties downloadUrl aliases { name } } } }"""
_RUN = """mutation($i: CreateExecutionInput!) { createExecution(input: $i) { execution { id
    inputs { files { nodes { reference datum { id name origin } } } }
    warnings { code message reference file before { md5 sha256 } after { md5 sha256 } } } } }"""


class Place:
    """A store of the project, the same store from outside, and what addresses in it begin with."""

    def __init__(self, server: LiveServer, outside: Store, prefix: str) -> None:
        self.server = server
        self.outside = outside
        self.folder = f"{uuid4()}"
        self.prefix = prefix

    def address(self, name: str) -> str:
        return f"{self.prefix}/{self.folder}/{name}"

    async def put(self, name: str, content: bytes) -> str:
        await self.outside.delete(f"{self.folder}/{name}")
        await self.outside.create(f"{self.folder}/{name}", content)
        return self.address(name)

    async def adopt(self, name: str, **more: Any) -> dict[str, Any]:
        values = {"project": await self.server.project_id(), "reference": self.address(name), **more}
        adopted: dict[str, Any] = (await self.server.run(_ADOPT, i=values))["adoptDatum"]
        return adopted

    async def run(self, *references: str) -> dict[str, Any]:
        values = {
            "project": await self.server.project_id(),
            "command": ["run"],
            "inputs": [{"name": "data", "references": list(references)}],
        }
        execution: dict[str, Any] = (await self.server.run(_RUN, i=values))["createExecution"]["execution"]
        return execution


@pytest.fixture(params=KINDS)
async def place(request: pytest.FixtureRequest, server: LiveServer, tmp_path: Path) -> AsyncIterator[Place]:
    kind = kind_of(request.param, request, tmp_path)
    await server.run(CREATE_STORE, i={"project": await server.project_id(), "name": "mine", **kind.spec})
    outside = kind.open()
    yield Place(server, outside, kind.address)
    await outside.aclose()


async def test_an_object_becomes_a_datum_without_being_copied(place: Place) -> None:
    address = await place.put("images/train.tar", b"images")
    adopted = await place.adopt("images/train.tar", tags=["raw"], properties={"n": 1}, alias="train-images")
    datum = adopted["datum"]
    assert (adopted["created"], datum["storageUri"]) == (True, address)
    assert (datum["name"], datum["size"], datum["origin"]) == ("train.tar", "6", "ADOPTED")
    assert (datum["tags"], datum["properties"], datum["aliases"]) == (["raw"], {"n": 1}, [{"name": "train-images"}])
    async with aiohttp.ClientSession() as session, session.get(datum["downloadUrl"]) as response:
        assert await response.read() == b"images"
    found = await verified(place.server, datum["id"])
    assert found["checksums"]["sha256"] == hashlib.sha256(b"images").hexdigest()


async def test_adopting_the_same_object_again_is_the_same_datum_however_many_do(place: Place) -> None:
    await place.put("a.csv", b"a")
    found = await asyncio.gather(*(place.adopt("a.csv") for _ in range(8)))
    assert len({each["datum"]["id"] for each in found}) == 1
    assert sum(each["created"] for each in found) == 1


async def test_an_object_that_was_replaced_is_another_datum_and_the_old_one_says_so(place: Place) -> None:
    await place.put("a.csv", b"first")
    first = await place.adopt("a.csv")
    # else the server may look just when the one is gone and the other is not there yet
    await verified(place.server, first["datum"]["id"])
    await place.put("a.csv", b"second one")
    second = await place.adopt("a.csv")
    assert second["created"]
    assert first["datum"]["id"] != second["datum"]["id"]
    old = await show_datum(place.server, first["datum"]["id"])
    assert old["status"] == "CORRUPT"
    assert "replaced in the store" in old["statusReason"]


async def test_an_object_that_changed_is_found_by_the_server_itself(place: Place) -> None:
    await place.put("a.csv", b"first")
    datum = (await place.adopt("a.csv"))["datum"]
    await verified(place.server, datum["id"])
    await place.put("a.csv", b"other")
    error = await place.server.fails("query($id: ID!) { datum(id: $id) { downloadUrl } }", id=datum["id"])
    assert error.code == "CHECKSUM_MISMATCH"
    async with place.server.pool.acquire() as connection:
        await connection.execute("UPDATE datum SET verify_at = clock_timestamp()")
    found = await condemned(place.server, datum["id"])
    assert (found["status"], found["statusReason"]) == (
        "CORRUPT",
        "the object in the store was changed outside Waymark",
    )


async def test_purging_an_adopted_datum_forgets_it_and_leaves_the_object(place: Place) -> None:
    await place.put("a.csv", b"mine")
    datum = (await place.adopt("a.csv"))["datum"]
    await place.server.run(
        "mutation($i: PurgeDatumInput!) { purgeDatum(input: $i) { datum { status } } }",
        i={"id": datum["id"], "reason": "not ours"},
    )
    await place.server.keep_house()
    assert (await place.outside.stat(f"{place.folder}/a.csv")).size == 4
    assert (await place.adopt("a.csv"))["created"]


async def test_store_addresses_are_inputs_and_patterns_are_kept_as_the_exact_list(place: Place) -> None:
    for name in ("a.csv", "b.csv", "c.txt", "deep/d.csv"):
        await place.put(name, name.encode())
    execution = await place.run(place.address("*.csv"), place.address("**/*.csv"), place.address("c.txt"))
    (given,) = execution["inputs"]
    files = [(file["reference"], file["datum"]["name"]) for file in given["files"]["nodes"]]
    assert files == [
        *[(place.address("*.csv"), name) for name in ("a.csv", "b.csv")],
        *[(place.address("**/*.csv"), name) for name in ("a.csv", "b.csv", "d.csv")],
        (place.address("c.txt"), "c.txt"),
    ]
    assert {file["datum"]["origin"] for file in given["files"]["nodes"]} == {"ADOPTED"}
    assert execution["warnings"] == []
    resolved = await place.server.run(
        "query($p: ID!, $r: String!) { resolve(project: $p, reference: $r) { datum { name } version } }",
        p=await place.server.project_id(),
        r=place.address("c.txt"),
    )
    assert resolved["resolve"] == {"datum": {"name": "c.txt"}, "version": None}


async def test_an_input_that_changed_since_it_was_last_used_is_warned_of_on_that_run_only(place: Place) -> None:
    address = await place.put("a.csv", b"first")
    before = await place.run(address)
    (file,) = before["inputs"][0]["files"]["nodes"]
    await verified(place.server, file["datum"]["id"])
    await place.put("a.csv", b"second one")
    (warning,) = (await place.run(address))["warnings"]
    assert (warning["code"], warning["reference"]) == ("INPUT_CHANGED", address)
    assert warning["before"]["sha256"] == hashlib.sha256(b"first").hexdigest()
    assert (await place.run(address))["warnings"] == []
    # what ran is pinned to what it ran on
    assert (await show_datum(place.server, file["datum"]["id"]))["status"] == "CORRUPT"


async def test_what_cannot_be_adopted_is_refused_with_the_reason(place: Place) -> None:
    server = place.server
    project = await server.project_id()
    for reference, code in (
        (place.address("missing"), "NOT_FOUND"),
        ("s3://nobodys/key", "NOT_FOUND"),
        ("local://default/key", "NOT_FOUND"),
        ("s3://bucket", "BAD_USER_INPUT"),
        (f"{place.prefix}/a/../b", "BAD_USER_INPUT"),
        (place.address("*"), "BAD_USER_INPUT"),
        ("datum://x", "BAD_USER_INPUT"),
        (f"{place.prefix}/waymark/{project}/{uuid4()}/x", "BAD_USER_INPUT"),
    ):
        error = await server.fails(_ADOPT, i={"project": project, "reference": reference})
        assert error.code == code, (reference, error.message)
    nothing = {"project": project, "command": ["x"], "inputs": [{"name": "a", "references": [place.address("*.no")]}]}
    assert "matches no object" in (await server.fails(_RUN, i=nothing)).message
    unknown = await server.fails(
        "query($p: ID!, $r: String!) { resolve(project: $p, reference: $r) { version } }",
        p=project,
        r=place.address("c"),
    )
    assert (unknown.code, "adoptDatum" in unknown.message) == ("NOT_FOUND", True)
