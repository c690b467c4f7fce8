"""What a request works with: who calls, and the only ways to a connection, which ask what the caller may do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import strawberry

from app.api.limits import NOTHING, Study
from app.api.loaders import Loaders
from app.api.services import Services
from app.database.statements import Connection
from app.domain.access import Caller, Scope
from app.domain.data_stores import DataStore, StoreSpec
from app.domain.feeds import Feeds
from app.domain.secrets import SecretBox
from app.domain.transactions import reading, writing
from app.settings import Settings
from app.stores.base import Store


class Context:
    """One operation's context; a request that carries several makes each its own."""

    def __init__(self, services: Services, caller: Caller, base_url: str, study: Study = NOTHING) -> None:
        self._services = services
        self.caller = caller
        self.base_url = base_url
        self.study = study
        self.loaders = Loaders(services.pool, caller)

    def of(self, study: Study) -> Context:
        """The context of one operation, which is in this document."""
        return Context(self._services, self.caller, self.base_url, study)

    def selected(self, info: Info) -> frozenset[str]:
        """The names of all fields asked for anywhere below the one that is being resolved."""
        return self.study.selected(info._raw_info.field_nodes[0])

    @property
    def settings(self) -> Settings:
        return self._services.settings

    @property
    def feeds(self) -> Feeds:
        return self._services.feeds

    @property
    def secrets(self) -> SecretBox:
        return self._services.secrets

    def store(self, record: DataStore) -> Store:
        return self._services.store(record)

    @asynccontextmanager
    async def trial(self, spec: StoreSpec, name: str) -> AsyncIterator[Store]:
        """A store that is not kept yet."""
        store = self._services.stores.make(spec.kind, name, spec.config | spec.credentials)
        try:
            yield store
        finally:
            await store.aclose()

    async def check_endpoint(self, url: str) -> None:
        await self._services.guard.check_url(url)

    @asynccontextmanager
    async def read(self, project_id: UUID | None) -> AsyncIterator[Connection]:
        """A short read connection for rows of one project (None: of the caller's own account)."""
        self.caller.require(Scope.READ, project_id)
        async with reading(self._services.pool) as connection:
            yield connection

    @asynccontextmanager
    async def write(self, scope: Scope, project_id: UUID | None) -> AsyncIterator[Connection]:
        """One transaction on rows of one project (None: of the whole server), if the caller has the scope.

        After the commit the loaders are new, so that later fields see what was written.
        """
        self.caller.require(scope, project_id)
        async with writing(self._services.pool) as connection:
            yield connection
        self.forget()

    def forget(self) -> None:
        """Lets what follows be read anew: a subscription's events are minutes apart."""
        self.loaders = Loaders(self._services.pool, self.caller)

    def sweep_soon(self) -> None:
        """After a commit that left bytes to delete or to verify."""
        self._services.housekeeping_due.set()


Info = strawberry.Info[Context, None]
