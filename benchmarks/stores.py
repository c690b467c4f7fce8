"""`make bench-stores`: one large file and many small ones to and from every store, by `waymark data push` and `pull`.

Beside them, in the same run, the vendor's own library does the same work, and hashes are computed with nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from importlib import import_module
from pathlib import Path
from uuid import uuid4

import boto3
from azure.storage.blob import BlobServiceClient
from rich.console import Console
from rich.table import Table

from app.transfer.hashing import hash_file
from tests.running import serving, waymark
from tests.stores import kinds, servers

_MEGABYTE = 1_000_000
_SIDE_BY_SIDE = 8
_SMALL = 10_000

Move = Callable[[Path, str], None]


@dataclass(frozen=True)
class Vendor:
    """What a vendor's own library puts a file with at a key, and gets it with."""

    put: Move
    get: Move


@contextmanager
def _local(folder: Path) -> Iterator[tuple[kinds.Kind, Vendor]]:
    kind = kinds.local(folder / "roots" / "mine")
    beside = folder / "beside"
    beside.mkdir()
    yield (
        kind,
        Vendor(
            lambda path, key: shutil.copyfile(path, beside / key) and None,
            lambda path, key: shutil.copyfile(beside / key, path) and None,
        ),
    )


@contextmanager
def _s3(folder: Path) -> Iterator[tuple[kinds.Kind, Vendor]]:
    with servers.seaweedfs(folder) as url:
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=servers.ACCESS_KEY,
            aws_secret_access_key=servers.SECRET_KEY,
        )
        yield (
            kinds.s3(url),
            Vendor(
                lambda path, key: client.upload_file(str(path), servers.BUCKET, key),
                lambda path, key: client.download_file(servers.BUCKET, key, str(path)),
            ),
        )


@contextmanager
def _azure(folder: Path) -> Iterator[tuple[kinds.Kind, Vendor]]:
    with servers.azurite(folder) as url:
        credential = {"account_name": servers.AZURE_ACCOUNT, "account_key": servers.AZURE_KEY}
        container = BlobServiceClient(url, credential).get_container_client(servers.BUCKET)

        def put(path: Path, key: str) -> None:
            with path.open("rb") as file:
                container.upload_blob(key, file, max_concurrency=4)

        def get(path: Path, key: str) -> None:
            with path.open("wb") as file:
                container.download_blob(key, max_concurrency=4).readinto(file)

        yield kinds.azure(url), Vendor(put, get)


@contextmanager
def _gcs(folder: Path) -> Iterator[tuple[kinds.Kind, Vendor]]:
    with servers.gcs(folder) as server:
        bucket = kinds.google_client(server).bucket(servers.BUCKET)
        yield (
            kinds.gcs(server),
            Vendor(
                lambda path, key: bucket.blob(key).upload_from_filename(str(path)),
                lambda path, key: bucket.blob(key).download_to_filename(str(path)),
            ),
        )


@contextmanager
def _swift(folder: Path) -> Iterator[tuple[kinds.Kind, Vendor]]:
    with servers.swift(folder) as url:
        swiftclient = import_module("swiftclient.client")
        account, token = swiftclient.get_auth(
            f"{url}/auth/v1.0", servers.SWIFT_USER, servers.SWIFT_PASSWORD, auth_version="1"
        )

        def put(path: Path, key: str) -> None:
            with path.open("rb") as file:
                swiftclient.put_object(account, token, servers.BUCKET, key, file)

        def get(path: Path, key: str) -> None:
            _, chunks = swiftclient.get_object(account, token, servers.BUCKET, key, resp_chunk_size=1024 * 1024)
            with path.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)

        yield kinds.swift(url), Vendor(put, get)


