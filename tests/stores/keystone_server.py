"""A real Keystone on SQLite, with a user of a project and Swift in its catalogue. Needs an environment of its own.

    python -W ignore tests/stores/keystone_server.py FOLDER PORT SWIFT_URL

The user `tester` with the password `testing` is an administrator of the project `team`, in the domain Default.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import closing
from http.client import HTTPConnection
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_CONFIGURATION = """
[DEFAULT]
log_dir = {home}
[database]
connection = sqlite:///{home}/keystone.db
[fernet_tokens]
key_repository = {home}/fernet
[fernet_receipts]
key_repository = {home}/fernet
[credential]
key_repository = {home}/credential
"""


def _manage(configuration: Path, *arguments: str) -> None:
    command = Path(sys.executable).with_name("keystone-manage")
    subprocess.run([str(command), "--config-file", str(configuration), *arguments], check=True)


def _set_up(home: Path, url: str) -> None:
    configuration = home / "keystone.conf"
    configuration.write_text(_CONFIGURATION.format(home=home))
    owner = ("--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid()))
    for name in ("fernet", "credential"):
        (home / name).mkdir(exist_ok=True)
    _manage(configuration, "db_sync")
    _manage(configuration, "fernet_setup", *owner)
    _manage(configuration, "credential_setup", *owner)
    _manage(configuration, "bootstrap", "--bootstrap-password", "admin", "--bootstrap-public-url", url)


def _ask(method: str, url: str, body: dict[str, Any] | None = None, token: str = "") -> tuple[dict[str, Any], str]:
    parts = urlsplit(url)
    with closing(HTTPConnection(parts.netloc)) as connection:
        headers = {"Content-Type": "application/json", "X-Auth-Token": token}
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        content = response.read()
        assert response.status < 300, content
        return json.loads(content or b"{}"), response.headers.get("X-Subject-Token", "")


def _populate(url: str, swift: str) -> None:
    domain = {"name": "Default"}
    admin = {"user": {"name": "admin", "domain": domain, "password": "admin"}}
    login = {
        "auth": {
            "identity": {"methods": ["password"], "password": admin},
            "scope": {"project": {"name": "admin", "domain": domain}},
        }
    }
    _, token = _ask("POST", f"{url}/auth/tokens", login)

    def make(kind: str, **values: Any) -> str:
        made, _ = _ask("POST", f"{url}/{kind}s", {kind: values}, token)
        return str(made[kind]["id"])

    roles, _ = _ask("GET", f"{url}/roles?name=admin", token=token)
    project, user = make("project", name="team", domain_id="default"), make("user", name="tester", password="testing")
    _ask("PUT", f"{url}/projects/{project}/users/{user}/roles/{roles['roles'][0]['id']}", token=token)
    service = make("service", name="swift", type="object-store")
    make("region", id="RegionOne")
    place = f"{swift}/v1/AUTH_%(tenant_id)s"
    make("endpoint", service_id=service, interface="public", url=place, region_id="RegionOne")
    make("project", name="ready", domain_id="default")


def main() -> None:
    home, port, swift = Path(sys.argv[1]).resolve(), int(sys.argv[2]), sys.argv[3]
    url = f"http://127.0.0.1:{port}/v3"
    _set_up(home, url)
    os.environ["OS_KEYSTONE_CONFIG_DIR"] = str(home)
    # Keystone would read the arguments itself
    del sys.argv[1:]
    serving = import_module("werkzeug.serving")
    application = import_module("keystone.wsgi.api").application
    server = serving.make_server("127.0.0.1", port, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    _populate(url, swift)
    (home / "ready").touch()
    thread.join()


if __name__ == "__main__":
    main()
