"""Real parts for every test: one embedded PostgreSQL a run, a database cloned from a template a test, a live server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import uvicorn
from starlette.applications import Starlette
from structlog.contextvars import get_contextvars
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.client.client import ApiError, Client
from app.database.embedded import EmbeddedPostgres
from app.database.engine import Pool, create_pool, prepare
from app.database.migrate import create_database, migrate
from app.database.statements import Connection
from app.domain import bootstrap
from app.domain.housekeeping import keep_house_once
from app.domain.secrets import SecretBox, new_token
from app.server import create_app
from app.server_process import HttpProtocol
from app.settings import Settings
from app.stores.registry import StoreRegistry
from app.transfer.guard import NetworkGuard
from tests.make import World, a_world
from tests.running import home_folder
from tests.stores import servers

SECRET_KEY = "a secret key of tests, long enough for the settings"
_TEMPLATE = "template_waymark"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fuzz-examples", default="12", help="How many documents to make up for each operation of the schema."
    )
    parser.addoption(
        "--require-chromium", action="store_true", help="Fail rather than skip where there is no Chromium to test with."
    )


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    options = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200"}
    with home_folder("tests") as home:
        server = EmbeddedPostgres(home / "postgres", options=options)
        server.start()
        asyncio.run(create_database(server.url("postgres"), _TEMPLATE))
        asyncio.run(migrate(server.url(_TEMPLATE)))
        yield server
        server.stop()


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an S3 server."""
    with servers.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as url:
        yield url


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an Azure Blob account."""
    with servers.azurite(tmp_path_factory.mktemp("azurite")) as url:
        yield url


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Gcs]:
    """A server that speaks like Google Cloud Storage."""
    with servers.gcs(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture(scope="session")
def swift_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an OpenStack Swift."""
    with servers.swift(tmp_path_factory.mktemp("swift")) as url:
        yield url


@pytest.fixture
async def database_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """A database of this test's own, with the newest schema."""
    name = f"test_{uuid4().hex}"
    admin = await asyncpg.connect(postgres.url("postgres"))
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
    yield postgres.url(name)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    async with await create_pool(database_url, size=20) as pool:
        yield pool


@pytest.fixture
async def world(pool: Pool, tmp_path: Path) -> World:
    """A project with a store and an administrator, and the domain's functions on them."""
    return await a_world(pool, tmp_path / "files")


@pytest.fixture
def secrets() -> SecretBox:
    return SecretBox(SECRET_KEY)


@dataclass
class LiveServer:
    """A server on a free port, with an administrator's token, and the statements that requests sent to the database."""

    url: str
    token: str
    settings: Settings
    pool: Pool
    statements: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def client(self, token: str | None = None, via: str = "API") -> AsyncIterator[Client]:
        async with Client(self.url, token or self.token, via=via) as client:
            yield client

    async def run(self, query: str, token: str | None = None, /, **variables: Any) -> dict[str, Any]:
        async with self.client(token) as client:
            return await client.execute(query, variables)

    async def fails(self, query: str, token: str | None = None, /, **variables: Any) -> ApiError:
        """Sends an operation that must fail; returns its error."""
        with pytest.raises(ApiError) as caught:
            await self.run(query, token, **variables)
        return caught.value

    async def count(self, query: str, /, **variables: Any) -> tuple[dict[str, Any], list[str]]:
        """The data, and the statements it took, BEGIN and COMMIT left out."""
        await self.run(query, **variables)
        self.statements.clear()
        data = await self.run(query, **variables)
        return data, [each for each in self.statements if each.rstrip(";") not in ("BEGIN", "COMMIT")]

    async def new_token(self, name: str, *scopes: str, projects: list[str] | None = None) -> str:
        data = await self.run(
            "mutation($input: CreateTokenInput!) { createToken(input: $input) { secret } }",
            input={"name": name, "scopes": scopes, "projects": projects},
        )
        return str(data["createToken"]["secret"])

    async def keep_house(self) -> None:
        """A round of housekeeping; what the server's own has begun meanwhile is not waited for."""
        stores = StoreRegistry(NetworkGuard(self.settings.allowed_networks))
        await keep_house_once(self.pool, stores, SecretBox(SECRET_KEY))
        await stores.aclose()

    async def project_id(self, slug: str = "default") -> str:
        data = await self.run("query($slug: String!) { project(slug: $slug) { id } }", slug=slug)
        return str(data["project"]["id"])


class _InProcess(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def answering(app: Starlette, *, http: type[HttpToolsProtocol] = HttpToolsProtocol) -> AsyncIterator[str]:
    """Runs an application on a free port of this process; gives its address."""
    config = uvicorn.Config(app, port=0, http=http, log_config=None, timeout_graceful_shutdown=5)
    process = _InProcess(config)
    running = asyncio.create_task(process.serve())
    while not process.started:
        assert not running.done(), "the server did not start"
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{process.servers[0].sockets[0].getsockname()[1]}"
    process.should_exit = True
    await running


@pytest.fixture
async def server(database_url: str, tmp_path: Path) -> AsyncIterator[LiveServer]:
    settings = Settings(
        data_dir=tmp_path,
        database_url=database_url,
        secret_key=SECRET_KEY,
        database_pool_size=20,
        query_timeout=5,
        allowed_networks=(ip_network("127.0.0.0/8"),),
        local_store_roots=(tmp_path / "roots",),
        max_streams=6,
        stream_timeout=3,
    )
    statements: list[str] = []

    def hear(record: asyncpg.connection.LoggedQuery) -> None:
        # what runs without a request, as housekeeping does, comes at any time
        if "request_id" in get_contextvars():
            statements.append(record.query)

    async def listen(connection: Connection) -> None:
        await prepare(connection)
        connection.add_query_logger(hear)

    token = new_token()
    async with await create_pool(database_url, size=5) as pool:
        async with pool.acquire() as connection:
            await bootstrap.ensure_defaults(connection, store_path=str(settings.store_dir))
            await bootstrap.ensure_admin_token(connection, token)
        async with answering(create_app(settings, prepare_connection=listen), http=HttpProtocol) as url:
            yield LiveServer(url, token, settings, pool, statements)
