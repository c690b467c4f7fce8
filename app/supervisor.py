"""`waymark serve`: starts what server processes need, and them, and keeps all of it alive."""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog
import uvicorn
from uvicorn.supervisors import Multiprocess

from app.database.embedded import EmbeddedPostgres, EmbeddedPostgresError
from app.database.engine import create_pool
from app.database.migrate import UnsupportedDatabaseError, create_database, migrate
from app.domain import bootstrap
from app.domain.positions import ensure_feed_positions
from app.domain.secrets import new_token
from app.domain.transactions import UNAVAILABLE, writing
from app.logs import configure_logs
from app.server_process import HttpProtocol, process_app
from app.settings import Settings, SettingsError, environment_with
from app.worker.process import account_of

log = structlog.get_logger("waymark.server")

#: After which a server process that does not answer its supervisor is killed: starting may take long on a busy machine.
_HUNG_SECONDS = 30

#: What keeps a server from starting; each says what the operator can do.
UNABLE_TO_START = (SettingsError, EmbeddedPostgresError, UnsupportedDatabaseError, *UNAVAILABLE)


def serve(settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT: the embedded PostgreSQL unless a database is named, and the server processes."""
    configure_logs(settings.log_level, settings.log_format)
    _make_data_dir(settings)
    with _only_one(settings.data_dir), _database(settings) as (database, url):
        # what a killed one left would lead clients astray
        settings.address_file.unlink(missing_ok=True)
        settings = replace(settings, database_url=url, secret_key=settings.secret_key or _own_secret_key(settings))
        asyncio.run(_prepare(settings, embedded=database is not None))
        listener = _listen(settings)
        address = _address(settings, listener)
        settings.address_file.write_text(address + "\n")
        log.info(
            "Waymark is starting", address=address, token_file=str(settings.token_file), console="waymark open signs in"
        )
        worker = _LocalWorker(settings, address) if _may_run_worker(settings, listener, database) else None
        try:
            _Supervisor(settings, listener, database, worker).run()
        finally:
            if worker is not None:
                worker.stop()
            settings.address_file.unlink(missing_ok=True)
            listener.close()


def create_admin_token(settings: Settings) -> Path:
    """Writes a fresh token of the actor `admin` to the data directory, for an operator who has none; returns the file.

    With the embedded database the server must not be running, as its database is started here.
    """
    configure_logs("WARNING", settings.log_format)
    _make_data_dir(settings)
    with _only_one(settings.data_dir), _database(settings) as (_, url):
        secret = new_token()
        asyncio.run(_prepare(replace(settings, database_url=url, bootstrap_token=secret), embedded=False))
        settings.token_file.unlink(missing_ok=True)
        _write_secret(settings.token_file, secret)
    return settings.token_file


class _Supervisor(Multiprocess):
    """uvicorn's supervisor of server processes, which also keeps the embedded PostgreSQL alive."""

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        database: EmbeddedPostgres | None,
        worker: _LocalWorker | None,
    ) -> None:
        config = uvicorn.Config(
            partial(process_app, settings),
            factory=True,
            workers=settings.workers,
            loop="uvloop",
            http=HttpProtocol,
            ws="websockets-sansio",
            ws_max_size=settings.max_body_bytes,
            log_config=None,
            timeout_graceful_shutdown=settings.shutdown_grace,
            timeout_worker_healthcheck=_HUNG_SECONDS,
            server_header=False,
        )
        super().__init__(config, [listener])
        self._database = database
        self._worker = worker

    def keep_subprocess_alive(self) -> None:
        if self._database is not None and not self._database.running and not self.should_exit.is_set():
            log.error("PostgreSQL ended; starting it again")
            self._database.start()
        if self._worker is not None and not self.should_exit.is_set():
            self._worker.keep_alive()
        super().keep_subprocess_alive()


