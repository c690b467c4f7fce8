"""Opens stores by kind, each once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from app.stores.azure import AzureStore
from app.stores.base import Store
from app.stores.gcs import GcsStore
from app.stores.local import LocalStore
from app.stores.s3 import S3Store
from app.stores.swift import SwiftLogin, SwiftStore
from app.transfer.guard import GuardedResolver, NetworkGuard

Options = Mapping[str, Any]


class StoreRegistry:
    """The stores in use, by the id of their data store."""

    def __init__(self, guard: NetworkGuard) -> None:
        self._guard = guard
        self._stores: dict[UUID, tuple[Hashable, Store]] = {}
        #: Requests under way may still use them.
        self._replaced: list[Store] = []

    def open(self, store_id: UUID, kind: str, name: str, sealed: Hashable, unseal: Callable[[], Options]) -> Store:
        """The store, made anew if `sealed` has changed; only then are its options unsealed, which takes a while.

        The options are what the kind's factory below reads.
        """
        known = self._stores.get(store_id)
        if known is not None and known[0] == sealed:
            return known[1]
        store = self.make(kind, name, unseal())
        self._stores[store_id] = (sealed, store)
        if known is not None:
            self._replaced.append(known[1])
        return store

    def make(self, kind: str, name: str, options: Options) -> Store:
        """A store that is the caller's to close."""
        return _KINDS[kind](name, options, self._guard)

    async def aclose(self) -> None:
        for store in [*self._replaced, *(store for _, store in self._stores.values())]:
            await store.aclose()


def _local(name: str, options: Options, _: NetworkGuard) -> Store:
    return LocalStore(name, Path(options["path"]))


def _s3(name: str, options: Options, guard: NetworkGuard) -> Store:
    return S3Store(
        name,
        bucket=options["bucket"],
        region=options.get("region"),
        endpoint_url=options.get("endpoint_url"),
        access_key_id=options.get("access_key_id"),
        secret_access_key=options.get("secret_access_key"),
        resolver=GuardedResolver(guard),
    )


def _azure(name: str, options: Options, guard: NetworkGuard) -> Store:
    return AzureStore(
        name,
        account=options["account"],
        container=options["bucket"],
        account_key=options.get("account_key"),
        sas_token=options.get("sas_token"),
        endpoint_url=options.get("endpoint_url"),
        guard=guard,
    )


def _gcs(name: str, options: Options, guard: NetworkGuard) -> Store:
    return GcsStore(
        name,
        bucket=options["bucket"],
        endpoint_url=options.get("endpoint_url"),
        service_account_key=options.get("service_account_key"),
        guard=guard,
    )


def _swift(name: str, options: Options, guard: NetworkGuard) -> Store:
    login = SwiftLogin(
        auth_url=options["auth_url"],
        username=options["username"],
        password=options["password"],
        project=options["project"],
        domain=options.get("domain") or "Default",
        region=options.get("region"),
        is_application_credential=options.get("application_credential", False),
    )
    return SwiftStore(
        name, login=login, container=options["bucket"], temp_url_key=options.get("temp_url_key"), guard=guard
    )


_KINDS: Mapping[str, Callable[[str, Options, NetworkGuard], Store]] = {
    "LOCAL": _local,
    "S3": _s3,
    "AZURE": _azure,
    "GCS": _gcs,
    "SWIFT": _swift,
}
