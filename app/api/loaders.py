"""Dataloaders: what many fields ask for at once is one statement, on a short read connection of its own.

Every record passes one gate here: those of projects that the caller cannot see are taken for missing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence, Set
from functools import cached_property, partial
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

from app.database.engine import Pool
from app.database.statements import Connection
from app.domain import (
    aliases,
    configs,
    data_stores,
    datums,
    executions,
    lineage,
    nodes,
    projects,
    tasks,
    tokens,
    uploads,
)
from app.domain.access import Caller
from app.domain.paging import Listing, Query, Slice
from app.domain.transactions import reading


class Owned(Protocol):
    """A record that belongs to a project."""

    @property
    def project_id(self) -> UUID | None: ...


Key = TypeVar("Key", bound=Hashable)
Record = TypeVar("Record")
Gated = TypeVar("Gated", bound=Owned)
Value = TypeVar("Value")


#: Fields of one record that lead to another: its loader, and the attribute that has its id.
_TO_ONE = {
    "actor": ("actor", "actor_id"),
    "alias": ("alias", "alias_id"),
    "createdBy": ("actor", "created_by"),
    "datum": ("datum", "datum_id"),
    "execution": ("execution", "execution_id"),
    "from": ("datum", "from_datum_id"),
    "producedBy": ("execution", "produced_by"),
    "store": ("data_store", "store_id"),
    "to": ("datum", "to_datum_id"),
}


class Records(Generic[Record]):
    """Records by id. Those that were fetched ahead are there at once, without waiting."""

    def __init__(
        self, load: Callable[[Connection, Sequence[UUID]], Awaitable[Mapping[UUID, Record]]], pool: Pool
    ) -> None:
        self._fetch = load
        self._pool = pool
        self.known: dict[UUID, Record] = {}
        self._loader = DataLoader(self._load)

    async def load(self, key: UUID) -> Record | None:
        return self.known.get(key) or await self._loader.load(key)

    async def load_many(self, keys: Sequence[UUID]) -> list[Record | None]:
        return list(await self._loader.load_many(keys))

    async def fetch_ahead(self, connection: Connection, keys: Iterable[UUID]) -> None:
        if missing := set(keys) - self.known.keys():
            self.known |= await self._fetch(connection, list(missing))

    async def _load(self, keys: list[UUID]) -> list[Record | None]:
        async with reading(self._pool) as connection:
            await self.fetch_ahead(connection, keys)
        return [self.known.get(key) for key in keys]


class Loaders:
    """One operation's loaders; their caches last no longer than it does."""

    def __init__(self, pool: Pool, caller: Caller) -> None:
        self._pool = pool
        self._caller = caller
        self._pages: dict[int, DataLoader[tuple[UUID, tuple[Query, tuple[str, ...]]], Slice[Any]]] = {}
        self._counts: dict[int, DataLoader[tuple[UUID, Query], int]] = {}

    @cached_property
    def project(self) -> Records[projects.Project]:
        return self._records(projects.load_projects)

    @cached_property
    def project_by_slug(self) -> DataLoader[str, projects.Project | None]:
        return self._one(projects.load_projects_by_slug)

    @cached_property
    def data_store(self) -> Records[data_stores.DataStore]:
        return self._records(data_stores.load_data_stores)

    @cached_property
    def stores_of_project(self) -> DataLoader[UUID, list[data_stores.DataStore]]:
        return self._many(data_stores.stores_of_projects)

    @cached_property
    def datum(self) -> Records[datums.Datum]:
        return self._records(datums.load_datums)

    @cached_property
    def upload(self) -> DataLoader[UUID, uploads.Upload | None]:
        return self._one(uploads.load_uploads)

    @cached_property
    def alias(self) -> Records[aliases.Alias]:
        return self._records(aliases.load_aliases)

    @cached_property
    def alias_by_name(self) -> DataLoader[tuple[UUID, str], aliases.Alias | None]:
        return self._one(aliases.load_by_project_and_name)

    @cached_property
    def aliases_of_datum(self) -> DataLoader[UUID, list[aliases.Alias]]:
        return self._many(aliases.aliases_pointing_at)

    @cached_property
    def alias_change(self) -> DataLoader[UUID, aliases.AliasChange | None]:
        return self._one(aliases.load_changes)

    @cached_property
    def changes_of_execution(self) -> DataLoader[UUID, list[aliases.AliasChange]]:
        return self._many(aliases.changes_of_executions)

    @cached_property
    def change_in_force(self) -> DataLoader[tuple[UUID, dt.datetime], aliases.AliasChange | None]:
        return self._one(aliases.changes_in_force)

    @cached_property
    def change_by_version(self) -> DataLoader[tuple[UUID, int], aliases.AliasChange | None]:
        return self._one(aliases.changes_by_version)

    @cached_property
    def execution(self) -> Records[executions.Execution]:
        return self._records(executions.load_executions)

    @cached_property
    def execution_by_number(self) -> DataLoader[tuple[UUID, int], executions.Execution | None]:
        return self._one(executions.load_executions_by_number)

    @cached_property
    def inputs_of_execution(self) -> DataLoader[UUID, list[executions.ExecutionInput]]:
        return self._many(executions.load_inputs)

    @cached_property
    def warnings_of_execution(self) -> DataLoader[UUID, list[executions.ExecutionWarning]]:
        return self._many(executions.load_warnings)

    @cached_property
    def config(self) -> DataLoader[UUID, configs.Config | None]:
        return self._one(configs.load_configs)

    @cached_property
    def task(self) -> DataLoader[UUID, tasks.Task | None]:
        return self._one(tasks.load_tasks)

    @cached_property
    def task_by_number(self) -> DataLoader[tuple[UUID, int], tasks.Task | None]:
        return self._one(tasks.load_tasks_by_number)

    @cached_property
    def counts_of_task(self) -> DataLoader[UUID, dict[executions.ExecutionStatus, int]]:
        # asked only of tasks that passed the gate
        return self._batch(tasks.counts_of_tasks, lambda counts: counts)

    @cached_property
    def lineage(self) -> DataLoader[lineage.Question, lineage.Lineage]:
        # starts from a row that passed the gate, and no edge leaves its project
        return self._batch(lineage.trace, lambda found: found)

    @cached_property
    def actor(self) -> Records[tokens.Actor]:
        # reached only from rows that passed the gate
        return Records(tokens.load_actors, self._pool)

    @cached_property
    def kind(self) -> DataLoader[UUID, str | None]:
        # only says which of the gated loaders to ask
        return self._batch(nodes.kinds_of, lambda kind: kind)

    async def page(self, listing: Listing[Any], parent: UUID, query: Query, selected: Set[str]) -> Slice[Any]:
        """A page of a listing; equal questions about many parents are one statement.

        The records that the page's own lead to by `selected` fields are fetched ahead, for all parents at once.
        """
        if id(listing) not in self._pages:
            self._pages[id(listing)] = self._grouped(partial(self._fetch_pages, listing))
        wanted = tuple(sorted(name for name in selected & _TO_ONE.keys() if listing.has(_TO_ONE[name][1])))
        return await self._pages[id(listing)].load((parent, (query, wanted)))

    async def count(self, listing: Listing[Any], parent: UUID, query: Query) -> int:
        if id(listing) not in self._counts:
            self._counts[id(listing)] = self._grouped(listing.count)
        return await self._counts[id(listing)].load((parent, query))

    async def fetch_ahead(self, connection: Connection, records: Iterable[Any], names: Iterable[str]) -> None:
        """Fetches what the records lead to by these fields."""
        keys: dict[str, set[UUID]] = {}
        for name in names:
            loader, attribute = _TO_ONE[name]
            keys.setdefault(loader, set()).update(
                key for record in records if (key := getattr(record, attribute)) is not None
            )
        for loader, wanted in keys.items():
            await getattr(self, loader).fetch_ahead(connection, wanted)

    async def _fetch_pages(
        self,
        listing: Listing[Any],
        connection: Connection,
        parents: Sequence[UUID],
        question: tuple[Query, tuple[str, ...]],
    ) -> list[Slice[Any]]:
        query, names = question
        pages = await listing.fetch(connection, parents, query)
        await self.fetch_ahead(connection, [record for page in pages for record in page.records], names)
        return pages

    def _grouped(
        self, fetch: Callable[[Connection, Sequence[UUID], Key], Awaitable[list[Value]]]
    ) -> DataLoader[tuple[UUID, Key], Value]:
        async def load(keys: list[tuple[UUID, Key]]) -> list[Value]:
            groups: dict[Key, list[UUID]] = {}
            for parent, query in keys:
                groups.setdefault(query, []).append(parent)
            found: dict[tuple[UUID, Key], Value] = {}
            async with reading(self._pool) as connection:
                for query, parents in groups.items():
                    values = await fetch(connection, parents, query)
                    found.update({(parent, query): value for parent, value in zip(parents, values, strict=True)})
            return [found[key] for key in keys]

        return DataLoader(load)

    def _records(
        self, fetch: Callable[[Connection, Sequence[UUID]], Awaitable[Mapping[UUID, Gated]]]
    ) -> Records[Gated]:
        async def visible(connection: Connection, keys: Sequence[UUID]) -> dict[UUID, Gated]:
            found = await fetch(connection, keys)
            return {key: record for key, record in found.items() if self._caller.sees(record.project_id)}

        return Records(visible, self._pool)

    def _one(
        self, fetch: Callable[[Connection, Sequence[Key]], Awaitable[Mapping[Key, Gated]]]
    ) -> DataLoader[Key, Gated | None]:
        return self._batch(fetch, lambda record: record if record and self._caller.sees(record.project_id) else None)

    def _many(
        self, fetch: Callable[[Connection, Sequence[Key]], Awaitable[Mapping[Key, list[Gated]]]]
    ) -> DataLoader[Key, list[Gated]]:
        return self._batch(
            fetch, lambda records: [each for each in records or () if self._caller.sees(each.project_id)]
        )

    def _batch(
        self,
        fetch: Callable[[Connection, Sequence[Key]], Awaitable[Mapping[Key, Any]]],
        gate: Callable[[Any], Value],
    ) -> DataLoader[Key, Value]:
        async def load(keys: list[Key]) -> list[Value]:
            async with reading(self._pool) as connection:
                found = await fetch(connection, keys)
            return [gate(found.get(key)) for key in keys]

        return DataLoader(load)