_STORES = {"local": _local, "s3": _s3, "azure": _azure, "gcs": _gcs, "swift": _swift}


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class Bench:
    """A server, and the files to move."""

    def __init__(self, home: Path, size: int, count: int) -> None:
        self.home = home
        self.large = home / "large.bin"
        with self.large.open("wb") as file:
            for _ in range(size // _MEGABYTE):
                file.write(os.urandom(_MEGABYTE))
        self.small = home / "small"
        self.small.mkdir()
        for number in range(count):
            (self.small / f"{number}.bin").write_bytes(os.urandom(_SMALL))
        self.back = home / "back"
        self.back.mkdir()

    def run(self, *arguments: str, **environment: str) -> str:
        done = waymark(self.home / "data", *arguments, **environment)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    def ours(self, path: Path) -> tuple[float, float]:
        """The seconds that a file, or all of a folder, takes to go and to come."""
        pushed = ""

        def push() -> None:
            nonlocal pushed
            pushed = self.run("data", "push", str(path), "--output", "json")

        there = _seconds(push)
        found = json.loads(pushed)
        ids = [each["datum"]["id"] for each in (found if isinstance(found, list) else [found])]
        back = _seconds(lambda: self.run("data", "pull", *ids, "--to", str(self.back)))
        self._empty()
        return there, back

    def theirs(self, vendor: Vendor, paths: list[Path]) -> tuple[float, float]:
        keys = {path: f"{uuid4()}" for path in paths}
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            there = _seconds(lambda: list(pool.map(lambda path: vendor.put(path, keys[path]), paths)))
            back = _seconds(lambda: list(pool.map(lambda path: vendor.get(self.back / path.name, keys[path]), paths)))
        self._empty()
        return there, back

    def _empty(self) -> None:
        shutil.rmtree(self.back)
        self.back.mkdir()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.stores")
    parser.add_argument("--size", type=int, default=512 * _MEGABYTE, help="bytes of the large file (512,000,000)")
    parser.add_argument("--count", type=int, default=1000, help="how many files of 10 kB (1,000)")
    parser.add_argument("--store", action="append", choices=_STORES, help="only this one; may be repeated")
    given = parser.parse_args()
    console = Console(width=150)
    home = Path(tempfile.mkdtemp(prefix="waymark-bench-"))
    home.chmod(0o711)
    settings = {
        "WAYMARK_ALLOWED_NETWORKS": "127.0.0.0/8",
        "WAYMARK_LOCAL_STORE_ROOTS": str(home),
        "WAYMARK_LOG_LEVEL": "WARNING",
    }
    table = Table(
        title=f"{given.size / _MEGABYTE:.0f} MB, and {given.count:,} files of 10 kB; vendor's library: in brackets"
    )
    for column in ("store", "MB/s up", "MB/s down", "files/s up", "files/s down"):
        table.add_column(column, justify="left" if column == "store" else "right")
    try:
        bench = Bench(home, given.size, given.count)
        with serving(home / "data", **settings):
            for name in given.store or _STORES:
                (home / name).mkdir()
                with _STORES[name](home / name) as (kind, vendor):
                    bench.run("store", "add", name, f"{name}-store", *kind.arguments, "--default", **kind.environment)
                    large, small = bench.ours(bench.large), bench.ours(bench.small)
                    beside = bench.theirs(vendor, [bench.large]), bench.theirs(vendor, sorted(bench.small.iterdir()))
                cells = [
                    f"{amount / mine:,.0f} ({amount / other:,.0f})"
                    for amount, ours, theirs in (
                        (given.size / _MEGABYTE, large, beside[0]),
                        (given.count, small, beside[1]),
                    )
                    for mine, other in zip(ours, theirs, strict=True)
                ]
                table.add_row(name, *cells)
        console.print(table)
        three = _seconds(lambda: hash_file(bench.large))
        with bench.large.open("rb") as file:
            one = _seconds(lambda: file_digest(file, "md5"))
        rate = given.size / _MEGABYTE
        console.print(f"hashes: three in one pass {rate / three:,.0f} MB/s, md5 alone {rate / one:,.0f} MB/s")
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
