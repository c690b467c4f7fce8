"""Opens stores by kind, each once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from app.stores.local import LocalStore


class StoreRegistry:
    """The stores in use, by the id of their data store."""

    def __init__(self) -> None:
        self._stores: dict[UUID, LocalStore] = {}

    def open(self, store_id: UUID, kind: str, name: str, config: Mapping[str, Any]) -> LocalStore:
        if store_id not in self._stores:
            self._stores[store_id] = _KINDS[kind](name, Path(config["path"]))
        return self._stores[store_id]


_KINDS = {"LOCAL": LocalStore}
