"""A real OpenStack Swift (proxy, account, container and object servers) in one process.

    python -W ignore tests/stores/swift_server.py FOLDER PORT [KEYSTONE]

FOLDER, on a file system with extended attributes, gets the rings, the configuration and the data. TempAuth answers at
/auth/v1.0 for test:tester, with the key testing, unless there is a Keystone, by its address. PORT+1 to PORT+3 serve
account, container and object.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

_SWIFT = """
[swift-hash]
swift_hash_path_prefix = waymark
swift_hash_path_suffix = waymark
[storage-policy:0]
name = Policy-0
default = yes
"""
_BACKEND = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
devices = {home}/srv
mount_check = false
user = root
swift_dir = {home}
disable_fallocate = true
fallocate_reserve = 0
log_level = WARNING
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""
_PROXY = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = root
swift_dir = {home}
log_level = WARNING
[pipeline:main]
pipeline = {pipeline} proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
"""
_FILTERS = ("catch_errors", "gatekeeper", "cache", "listing_formats", "bulk", "tempurl", "{access}", "slo")
_AUTHTOKEN = """
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = {keystone}
auth_url = {keystone}
auth_type = password
project_domain_name = Default
user_domain_name = Default
project_name = admin
username = admin
password = admin
delay_auth_decision = true
interface = public
"""
_OPTIONS = {
    "tempauth": "user_test_tester = testing .admin\nuser_test_reader = reading\n",
    "keystoneauth": "operator_roles = admin\n",
    "slo": "min_segment_size = 1\n",
}


class Cache(dict[str, Any]):
    """What Swift asks of memcached, which TempAuth keeps its tokens in."""

    def __bool__(self) -> bool:
        return True

    def get(self, key: str, *_: Any, **__: Any) -> Any:
        value, until = super().get(key, (None, 0))
        return None if until and until < time.time() else value

    def set(self, key: str, value: Any, time: float = 0, **_: Any) -> None:
        self[key] = (value, _now() + time if time else 0)

    def incr(self, key: str, delta: int = 1, time: float = 0) -> int:
        value = max(int(self.get(key) or 0) + int(delta), 0)
        self.set(key, value, time=time)
        return value

    def decr(self, key: str, delta: int = 1, time: float = 0) -> int:
        return self.incr(key, -delta, time)

    def delete(self, key: str, **_: Any) -> None:
        self.pop(key, None)


_now = time.time
_CACHE = Cache()


def filter_factory(_: Any, **__: Any) -> Callable[[Any], Any]:
    """A link of Swift's pipeline, which hands the cache to the others."""

    def wrap(application: Any) -> Any:
        def answer(environment: dict[str, Any], start: Any) -> Any:
            environment["swift.cache"] = _CACHE
            return application(environment, start)

        return answer

    return wrap


def _configure(home: Path, port: int, backends: dict[str, int], keystone: str | None) -> None:
    (home / "srv" / "sda1").mkdir(parents=True, exist_ok=True)
    (home / "swift.conf").write_text(_SWIFT)
    for name, at in backends.items():
        (home / f"{name}-server.conf").write_text(_BACKEND.format(name=name, port=at, home=home))
    filters = " ".join(_FILTERS).format(access="authtoken keystoneauth" if keystone else "tempauth")
    text = _PROXY.format(port=port, home=home, pipeline=filters)
    if keystone:
        text += _AUTHTOKEN.format(keystone=keystone)
    for name in filters.replace("authtoken ", "").split():
        factory = "paste.filter_factory = inproc_cache:filter_factory" if name == "cache" else f"use = egg:swift#{name}"
        text += f"[filter:{name}]\n{factory}\n{_OPTIONS.get(name, '')}"
    (home / "proxy-server.conf").write_text(text)


def _make_rings(home: Path, backends: dict[str, int]) -> None:
    ring_builder = import_module("swift.common.ring").RingBuilder
    for name, at in backends.items():
        if (home / f"{name}.ring.gz").exists():
            continue
        ring = ring_builder(4, 1, 1)
        device = {"id": 0, "region": 1, "zone": 1, "ip": "127.0.0.1", "port": at, "device": "sda1", "weight": 1.0}
        ring.add_dev({**device, "replication_ip": "127.0.0.1", "replication_port": at, "meta": ""})
        ring.rebalance()
        ring.get_ring().save(str(home / f"{name}.ring.gz"))


def main() -> None:
    eventlet = import_module("eventlet")
    eventlet.monkey_patch()
    home, port = Path(sys.argv[1]).resolve(), int(sys.argv[2])
    backends = {"account": port + 1, "container": port + 2, "object": port + 3}
    _configure(home, port, backends, sys.argv[3] if len(sys.argv) > 3 else None)
    _make_rings(home, backends)
    utils: Any = import_module("swift.common.utils")
    utils.SWIFT_CONF_FILE = utils.config.SWIFT_CONF_FILE = str(home / "swift.conf")
    utils.validate_hash_conf()
    import_module("swift.common.storage_policy").reload_storage_policies()
    sys.modules["inproc_cache"] = sys.modules["__main__"]
    load = import_module("swift.common.wsgi").loadapp
    protocol = import_module("swift.common.http_protocol").SwiftHttpProtocol
    serve = import_module("eventlet.wsgi").server
    with Path(os.devnull).open("w") as quiet:
        servers = [
            eventlet.spawn(
                serve,
                eventlet.listen(("127.0.0.1", at), backlog=1024),
                load(str(home / f"{name}-server.conf"), global_conf={"log_name": name}),
                quiet,
                protocol=protocol,
                log_output=False,
            )
            for name, at in {**backends, "proxy": port}.items()
        ]
        signal.signal(signal.SIGINT, lambda *_: os._exit(0))
        for server in servers:
            server.wait()


if __name__ == "__main__":
    main()
