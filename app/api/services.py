"""What lives as long as the server process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from app.database.engine import Pool
from app.domain.data_stores import DataStore
from app.domain.feeds import Feeds
from app.domain.secrets import SecretBox
from app.settings import Settings
from app.stores.base import Store
from app.stores.registry import StoreRegistry
from app.transfer.guard import NetworkGuard


@dataclass(slots=True)
class Services:
    """Shared by all requests; GraphQL reaches it only through its operation's context."""

    settings: Settings
    pool: Pool
    secrets: SecretBox
    guard: NetworkGuard
    stores: StoreRegistry
    feeds: Feeds
    #: Set when the process begins to shut down.
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    #: Set after a commit that left bytes to delete or to verify.
    housekeeping_due: asyncio.Event = field(default_factory=asyncio.Event)

    def store(self, record: DataStore) -> Store:
        return record.opened(self.stores, self.secrets)