class _LocalWorker:
    """The worker of a server that is used on one machine: a process of its own, a client like any other."""

    def __init__(self, settings: Settings, address: str) -> None:
        self._environment = environment_with(
            {
                "WAYMARK_URL": address,
                "WAYMARK_TOKEN": settings.worker_token_file.read_text().strip(),
                "WAYMARK_DATA_DIR": str(settings.data_dir),
            }
        )
        # commands find the Python that serves, with what is installed there
        self._options = ["--allow-processes", "--name", "local", "--path", str(Path(sys.executable).parent)]
        if settings.local_worker_user is not None:
            try:
                account_of(settings.local_worker_user)
            except ValueError as error:
                raise SettingsError(f"WAYMARK_LOCAL_WORKER_USER: {error}.") from error
            self._options += ["--user", settings.local_worker_user]
        self._process: subprocess.Popen[bytes] | None = None

    def keep_alive(self) -> None:
        if self._process is None or self._process.poll() is not None:
            if self._process is not None:
                log.error("the local worker ended; starting it again")
            options = [*self._options, "--parent", str(os.getpid())]
            # in a group of its own: a terminal's Ctrl-C is for the server, which stops its worker
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app", "worker", *options], env=self._environment, process_group=0
            )

    def stop(self) -> None:
        """Ends it and what it runs, which another worker may take up later."""
        if self._process is None:
            return
        # the first lets executions come to their ends, the second does not
        for _ in range(2):
            self._process.terminate()
            time.sleep(0.1)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _may_run_worker(settings: Settings, listener: socket.socket, database: EmbeddedPostgres | None) -> bool:
    """Commands are isolated from nothing, so only who is on this machine may have them run."""
    if not settings.local_worker or database is None:
        return False
    if not ipaddress.ip_address(listener.getsockname()[0]).is_loopback:
        log.warning("no local worker is started, as others can reach this server; `waymark worker --help` tells more")
        return False
    return True


async def _prepare(settings: Settings, *, embedded: bool) -> None:
    """Brings the database to the newest schema and makes what a new server needs."""
    if settings.database_url is None:
        raise SettingsError("There is no database.")
    await migrate(settings.database_url)
    token = settings.bootstrap_token
    worker_token = None
    if embedded:
        token = token or _own_token(settings.token_file)
        worker_token = _own_token(settings.worker_token_file)
    async with await create_pool(settings.database_url, size=1) as pool, writing(pool) as connection:
        await ensure_feed_positions(connection)
        await bootstrap.ensure_defaults(connection, store_path=str(settings.store_dir))
        if token is not None:
            await bootstrap.ensure_admin_token(connection, token)
        if worker_token is not None:
            await bootstrap.ensure_worker_token(connection, worker_token)


@contextmanager
def _database(settings: Settings) -> Iterator[tuple[EmbeddedPostgres | None, str]]:
    if settings.database_url is not None:
        yield None, settings.database_url
        return
    database = EmbeddedPostgres(settings.data_dir / "postgres")
    try:
        database.start()
        asyncio.run(create_database(database.url("postgres"), "waymark"))
        yield database, database.url()
    finally:
        database.stop()


def _make_data_dir(settings: Settings) -> None:
    if not settings.data_dir.exists():
        # root's PostgreSQL runs as another account, which must get through to its own folder below
        settings.data_dir.mkdir(parents=True, mode=0o711 if os.geteuid() == 0 else 0o700)
    settings.store_dir.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    """Holds the data directory; the lock goes with the process, however it ends."""
    with (data_dir / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(
                f"Another Waymark uses {data_dir}. Stop it, or set WAYMARK_DATA_DIR to another folder."
            ) from error
        yield


def _own_secret_key(settings: Settings) -> str:
    if settings.database_url is not None and not settings.secret_key_file.exists():
        raise SettingsError(
            "With WAYMARK_DATABASE_URL, WAYMARK_SECRET_KEY must be set, the same for all servers of that database:"
            " at least 32 characters, for example from `openssl rand -base64 32`."
        )
    if not settings.secret_key_file.exists():
        _write_secret(settings.secret_key_file, secrets.token_urlsafe(48))
    return settings.secret_key_file.read_text().strip()


def _own_token(file: Path) -> str:
    if not file.exists():
        _write_secret(file, new_token())
    return file.read_text().strip()


def _write_secret(path: Path, secret: str) -> None:
    """Writes a 0600 file, whole or not at all."""
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret + "\n")
    unfinished.rename(path)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"Cannot listen on {settings.host} port {settings.port}: {error.strerror}."
            " Set WAYMARK_HOST or WAYMARK_PORT, or --host or --port."
        ) from error
    listener.listen(2048)
    listener.set_inheritable(True)
    return listener


def _address(settings: Settings, listener: socket.socket) -> str:
    if settings.public_url:
        return settings.public_url
    host, port = listener.getsockname()[:2]
    ip = ipaddress.ip_address(host)
    if ip.is_unspecified:
        ip = ipaddress.ip_address("127.0.0.1" if ip.version == 4 else "::1")
    return f"http://{ip}:{port}" if ip.version == 4 else f"http://[{ip}]:{port}"
