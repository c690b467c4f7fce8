"""Dataloaders: what many fields ask for at once is one statement, on a short read connection of its own.

Every record passes one gate here: those of projects that the caller cannot see are taken for missing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol, TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

from app.database.engine import Pool
from app.database.statements import Connection
from app.domain import aliases, data_stores, datums, executions, lineage, nodes, projects, tasks, tokens, uploads
from app.domain.access import Caller
from app.domain.paging import Listing, Query, Slice
from app.domain.transactions import reading


class Owned(Protocol):
    """A record that belongs to a project."""

    @property
    def project_id(self) -> UUID | None: ...


Key = TypeVar("Key", bound=Hashable)
Record = TypeVar("Record", bound=Owned)
Value = TypeVar("Value")


class Loaders:
    """One operation's loaders; their caches last no longer than it does."""

    def __init__(self, pool: Pool, caller: Caller) -> None:
        self._pool = pool
        self._caller = caller
        self._pages: dict[int, DataLoader[tuple[UUID, Query], Slice[Any]]] = {}
        self._counts: dict[int, DataLoader[tuple[UUID, Query], int]] = {}

    @cached_property
    def project(self) -> DataLoader[UUID, projects.Project | None]:
        return self._one(projects.load_projects)

    @cached_property
    def project_by_slug(self) -> DataLoader[str, projects.Project | None]:
        return self._one(projects.load_projects_by_slug)

    @cached_property
    def data_store(self) -> DataLoader[UUID, data_stores.DataStore | None]:
        return self._one(data_stores.load_data_stores)

    @cached_property
    def stores_of_project(self) -> DataLoader[UUID, list[data_stores.DataStore]]:
        return self._many(data_stores.stores_of_projects)

    @cached_property
    def datum(self) -> DataLoader[UUID, datums.Datum | None]:
        return self._one(datums.load_datums)

    @cached_property
    def upload(self) -> DataLoader[UUID, uploads.Upload | None]:
        return self._one(uploads.load_uploads)

    @cached_property
    def alias(self) -> DataLoader[UUID, aliases.Alias | None]:
        return self._one(aliases.load_aliases)

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
    def execution(self) -> DataLoader[UUID, executions.Execution | None]:
        return self._one(executions.load_executions)

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
    def actor(self) -> DataLoader[UUID, tokens.Actor | None]:
        # reached only from rows that passed the gate
        return self._batch(tokens.load_actors, lambda actor: actor)

    @cached_property
    def kind(self) -> DataLoader[UUID, str | None]:
        # only says which of the gated loaders to ask
        return self._batch(nodes.kinds_of, lambda kind: kind)

    def page(self, listing: Listing[Any]) -> DataLoader[tuple[UUID, Query], Slice[Any]]:
        """Pages of a listing, by parent and question; equal questions about many parents are one statement."""
        if id(listing) not in self._pages:
            self._pages[id(listing)] = self._grouped(listing.fetch)
        return self._pages[id(listing)]

    def count(self, listing: Listing[Any]) -> DataLoader[tuple[UUID, Query], int]:
        if id(listing) not in self._counts:
            self._counts[id(listing)] = self._grouped(listing.count)
        return self._counts[id(listing)]

    def _grouped(
        self, fetch: Callable[[Connection, Sequence[UUID], Query], Awaitable[list[Value]]]
    ) -> DataLoader[tuple[UUID, Query], Value]:
        async def load(keys: list[tuple[UUID, Query]]) -> list[Value]:
            groups: dict[Query, list[UUID]] = {}
            for parent, query in keys:
                groups.setdefault(query, []).append(parent)
            found: dict[tuple[UUID, Query], Value] = {}
            async with reading(self._pool) as connection:
                for query, parents in groups.items():
                    values = await fetch(connection, parents, query)
                    found.update({(parent, query): value for parent, value in zip(parents, values, strict=True)})
            return [found[key] for key in keys]

        return DataLoader(load)

    def _one(
        self, fetch: Callable[[Connection, Sequence[Key]], Awaitable[Mapping[Key, Record]]]
    ) -> DataLoader[Key, Record | None]:
        return self._batch(fetch, lambda record: record if record and self._caller.sees(record.project_id) else None)

    def _many(
        self, fetch: Callable[[Connection, Sequence[Key]], Awaitable[Mapping[Key, list[Record]]]]
    ) -> DataLoader[Key, list[Record]]:
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
