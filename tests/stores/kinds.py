"""Every kind of store that can be run here: its server, the store on it, and how users name and add it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from app.stores.azure import AzureStore
from app.stores.base import Store
from app.stores.gcs import GcsStore
from app.stores.local import LocalStore
from app.stores.s3 import S3Store
from app.stores.swift import SwiftLogin, SwiftStore
from app.transfer.guard import GuardedResolver, NetworkGuard
from tests.stores import servers

KINDS = ["local", "s3", "azure", "gcs", "swift"]
LOOPBACK = NetworkGuard([ip_network("127.0.0.0/8")])


@dataclass(frozen=True)
class Kind:
    """A store in the making; what Waymark does not know of it is done through `open`."""

    name: str
    open: Callable[[], Store]
    #: What the addresses of its objects begin with, when the project calls it "mine".
    address: str
    #: createDataStore's input.
    spec: dict[str, Any]
    #: Of `waymark store add`, and where that reads the credentials.
    arguments: tuple[str, ...]
    environment: Mapping[str, str]


def s3_store(url: str, *, bucket: str = servers.BUCKET, secret: str = servers.SECRET_KEY) -> S3Store:
    return S3Store(
        "s3",
        bucket=bucket,
        region=None,
        endpoint_url=url,
        access_key_id=servers.ACCESS_KEY,
        secret_access_key=secret,
        resolver=GuardedResolver(LOOPBACK),
    )


def azure_store(url: str, *, container: str = servers.BUCKET, key: str = servers.AZURE_KEY) -> AzureStore:
    return AzureStore(
        "azure",
        account=servers.AZURE_ACCOUNT,
        container=container,
        account_key=key,
        sas_token=None,
        endpoint_url=url,
        guard=LOOPBACK,
    )


def gcs_store(server: servers.Gcs, *, bucket: str = servers.BUCKET, key: Mapping[str, str] | None = None) -> GcsStore:
    return GcsStore(
        "gcs", bucket=bucket, endpoint_url=server.url, service_account_key=key or server.key, guard=LOOPBACK
    )


def google_client(server: servers.Gcs) -> Any:
    """Google's own client, which is not typed, and asks Google where it may go unless it is told to be elsewhere."""
    elsewhere = {"universe_domain": "localhost"}
    return import_module("google.cloud.storage").Client.from_service_account_info(
        server.key | elsewhere, client_options={"api_endpoint": server.url, **elsewhere}
    )


def swift_store(
    url: str,
    *,
    container: str = servers.BUCKET,
    password: str = servers.SWIFT_PASSWORD,
    temp_url_key: str | None = None,
) -> SwiftStore:
    login = SwiftLogin(f"{url}/auth/v1.0", servers.SWIFT_USER, password, "test", "Default", None, False)
    return SwiftStore("swift", login=login, container=container, temp_url_key=temp_url_key, guard=LOOPBACK)


def local(folder: Path) -> Kind:
    folder.mkdir(parents=True, exist_ok=True)
    return Kind(
        "local",
        lambda: LocalStore("mine", folder),
        "local://mine",
        {"local": {"path": str(folder)}},
        ("--path", str(folder)),
        {},
    )


def s3(url: str) -> Kind:
    return Kind(
        "s3",
        lambda: s3_store(url),
        f"s3://{servers.BUCKET}",
        {
            "s3": {
                "bucket": servers.BUCKET,
                "endpointUrl": url,
                "accessKeyId": servers.ACCESS_KEY,
                "secretAccessKey": servers.SECRET_KEY,
            }
        },
        ("--bucket", servers.BUCKET, "--endpoint", url),
        {"AWS_ACCESS_KEY_ID": servers.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": servers.SECRET_KEY},
    )


def azure(url: str) -> Kind:
    return Kind(
        "azure",
        lambda: azure_store(url),
        f"azure://{servers.AZURE_ACCOUNT}/{servers.BUCKET}",
        {
            "azure": {
                "account": servers.AZURE_ACCOUNT,
                "container": servers.BUCKET,
                "endpointUrl": url,
                "accountKey": servers.AZURE_KEY,
            }
        },
        ("--account", servers.AZURE_ACCOUNT, "--container", servers.BUCKET, "--endpoint", url),
        {"AZURE_STORAGE_KEY": servers.AZURE_KEY},
    )


def gcs(server: servers.Gcs) -> Kind:
    return Kind(
        "gcs",
        lambda: gcs_store(server),
        f"gs://{servers.BUCKET}",
        {"gcs": {"bucket": servers.BUCKET, "endpointUrl": server.url, "serviceAccountKey": server.key}},
        ("--bucket", servers.BUCKET, "--endpoint", server.url),
        {"GOOGLE_APPLICATION_CREDENTIALS": str(server.key_file)},
    )


def swift(url: str) -> Kind:
    return Kind(
        "swift",
        lambda: swift_store(url),
        f"swift://test/{servers.BUCKET}",
        {
            "swift": {
                "authUrl": f"{url}/auth/v1.0",
                "container": servers.BUCKET,
                "username": servers.SWIFT_USER,
                "password": servers.SWIFT_PASSWORD,
            }
        },
        ("--auth-url", f"{url}/auth/v1.0", "--container", servers.BUCKET),
        {"OS_USERNAME": servers.SWIFT_USER, "OS_PASSWORD": servers.SWIFT_PASSWORD},
    )


def kind_of(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    """A kind by its name, on the session's server, which is started when it is first asked for."""
    if name == "local":
        return local(tmp_path / "roots" / "mine")
    makers: dict[str, tuple[str, Callable[[Any], Kind]]] = {
        "s3": ("seaweedfs", s3),
        "azure": ("azurite", azure),
        "gcs": ("gcs_server", gcs),
        "swift": ("swift_server", swift),
    }
    fixture, make = makers[name]
    return make(request.getfixturevalue(fixture))
