"""What lives as long as the server process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from app.database.engine import Pool
from app.domain.feeds import Feeds
from app.domain.secrets import SecretBox
from app.settings import Settings
from app.stores.registry import StoreRegistry


@dataclass(slots=True)
class Services:
    """Shared by all requests; GraphQL reaches it only through its operation's context."""

    settings: Settings
    pool: Pool
    secrets: SecretBox
    stores: StoreRegistry
    feeds: Feeds
    #: Set when the process begins to shut down.
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    #: Set after a commit that left bytes to delete.
    deletions_due: asyncio.Event = field(default_factory=asyncio.Event)
