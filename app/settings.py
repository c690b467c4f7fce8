"""What the operator can set. The only reader of the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Self

Network = IPv4Network | IPv6Network


class SettingsError(Exception):
    """A setting is wrong; the message names it and says what would be right."""


def default_data_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the embedded database, the local store and the secret files live when WAYMARK_DATA_DIR does not say.

    Root gets a folder below /var/lib, because PostgreSQL runs as another account then, which must be able to reach it.
    """
    if named := environment.get("WAYMARK_DATA_DIR"):
        return Path(named).expanduser().absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/waymark")
    if base := environment.get("XDG_DATA_HOME"):
        return Path(base) / "waymark"
    return Path.home() / ".local" / "share" / "waymark"


def store_credentials(*names: str, environment: Mapping[str, str] = os.environ) -> list[str | None]:
    """The vendors' own variables, for the command line, where a secret as an argument would be seen by others."""
    return [environment.get(name) or None for name in names]


def environment_with(changes: Mapping[str, str], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a process that is started with some variables of its own."""
    return {**environment, **changes}


def state_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the command line remembers what it has not finished."""
    if base := environment.get("XDG_STATE_HOME"):
        return Path(base) / "waymark"
    return Path.home() / ".local" / "state" / "waymark"


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentLimits:
    """What one request's GraphQL documents may ask for; each field is one WAYMARK_… variable."""

    max_tokens: int = 10_000
    #: Fields within fields.
    max_depth: int = 16
    max_aliases: int = 500
    #: Fields as written, fragments counted once.
    max_fields: int = 2_000
    #: Fields of one name, as written.
    max_repeats: int = 500
    #: Spreads of fragments, as written.
    max_spreads: int = 100
    #: Fields that may be completed, list sizes multiplied.
    max_cost: int = 100_000
    #: Operations sent in one request.
    max_batch: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The server's settings; each field but the derived paths is one WAYMARK_… variable."""

    data_dir: Path
    #: None runs the embedded PostgreSQL below `data_dir`.
    database_url: str | None = None
    database_pool_size: int = 10
    host: str = "127.0.0.1"
    port: int = 8000
    #: Server processes.
    workers: int = 1
    #: What clients reach the server by, when that is not what their requests name as host.
    public_url: str | None = None
    #: Encrypts what is secret at rest and signs links.
    secret_key: str | None = None
    #: The first token, where there is no data directory that could hold a generated one.
    bootstrap_token: str | None = None
    #: How long an upload may take before its datum is EXPIRED.
    upload_lifetime: timedelta = timedelta(days=1)
    #: Seconds that requests under way get at shutdown.
    shutdown_grace: int = 5
    max_body_bytes: int = 2 * 1024 * 1024
    document_limits: DocumentLimits = DocumentLimits()
    #: Seconds that a query may take.
    query_timeout: int = 30
    #: Streams (running subscriptions) of one token in one server process.
    max_streams: int = 100
    #: Seconds after which a stream is ended whose client takes nothing in.
    stream_timeout: int = 30
    #: Networks of the server's own that stores and HTTP inputs may be in.
    allowed_networks: tuple[Network, ...] = ()
    #: Folders below which administrators may make local stores.
    local_store_roots: tuple[Path, ...] = ()
    #: Whether stores without credentials may use the server's own cloud identity.
    ambient_credentials: bool = False
    #: Whether `waymark serve` runs a worker too, on the embedded database and while it listens on this machine alone.
    local_worker: bool = True
    #: Whom it runs commands as; `nobody` if root serves and this is not set.
    local_worker_user: str | None = None
    #: Where the console may send files besides this server: the origins of stores, such as https://bucket.example.
    upload_origins: tuple[str, ...] = ()
    log_level: str = "INFO"
    log_format: str = "text"

    @property
    def token_file(self) -> Path:
        return self.data_dir / "token"

    @property
    def worker_token_file(self) -> Path:
        return self.data_dir / "worker-token"

    @property
    def address_file(self) -> Path:
        return self.data_dir / "address"

    @property
    def secret_key_file(self) -> Path:
        return self.data_dir / "secret-key"

    @property
    def store_dir(self) -> Path:
        """The root of the server's default store, a local folder."""
        return self.data_dir / "files"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Reads WAYMARK_… variables; a wrong one is a SettingsError."""
        return cls(
            data_dir=default_data_dir(environment),
            document_limits=DocumentLimits(
                **_read(environment, {each.name: _positive for each in fields(DocumentLimits)})
            ),
            **_read(environment, _READERS),
        )

    def with_options(self, **options: object) -> Self:
        """These settings with what the command line gave, where it gave something."""
        given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        return replace(self, **given)


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How the command line finds its server. Empty fields fall back to what `waymark serve` left in `data_dir`."""

    data_dir: Path
    url: str | None
    token: str | None
    project: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        return cls(
            data_dir=default_data_dir(environment),
            url=environment.get("WAYMARK_URL") or None,
            token=environment.get("WAYMARK_TOKEN") or None,
            project=environment.get("WAYMARK_PROJECT") or "default",
        )


def _read(environment: Mapping[str, str], readers: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    """The variables that are set, each by its reader."""
    values = {}
    for field, read in readers.items():
        name = f"WAYMARK_{field.upper()}"
        if text := environment.get(name):
            try:
                values[field] = read(text)
            except ValueError as error:
                raise SettingsError(f"{name}: {error}") from error
    return values


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise ValueError("expected a whole number from 1")
    return number


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise ValueError("expected a port number from 0 to 65535")
    return int(text)


def _one_of(*choices: str) -> Any:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return text

    return read


def _secret_keys(text: str) -> str:
    for key in text.split(","):
        _secret(key)
    return text


def _secret(text: str) -> str:
    if len(text) < 32:
        raise ValueError("expected at least 32 characters, for example from `openssl rand -base64 32`")
    return text


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(each.strip()) for each in text.split(",") if each.strip())
    except ValueError as error:
        raise ValueError(f"{error}; expected networks such as 10.0.0.0/8,127.0.0.1/32") from error


def _folders(text: str) -> tuple[Path, ...]:
    folders = tuple(Path(each) for each in text.split(os.pathsep) if each)
    if not all(folder.is_absolute() for folder in folders):
        raise ValueError(f"expected absolute paths, parted by {os.pathsep!r}")
    return folders


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(each.strip() for each in text.split(",") if each.strip())
    if not all(re.fullmatch(r"https?://[A-Za-z0-9.:*\[\]-]+", origin) for origin in origins):
        raise ValueError("expected origins such as https://bucket.s3.eu-north-1.amazonaws.com, parted by commas")
    return origins


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("expected 0 or 1")
    return text == "1"


_READERS: dict[str, Any] = {
    "database_url": str,
    "database_pool_size": _positive,
    "host": str,
    "port": _port,
    "workers": _positive,
    "public_url": lambda text: text.rstrip("/"),
    "secret_key": _secret_keys,
    "bootstrap_token": _secret,
    "upload_lifetime": lambda text: timedelta(seconds=_positive(text)),
    "shutdown_grace": _positive,
    "max_body_bytes": _positive,
    "query_timeout": _positive,
    "max_streams": _positive,
    "stream_timeout": _positive,
    "allowed_networks": _networks,
    "local_store_roots": _folders,
    "ambient_credentials": _flag,
    "local_worker": _flag,
    "local_worker_user": str,
    "upload_origins": _origins,
    "log_level": _one_of("DEBUG", "INFO", "WARNING", "ERROR"),
    "log_format": _one_of("text", "json"),
}
