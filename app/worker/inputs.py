"""The files that an execution reads, brought from where they are kept, or from this machine's cache."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from app.client.client import ApiError, Client, UnreachableError
from app.transfer.fetching import Fetcher, FetchError
from app.transfer.hashing import Digests, Hasher
from app.worker.cache import InputCache
from app.worker.claimed import Claimed
from app.worker.folders import SHOWN, Folders
from app.worker.logbook import Logbook, size_in_words

_INPUTS = """query($id: ID!, $after: String) { execution(id: $id) { inputs { name keepDirectories
    files(first: 100, after: $after) { pageInfo { hasNextPage endCursor } nodes { reference filename
        datum { id name size origin tags properties storageUri downloadUrl checksums { md5 sha1 sha256 } } } } } } }"""
_REPORT = "mutation($input: ReportInputsInput!) { reportInputs(input: $input) { execution { id } } }"
_FOUND_AT_ONCE = 500
_ATTEMPTS = 3


class InputError(Exception):
    """An input cannot be had, so that the command cannot be run."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Those of one attempt."""

    client: Client
    fetcher: Fetcher
    cache: InputCache | None
    claimed: Claimed
    folders: Folders
    logbook: Logbook

    async def fetch(self) -> dict[str, Any]:
        """Brings every file of every input; what inputs.json says of them."""
        described: dict[str, Any] = {}
        after, more = None, True
        places: dict[str, int] = {}
        while more:
            # links are short-lived, so a page is used before the next is asked for
            data = await self.client.execute(_INPUTS, {"id": self.claimed.execution["id"], "after": after})
            more, after = False, None
            found: list[dict[str, Any]] = []
            for each in data["execution"]["inputs"]:
                files = described.setdefault(each["name"], {"files": []})["files"]
                for file in each["files"]["nodes"]:
                    place = places.get(each["name"], 0)
                    places[each["name"]] = place + 1
                    files.append(await self._bring(each, file, place))
                    found.append({"input": each["name"], "position": place, **files[-1]["checksums"]})
                page = each["files"]["pageInfo"]
                if page["hasNextPage"]:
                    more, after = True, page["endCursor"]
            for start in range(0, len(found), _FOUND_AT_ONCE):
                report = {**self.claimed.belongs(), "files": found[start : start + _FOUND_AT_ONCE]}
                await self.client.execute(_REPORT, {"input": report})
        return described

    async def _bring(self, spec: Mapping[str, Any], file: Mapping[str, Any], place: int) -> dict[str, Any]:
        datum = file["datum"]
        name = file["filename"] or _name_of(file["reference"], datum, spec["keepDirectories"])
        shown = f"{SHOWN}/inputs/{spec['name']}/{name}"
        path = await asyncio.to_thread(_place, self.folders.inputs, f"{spec['name']}/{name}", shown)
        sha256 = datum and datum["checksums"]["sha256"]
        taken = None
        # what was purged cannot be had here either
        if self.cache is not None and sha256 and datum["downloadUrl"]:
            taken = await asyncio.to_thread(self.cache.take, sha256, path)
        if taken is not None:
            (size, digests), came = taken, "taken from this machine's cache"
        else:
            address = self.claimed.addresses.get((spec["name"], place), file["reference"])
            (size, digests), came = await self._fetch(shown, path, address, datum), "downloaded"
            if self.cache is not None and sha256:
                await asyncio.to_thread(self.cache.keep, sha256, path)
        self.logbook.status(f"{shown}: {came}, {size_in_words(size)}")
        for algorithm in ("md5", "sha1", "sha256"):
            self.logbook.status(f"{shown}: {algorithm} sum: {getattr(digests, algorithm)}")
        return {
            "name": name,
            "path": self.folders.as_seen(path),
            "size": size,
            "uri": f"datum://{datum['id']}" if datum else file["reference"],
            "storage_uri": datum and datum["storageUri"],
            "datum_id": datum and datum["id"],
            "checksums": {"md5": digests.md5, "sha1": digests.sha1, "sha256": digests.sha256},
            "metadata": [datum["properties"]] if datum and datum["properties"] else [],
        }

    async def _fetch(
        self, shown: str, path: Path, address: str, datum: Mapping[str, Any] | None
    ) -> tuple[int, Digests]:
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self._chunks(address, datum) as chunks:
                    size, digests = await _keep(path, chunks)
            except (ApiError, UnreachableError, FetchError) as error:
                if attempt == _ATTEMPTS or (isinstance(error, FetchError)):
                    raise InputError(f"{shown}: {error}") from error
                await asyncio.sleep(2.0 ** (attempt - 1))
                continue
            for algorithm, announced in (datum["checksums"] if datum else {}).items():
                if announced not in (None, getattr(digests, algorithm)):
                    raise InputError(f"{shown}: its {algorithm} is {getattr(digests, algorithm)}; expected {announced}")
            return size, digests

    @asynccontextmanager
    async def _chunks(self, address: str, datum: Mapping[str, Any] | None) -> AsyncIterator[AsyncIterator[bytes]]:
        if datum is None:
            async with self.fetcher.open(address) as fetched:
                yield fetched.chunks
        elif datum["downloadUrl"] is None:
            raise InputError(f"datum {datum['id']} cannot be had any more")
        else:
            async with self.client.get(datum["downloadUrl"]) as chunks:
                yield chunks


def _name_of(reference: str, datum: Mapping[str, Any] | None, keep: str) -> str:
    """What a file is called among its input's: the end of its path, or more of it if directories are kept."""
    if datum is None:
        return unquote(PurePosixPath(urlsplit(reference).path).name) or "file"
    path = str(datum["name"])
    if datum["origin"] == "ADOPTED" and datum["storageUri"]:
        path = str(datum["storageUri"]).partition("://")[2].partition("/")[2]
    if keep == "FULL":
        return path
    if keep == "SUFFIX":
        literal = reference.partition("://")[2].partition("/")[2].partition("*")[0].rpartition("/")[0]
        return path.removeprefix(f"{literal}/") if literal else path
    return path.rpartition("/")[2]


def _place(folder: Path, name: str, shown: str) -> Path:
    """Where a file goes, whose folder is then there. Blocking."""
    path = folder / name
    if not path.is_relative_to(folder) or ".." in PurePosixPath(name).parts:
        raise InputError(f"{shown} would be outside of its folder")
    if path.exists():
        raise InputError(f"{shown} is the name of two files; keep their directories, or give them names")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


async def _keep(path: Path, chunks: AsyncIterator[bytes]) -> tuple[int, Digests]:
    size = 0
    with Hasher() as hasher, await asyncio.to_thread(path.open, "wb") as file:

        def keep(chunk: bytes) -> None:
            hasher.update(chunk)
            file.write(chunk)

        async for chunk in chunks:
            size += len(chunk)
            await asyncio.to_thread(keep, chunk)
        return size, hasher.digests()
