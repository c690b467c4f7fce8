"""The graph: every output type, with the one way from a domain record to it."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Annotated, Any, Self, cast
from uuid import UUID

import strawberry
from strawberry import UNSET
from strawberry.scalars import JSON

from app.api import links
from app.api.connections import After, Before, Connection, First, Last, connect, page_size
from app.api.context import Info
from app.api.enums import (
    AliasHistoryKind,
    AliasHistoryVia,
    ChecksumEvidence,
    DataStoreKind,
    DatumOrigin,
    DatumStatus,
    ExecutionStatus,
    ExecutionWarningCode,
    KeepDirectories,
    LineageDirection,
    LineageEdgeKind,
    LogStream,
    OnChildError,
    Scope,
    TaskStatus,
)
from app.api.inputs import (
    AliasFilter,
    AliasHistoryFilter,
    AliasOrder,
    DatumFilter,
    DatumOrder,
    ExecutionFilter,
)
from app.api.loaders import Records
from app.api.scalars import BigInt, find_id, given
from app.domain import (
    access,
    aliases,
    configs,
    data_stores,
    datums,
    executions,
    lineage,
    logs,
    projects,
    tasks,
    tokens,
    uploads,
)
from app.domain.aliases import ALIASES, HISTORY_OF_ALIAS, HISTORY_OF_DATUM, HISTORY_OF_PROJECT
from app.domain.data_stores import default_of
from app.domain.datums import DATA, OUTPUTS
from app.domain.executions import (
    EXECUTIONS,
    EXECUTIONS_OF_TASK,
    EXECUTIONS_USING_ALIAS,
    EXECUTIONS_USING_DATUM,
    INPUT_FILES,
)
from app.domain.logs import LOG_LINES, METADATA
from app.domain.paging import Slice, decode_cursor
from app.domain.projects import PROJECTS
from app.domain.tasks import TASKS
from app.domain.tokens import list_tokens
from app.domain.verifications import change_of
from app.errors import BadUserInputError, ChecksumMismatchError
from app.stores.base import Expected, SignedRequest, StoreError

WhichWay = Annotated[LineageDirection, strawberry.argument(description="Which way to walk.")]
HowDeep = Annotated[int, strawberry.argument(description=f"How many edges far, 0 to {lineage.DEEPEST}.")]
HowMany = Annotated[int, strawberry.argument(description=f"How many nodes at most, 1 to {lineage.MOST_NODES}.")]

# the parent of lists that belong to no project
_SERVER = UUID(int=0)


def _id(value: UUID) -> strawberry.ID:
    return strawberry.ID(str(value))


@strawberry.interface(description="Anything that has an id of its own.")
class Node:
    id: strawberry.ID = strawberry.field(description="A UUID, the same that stands in datum://<id>.")


@strawberry.type(description="Who does things: a person or a program, by the name of its token.")
class Actor:
    id: strawberry.ID = strawberry.field(description="A UUID.")
    name: str = strawberry.field(description="The name of the actor's tokens.")

    @classmethod
    def of(cls, record: tokens.Actor) -> Self:
        return cls(id=_id(record.id), name=record.name)


def _one(records: Records[Any], key: UUID | None, make: Callable[[Any], Any]) -> Any:
    """The object of an id: at once if its record was fetched ahead, which spares hundreds of waits in a long list."""
    if key is None:
        return None
    known = records.known.get(key)
    return make(known) if known is not None else _loaded(records, key, make)


async def _loaded(records: Records[Any], key: UUID, make: Callable[[Any], Any]) -> Any:
    record = await records.load(key)
    return make(record) if record else None


def _actor(info: Info, actor_id: UUID | None) -> Any:
    return _one(info.context.loaders.actor, actor_id, Actor.of)


def _datum(info: Info, datum_id: UUID | None) -> Any:
    return _one(info.context.loaders.datum, datum_id, Datum.of)


def _alias(info: Info, alias_id: UUID | None) -> Any:
    return _one(info.context.loaders.alias, alias_id, Alias.of)


def _execution(info: Info, execution_id: UUID | None) -> Any:
    return _one(info.context.loaders.execution, execution_id, Execution.of)


async def _project(info: Info, project_id: UUID) -> Project:
    record = await info.context.loaders.project.load(project_id)
    if record is None:
        raise LookupError(f"project {project_id} has rows but is gone")
    return Project.of(record)


@strawberry.type(description="A token, without its secret.")
class Token:
    id: strawberry.ID = strawberry.field(description="A UUID.")
    name: str = strawberry.field(description="The name of the actor that it acts as.")
    scopes: list[Scope] = strawberry.field(description="What it may do.")
    created_at: dt.datetime = strawberry.field(description="When it was created.")
    last_used_at: dt.datetime | None = strawberry.field(description="When it was last used, to the minute.")
    expires_at: dt.datetime | None = strawberry.field(description="When it ceases to work; null for never.")
    project_ids: strawberry.Private[list[UUID] | None]

    @strawberry.field(description="The projects that it may see; null for all.")
    async def projects(self, info: Info) -> list[Project] | None:
        if self.project_ids is None:
            return None
        records = await info.context.loaders.project.load_many(self.project_ids)
        return [Project.of(record) for record in records if record]

    @classmethod
    def of(cls, record: tokens.Token) -> Self:
        return cls(
            id=_id(record.id),
            name=record.name,
            scopes=[access.Scope(scope) for scope in record.scopes],
            created_at=record.created_at,
            last_used_at=record.last_used_at,
            expires_at=record.expires_at,
            project_ids=record.project_ids,
        )


@strawberry.type(description="Who is asking.")
class Viewer:
    id: strawberry.ID = strawberry.field(description="The actor's id.")
    name: str = strawberry.field(description="The actor's name.")
    scopes: list[Scope] = strawberry.field(description="What the token of this request may do.")

    @strawberry.field(description="The projects that the token may see.")
    async def projects(self, info: Info, first: First = UNSET, after: After = UNSET) -> Connection[Project]:
        return await visible_projects(info, first, after)

    @strawberry.field(
        description="The actor's tokens and those it created; for an ADMIN of all projects, every token. Revoked ones"
        " are left out."
    )
    async def tokens(self, info: Info) -> list[Token]:
        async with info.context.read(None) as connection:
            return [Token.of(record) for record in await list_tokens(connection, info.context.caller)]

    @classmethod
    def of(cls, caller: access.Caller) -> Self:
        return cls(id=_id(caller.actor_id), name=caller.name, scopes=sorted(caller.scopes))


async def visible_projects(info: Info, first: int | None, after: str | None) -> Connection[Project]:
    visible = info.context.caller.project_ids
    where = () if visible is None else (("visible", tuple(sorted(visible))),)
    return await connect(info, PROJECTS, _SERVER, Project.of, first=first, after=after, where=where)


@strawberry.type(description="The scope of everything: data, aliases, executions, and who may see them.")
class Project(Node):
    slug: str = strawberry.field(description="The project's short, unique name.")
    name: str = strawberry.field(description="The project's name for people.")
    created_at: dt.datetime = strawberry.field(description="When it was created.")
    key: strawberry.Private[UUID]

    @strawberry.field(description="Where new files go unless a store is named: the project's own, else the server's.")
    async def default_store(self, info: Info) -> DataStore | None:
        record = default_of(await info.context.loaders.stores_of_project.load(self.key))
        return DataStore.of(record) if record else None

    @strawberry.field(description="The stores that the project may use, its own before the server's.")
    async def stores(self, info: Info) -> list[DataStore]:
        return [DataStore.of(record) for record in await info.context.loaders.stores_of_project.load(self.key)]

    @strawberry.field(description="The project's files, the newest first unless ordered otherwise.")
    async def data(
        self,
        info: Info,
        filter: Annotated[
            DatumFilter | None, strawberry.argument(description="Only these; without a status, AVAILABLE ones.")
        ] = UNSET,
        order_by: Annotated[DatumOrder | None, strawberry.argument(description="In this order.")] = UNSET,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[Datum]:
        return await connect(
            info,
            DATA,
            self.key,
            Datum.of,
            first=first,
            after=after,
            last=last,
            before=before,
            order=order_by.field.value if order_by else None,
            descending=order_by.descending if order_by else None,
            where=(filter or DatumFilter()).where(),
        )

    @strawberry.field(description="One alias by its name, exact and case-sensitive.")
    async def alias(
        self,
        info: Info,
        name: Annotated[str, strawberry.argument(description="The alias's name.")],
        include_deleted: Annotated[bool, strawberry.argument(description="Whether a deleted one counts.")] = False,
    ) -> Alias | None:
        record = await info.context.loaders.alias_by_name.load((self.key, name))
        return Alias.of(record) if record and (record.datum_id or include_deleted) else None

    @strawberry.field(description="The project's aliases, by name unless ordered otherwise.")
    async def aliases(
        self,
        info: Info,
        filter: Annotated[AliasFilter | None, strawberry.argument(description="Only these.")] = UNSET,
        order_by: Annotated[AliasOrder | None, strawberry.argument(description="In this order.")] = UNSET,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[Alias]:
        return await connect(
            info,
            ALIASES,
            self.key,
            Alias.of,
            first=first,
            after=after,
            last=last,
            before=before,
            order=order_by.field.value if order_by else None,
            descending=order_by.descending if order_by else None,
            where=(filter or AliasFilter()).where(),
        )

    @strawberry.field(description="Every change of the project's aliases, the newest first.")
    async def alias_history(
        self,
        info: Info,
        filter: Annotated[AliasHistoryFilter | None, strawberry.argument(description="Only these.")] = UNSET,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[AliasHistory]:
        return await connect(
            info,
            HISTORY_OF_PROJECT,
            self.key,
            AliasHistory.of,
            first=first,
            after=after,
            last=last,
            before=before,
            where=filter.where() if filter else (),
        )

    @strawberry.field(description="One execution by its number in this project.")
    async def execution(
        self, info: Info, number: Annotated[int, strawberry.argument(description="Counted from 1.")]
    ) -> Execution | None:
        record = await info.context.loaders.execution_by_number.load((self.key, number))
        return Execution.of(record) if record else None

    @strawberry.field(description="The project's executions, the newest first.")
    async def executions(
        self,
        info: Info,
        filter: Annotated[ExecutionFilter | None, strawberry.argument(description="Only these.")] = UNSET,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[Execution]:
        return await connect(
            info,
            EXECUTIONS,
            self.key,
            Execution.of,
            first=first,
            after=after,
            last=last,
            before=before,
            where=filter.where() if filter else (),
        )

    @strawberry.field(description="One task by its number in this project.")
    async def task(
        self, info: Info, number: Annotated[int, strawberry.argument(description="Counted from 1.")]
    ) -> Task | None:
        record = await info.context.loaders.task_by_number.load((self.key, number))
        return Task.of(record) if record else None

    @strawberry.field(description="The project's tasks, the newest first.")
    async def tasks(self, info: Info, first: First = UNSET, after: After = UNSET) -> Connection[Task]:
        return await connect(info, TASKS, self.key, Task.of, first=first, after=after)

    @classmethod
    def of(cls, record: projects.Project) -> Self:
        return cls(id=_id(record.id), slug=record.slug, name=record.name, created_at=record.created_at, key=record.id)


@strawberry.type(description="A place that holds bytes.")
class DataStore(Node):
    name: str = strawberry.field(description="Its name, unique in its project.")
    kind: DataStoreKind = strawberry.field(description="What kind of store it is.")
    url: str = strawberry.field(description="Its address, without credentials.")
    is_default: bool = strawberry.field(description="Whether new files go here unless a store is named.")
    created_at: dt.datetime = strawberry.field(description="When it was added.")
    project_id: strawberry.Private[UUID | None]

    @strawberry.field(description="The project it belongs to; null for the server's own.")
    async def project(self, info: Info) -> Project | None:
        return await _project(info, self.project_id) if self.project_id else None

    @classmethod
    def of(cls, record: data_stores.DataStore) -> Self:
        return cls(
            id=_id(record.id),
            name=record.name,
            kind=data_stores.DataStoreKind(record.kind),
            url=record.url,
            is_default=record.is_default,
            created_at=record.created_at,
            project_id=record.project_id,
        )


@strawberry.type(description="A file's hashes, in lower-case hexadecimal.")
class Checksums:
    md5: str | None = strawberry.field(description="32 digits.")
    sha1: str | None = strawberry.field(description="40 digits.")
    sha256: str | None = strawberry.field(description="64 digits.")
    evidence: ChecksumEvidence = strawberry.field(description="Who vouches for them.")


@strawberry.type(description="One immutable file. The bytes never change; tags and properties, which describe it, may.")
class Datum(Node):
    uri: str = strawberry.field(description="A reference that always means this file: datum://<id>.")
    name: str = strawberry.field(description="The file's name.")
    size: BigInt = strawberry.field(description="In bytes.")
    media_type: str | None = strawberry.field(description="As announced at the upload, such as text/csv.")
    checksums: Checksums = strawberry.field(description="The file's hashes.")
    origin: DatumOrigin = strawberry.field(description="How it came here.")
    status: DatumStatus = strawberry.field(description="Whether its bytes can be had.")
    status_reason: str | None = strawberry.field(description="Why it is EXPIRED or CORRUPT.")
    tags: list[str] = strawberry.field(description="Labels to find it by.")
    properties: JSON = strawberry.field(description="A JSON object that describes it.")
    created_at: dt.datetime = strawberry.field(description="When it was announced.")
    purged_at: dt.datetime | None = strawberry.field(description="When its bytes were given up.")
    purge_reason: str | None = strawberry.field(description="Why its bytes were given up.")
    record: strawberry.Private[datums.Datum]

    @strawberry.field(description="Who uploaded it.")
    def created_by(self, info: Info) -> Actor | None:
        return cast(Actor | None, _actor(info, self.record.created_by))

    @strawberry.field(description="Who gave up its bytes.")
    def purged_by(self, info: Info) -> Actor | None:
        return cast(Actor | None, _actor(info, self.record.purged_by))

    @strawberry.field(description="The project it belongs to.")
    async def project(self, info: Info) -> Project:
        return await _project(info, self.record.project_id)

    @strawberry.field(description="The store that holds its bytes.")
    async def store(self, info: Info) -> DataStore:
        return DataStore.of(await self.stored_in(info))

    @strawberry.field(description="Its address in the store; null unless its bytes are there.")
    async def storage_uri(self, info: Info) -> str | None:
        if self.record.status != datums.DatumStatus.AVAILABLE:
            return None
        return (await self.stored_in(info)).address_of(self.record.object_key)

    @strawberry.field(description="A short-lived link straight to the store; null unless AVAILABLE.")
    async def download_url(
        self,
        info: Info,
        expires_in: Annotated[int, strawberry.argument(description="Seconds, 1 to 604800.")] = 3600,
    ) -> str | None:
        if not 1 <= expires_in <= links.LONGEST_LIFETIME:
            raise BadUserInputError(f"expiresIn is {expires_in}; expected 1 to {links.LONGEST_LIFETIME} seconds.")
        record = self.record
        if record.status != datums.DatumStatus.AVAILABLE:
            return None
        context = info.context
        store = context.store(await self.stored_in(info))
        try:
            # what is not ours may have been replaced since it was last looked at
            if record.origin == datums.DatumOrigin.ADOPTED and (changed := await change_of(store, record)):
                raise ChecksumMismatchError(f"Datum {record.id} cannot be had: {changed}. Adopt the object again.")
            signed = await store.sign_get(
                record.object_key,
                seconds=expires_in,
                filename=record.name.rsplit("/", 1)[-1],
                media_type=record.media_type,
            )
        except StoreError as error:
            raise uploads.store_failure(error) from error
        return signed or links.download_link(context.secrets, context.base_url, record.id, expires_in)

    @strawberry.field(description="Aliases that point here now.")
    async def aliases(self, info: Info) -> list[Alias]:
        return [Alias.of(record) for record in await info.context.loaders.aliases_of_datum.load(self.record.id)]

    @strawberry.field(description="Every change that pointed an alias here or away from here, the newest first.")
    async def alias_history(self, info: Info, first: First = UNSET, after: After = UNSET) -> Connection[AliasHistory]:
        return await connect(info, HISTORY_OF_DATUM, self.record.id, AliasHistory.of, first=first, after=after)

    @strawberry.field(description="The execution that made it.")
    def produced_by(self, info: Info) -> Execution | None:
        return cast(Execution | None, _execution(info, self.record.produced_by))

    @strawberry.field(description="Executions that have it as an input, the newest first.")
    async def used_by(self, info: Info, first: First = UNSET, after: After = UNSET) -> Connection[Execution]:
        return await connect(info, EXECUTIONS_USING_DATUM, self.record.id, Execution.of, first=first, after=after)

    @strawberry.field(description="What it came from and what came of it, breadth-first.")
    async def lineage(
        self,
        info: Info,
        direction: WhichWay = LineageDirection.BOTH,
        depth: HowDeep = 5,
        max_nodes: HowMany = 500,
    ) -> Lineage:
        return await _lineage(info, lineage.SubjectKind.DATUM, self.record.id, direction, depth, max_nodes)

    async def stored_in(self, info: Info) -> data_stores.DataStore:
        record = await info.context.loaders.data_store.load(self.record.store_id)
        if record is None:
            raise LookupError(f"store {self.record.store_id} of datum {self.record.id} is gone")
        return record

    @classmethod
    def of(cls, record: datums.Datum) -> Self:
        return cls(
            id=_id(record.id),
            uri=f"datum://{record.id}",
            name=record.name,
            size=BigInt(record.size),
            media_type=record.media_type,
            checksums=Checksums(
                md5=record.md5,
                sha1=record.sha1,
                sha256=record.sha256,
                evidence=cast(datums.ChecksumEvidence, record.checksum_evidence),
            ),
            origin=cast(datums.DatumOrigin, record.origin),
            status=cast(datums.DatumStatus, record.status),
            status_reason=record.status_reason,
            tags=record.tags,
            properties=cast(JSON, record.properties),
            created_at=record.created_at,
            purged_at=record.purged_at,
            purge_reason=record.purge_reason,
            record=record,
        )


@strawberry.type(description="A mutable name for an immutable file.")
class Alias(Node):
    name: str = strawberry.field(description="Its name, unique in its project, case-sensitive.")
    uri: str = strawberry.field(description="A reference to whatever it points at: datum://<name>.")
    version: int = strawberry.field(description="The number of its changes, counted from 1 without gaps.")
    created_at: dt.datetime = strawberry.field(description="When it was first pointed at a file.")
    updated_at: dt.datetime = strawberry.field(description="When it last changed.")
    deleted_at: dt.datetime | None = strawberry.field(description="When it was deleted, if it points nowhere now.")
    record: strawberry.Private[aliases.Alias]

    @strawberry.field(description="The project it belongs to.")
    async def project(self, info: Info) -> Project:
        return await _project(info, self.record.project_id)

    @strawberry.field(description="The file it points at now; null once deleted.")
    def datum(self, info: Info) -> Datum | None:
        return cast(Datum | None, _datum(info, self.record.datum_id))

    @strawberry.field(description="Its changes, the newest first.")
    async def history(
        self,
        info: Info,
        filter: Annotated[AliasHistoryFilter | None, strawberry.argument(description="Only these.")] = UNSET,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[AliasHistory]:
        return await connect(
            info,
            HISTORY_OF_ALIAS,
            self.record.id,
            AliasHistory.of,
            first=first,
            after=after,
            last=last,
            before=before,
            where=filter.where() if filter else (),
        )

    @strawberry.field(description="The change in force at an instant or version; null before the first.")
    async def as_of(
        self,
        info: Info,
        at: Annotated[dt.datetime | None, strawberry.argument(description="Inclusive; not in the future.")] = UNSET,
        version: Annotated[int | None, strawberry.argument(description="Counted from 1.")] = UNSET,
    ) -> AliasHistory | None:
        at, version = given(at), given(version)
        if (at is None) == (version is None):
            raise BadUserInputError("Give asOf exactly one of at and version.")
        if at is not None:
            record = await info.context.loaders.change_in_force.load((self.record.id, at))
        else:
            record = await info.context.loaders.change_by_version.load((self.record.id, version))
        return AliasHistory.of(record) if record else None

    @strawberry.field(description="Executions that took a file through this alias, the newest first.")
    async def used_by(
        self,
        info: Info,
        datum: Annotated[
            strawberry.ID | None, strawberry.argument(description="Only those that took this file.")
        ] = UNSET,
        first: First = UNSET,
        after: After = UNSET,
    ) -> Connection[Execution]:
        where = (("datum", find_id(datum) or _SERVER),) if datum else ()
        return await connect(
            info, EXECUTIONS_USING_ALIAS, self.record.id, Execution.of, first=first, after=after, where=where
        )

    @classmethod
    def of(cls, record: aliases.Alias) -> Self:
        return cls(
            id=_id(record.id),
            name=record.name,
            uri=f"datum://{record.name}",
            version=record.version,
            created_at=record.created_at,
            updated_at=record.updated_at,
            deleted_at=record.deleted_at,
            record=record,
        )


@strawberry.type(description="One change of one alias; never rewritten.")
class AliasHistory(Node):
    version: int = strawberry.field(description="The alias's version that this change made.")
    kind: AliasHistoryKind = strawberry.field(description="What kind of change it was.")
    at: dt.datetime = strawberry.field(description="When it came into force.")
    via: AliasHistoryVia = strawberry.field(description="By which way it came.")
    reason: str | None = strawberry.field(description="Why, in the words of who made it.")
    change_set: strawberry.ID = strawberry.field(description="Shared by all changes made in one go, as is their at.")
    rolled_back_to: int | None = strawberry.field(description="For ROLLED_BACK: the version returned to.")
    record: strawberry.Private[aliases.AliasChange]

    @strawberry.field(description="The alias that changed.")
    def alias(self, info: Info) -> Alias:
        return cast(Alias, _alias(info, self.record.alias_id))

    @strawberry.field(name="from", description="The file it pointed at before; null if nowhere.")
    def from_(self, info: Info) -> Datum | None:
        return cast(Datum | None, _datum(info, self.record.from_datum_id))

    @strawberry.field(description="The file it has pointed at since; null if nowhere.")
    def to(self, info: Info) -> Datum | None:
        return cast(Datum | None, _datum(info, self.record.to_datum_id))

    @strawberry.field(description="Who made the change.")
    def actor(self, info: Info) -> Actor | None:
        return cast(Actor | None, _actor(info, self.record.actor_id))

    @strawberry.field(description="The execution whose completion made the change.")
    def execution(self, info: Info) -> Execution | None:
        return cast(Execution | None, _execution(info, self.record.execution_id))

    @classmethod
    def of(cls, record: aliases.AliasChange) -> Self:
        return cls(
            id=_id(record.id),
            version=record.version,
            kind=cast(aliases.ChangeKind, record.kind),
            at=record.at,
            via=cast(access.Via, record.via),
            reason=record.reason,
            change_set=_id(record.change_set_id),
            rolled_back_to=record.rolled_back_to,
            record=record,
        )


@strawberry.type(description="What a reference means.")
class Resolution:
    reference: str = strawberry.field(description="The reference as written.")
    version: int | None = strawberry.field(description="The alias's version that was in force; null for an id.")
    alias_id: strawberry.Private[UUID | None]
    datum_id: strawberry.Private[UUID]

    @strawberry.field(description="The file.")
    def datum(self, info: Info) -> Datum:
        return cast(Datum, _datum(info, self.datum_id))

    @strawberry.field(description="The alias that the reference names; null for an id.")
    def alias(self, info: Info) -> Alias | None:
        return cast(Alias | None, _alias(info, self.alias_id))


@strawberry.type(description="A variable that the command sees.")
class EnvironmentVariable:
    name: str = strawberry.field(description="The variable's name.")
    value: str | None = strawberry.field(description="Its value; null when secret.")
    secret: bool = strawberry.field(description="Whether the value is kept encrypted and never shown.")


@strawberry.type(description="A folder that the command sees.")
class Mount:
    source: str = strawberry.field(description="What is mounted.")
    destination: str = strawberry.field(description="Where the command sees it.")
    type: str | None = strawberry.field(description="The kind of mount, such as nfs.")
    read_only: bool = strawberry.field(description="Whether the command may not write to it.")
    options: JSON = strawberry.field(description="Further options, as a JSON object.")


@strawberry.type(description="One run, its inputs pinned to exact files at the moment of creation.")
class Execution(Node):
    number: int = strawberry.field(description="Its number in its project, counted from 1.")
    title: str | None = strawberry.field(description="Its title for people.")
    step: str | None = strawberry.field(description="The step it runs.")
    image: str | None = strawberry.field(description="The container image it runs in.")
    command: list[str] = strawberry.field(description="The command's lines.")
    parameters: JSON = strawberry.field(description="Parameter values by name.")
    tags: list[str] = strawberry.field(description="Labels to find it by.")
    labels: list[str] = strawberry.field(description="Which workers may take it.")
    priority: int = strawberry.field(description="Higher ones are taken first.")
    time_limit: int | None = strawberry.field(description="Seconds that it may run.")
    status: ExecutionStatus = strawberry.field(description="How far it is.")
    attempt: int = strawberry.field(description="How often it has been started.")
    created_at: dt.datetime = strawberry.field(description="When it was created and its inputs were pinned.")
    queued_at: dt.datetime | None = strawberry.field(description="When it was queued.")
    started_at: dt.datetime | None = strawberry.field(description="When it was started.")
    finished_at: dt.datetime | None = strawberry.field(description="When it ended, one way or the other.")
    exit_code: int | None = strawberry.field(description="What the command returned.")
    record: strawberry.Private[executions.Execution]

    @strawberry.field(description="The project it belongs to.")
    async def project(self, info: Info) -> Project:
        return await _project(info, self.record.project_id)

    @strawberry.field(description="The variables that the command sees.")
    def environment(self) -> list[EnvironmentVariable]:
        return [
            EnvironmentVariable(
                name=each["name"], value=None if each["secret"] else each["value"], secret=each["secret"]
            )
            for each in self.record.environment
        ]

    @strawberry.field(description="The folders that the command sees.")
    def mounts(self) -> list[Mount]:
        return [Mount(**each) for each in self.record.mounts]

    @strawberry.field(description="Who created it.")
    def created_by(self, info: Info) -> Actor | None:
        return cast(Actor | None, _actor(info, self.record.created_by))

    @strawberry.field(description="Its inputs, in the order given.")
    async def inputs(self, info: Info) -> list[ExecutionInput]:
        records = await info.context.loaders.inputs_of_execution.load(self.record.id)
        return [
            ExecutionInput(
                name=record.name,
                keep_directories=cast(executions.KeepDirectories, record.keep_directories),
                key=record.id,
            )
            for record in records
        ]

    @strawberry.field(description="The files it made, in the order they came.")
    async def outputs(self, info: Info, first: First = UNSET, after: After = UNSET) -> Connection[Datum]:
        return await connect(info, OUTPUTS, self.record.id, Datum.of, first=first, after=after)

    @strawberry.field(description="What it said, line by line, that of earlier attempts too.")
    async def logs(
        self, info: Info, first: First = UNSET, after: After = UNSET, last: Last = UNSET, before: Before = UNSET
    ) -> Connection[LogLine]:
        return await connect(
            info, LOG_LINES, self.record.id, LogLine.of, first=first, after=after, last=last, before=before
        )

    @strawberry.field(
        description="What its command said as JSON objects on stdout, each a point in time; of the last attempt."
    )
    async def metadata(
        self,
        info: Info,
        keys: Annotated[
            list[str] | None, strawberry.argument(description="Only objects that have one of these keys.")
        ] = UNSET,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> Connection[ExecutionMetadata]:
        return await connect(
            info,
            METADATA,
            self.record.id,
            ExecutionMetadata.of,
            first=first,
            after=after,
            last=last,
            before=before,
            where=(("keys_any", tuple(keys)),) if keys else (),
        )

    @strawberry.field(description="What its user should know, in the order it came up.")
    async def warnings(self, info: Info) -> list[ExecutionWarning]:
        records = await info.context.loaders.warnings_of_execution.load(self.record.id)
        return [ExecutionWarning.of(record) for record in records]

    @strawberry.field(description="The changes of aliases that its completion made.")
    async def alias_history(self, info: Info) -> list[AliasHistory]:
        records = await info.context.loaders.changes_of_execution.load(self.record.id)
        return [AliasHistory.of(record) for record in records]

    @strawberry.field(description="What it used and what came of it, breadth-first.")
    async def lineage(
        self,
        info: Info,
        direction: WhichWay = LineageDirection.BOTH,
        depth: HowDeep = 5,
        max_nodes: HowMany = 500,
    ) -> Lineage:
        return await _lineage(info, lineage.SubjectKind.EXECUTION, self.record.id, direction, depth, max_nodes)

    @strawberry.field(description="The execution that this one is a copy of.")
    def copy_of(self, info: Info) -> Execution | None:
        return cast(Execution | None, _execution(info, self.record.copy_of))

    @strawberry.field(description="The valohai.yaml that it was made from.")
    async def config(self, info: Info) -> ExecutionConfig | None:
        record = await info.context.loaders.config.load(self.record.config_id) if self.record.config_id else None
        return ExecutionConfig.of(record) if record else None

    @strawberry.field(description="The task that it belongs to.")
    async def task(self, info: Info) -> Task | None:
        record = await info.context.loaders.task.load(self.record.task_id) if self.record.task_id else None
        return Task.of(record) if record else None

    @classmethod
    def of(cls, record: executions.Execution) -> Self:
        return cls(
            id=_id(record.id),
            number=record.number,
            title=record.title,
            step=record.step,
            image=record.image,
            command=record.command,
            parameters=cast(JSON, record.parameters),
            tags=record.tags,
            labels=record.labels,
            priority=record.priority,
            time_limit=record.time_limit,
            status=cast(executions.ExecutionStatus, record.status),
            attempt=record.attempt,
            created_at=record.created_at,
            queued_at=record.queued_at,
            started_at=record.started_at,
            finished_at=record.finished_at,
            exit_code=record.exit_code,
            record=record,
        )


@strawberry.type(description="A valohai.yaml, each distinct one kept once.")
class ExecutionConfig:
    id: strawberry.ID = strawberry.field(description="A UUID, the same for the same text.")
    text: str = strawberry.field(description="The text, as it was given.")
    created_at: dt.datetime = strawberry.field(description="When it was first used.")

    @classmethod
    def of(cls, record: configs.Config) -> Self:
        return cls(id=_id(record.id), text=record.text, created_at=record.created_at)


@strawberry.type(description="A line of an execution's log.")
class LogLine:
    sequence: int = strawberry.field(description="Its number in the log, from 1.")
    at: dt.datetime = strawberry.field(description="When it was written.")
    stream: LogStream = strawberry.field(description="Where it was written to.")
    message: str = strawberry.field(description="The line, without its end.")

    @classmethod
    def of(cls, record: logs.LogLine) -> Self:
        return cls(
            sequence=record.sequence,
            at=record.at,
            stream=cast(logs.LogStream, record.stream),
            message=record.message,
        )


@strawberry.type(description="What an execution said of itself at one time, such as how well its training goes.")
class ExecutionMetadata:
    sequence: int = strawberry.field(description="The number of the log's line that it was.")
    at: dt.datetime = strawberry.field(description="When it was written.")
    values: JSON = strawberry.field(description='The object, such as {"epoch": 3, "accuracy": 0.93}.')

    @classmethod
    def of(cls, record: logs.Metadata) -> Self:
        return cls(sequence=record.sequence, at=record.at, values=cast(JSON, record.metadata))


@strawberry.type(description="A named input of an execution.")
class ExecutionInput:
    name: str = strawberry.field(description="The input's name, unique in its execution.")
    keep_directories: KeepDirectories = strawberry.field(description="How much of a file's path the command sees.")
    key: strawberry.Private[UUID]

    @strawberry.field(description="The files it stands for, as resolved when the execution was created.")
    async def files(self, info: Info, first: First = UNSET, after: After = UNSET) -> Connection[ExecutionInputFile]:
        return await connect(info, INPUT_FILES, self.key, ExecutionInputFile.of, first=first, after=after)


@strawberry.type(description="One file of an input: what was written, and what it meant at creation.")
class ExecutionInputFile:
    reference: str = strawberry.field(
        description="As the user wrote it, for example datum://model-prod; credentials in an address read ***."
    )
    alias_version: int | None = strawberry.field(description="The alias's version that gave the file.")
    filename: str | None = strawberry.field(description="What the command sees it as, where that was asked for.")
    record: strawberry.Private[executions.InputFile]

    @strawberry.field(description="The exact file it meant at creation; null for an HTTP(S) address.")
    def datum(self, info: Info) -> Datum | None:
        return cast(Datum | None, _datum(info, self.record.datum_id))

    @strawberry.field(description="As found when the execution used it; null until then.")
    def checksums(self) -> Checksums | None:
        found = self.record
        if found.sha256 is None:
            return None
        return Checksums(md5=found.md5, sha1=found.sha1, sha256=found.sha256, evidence=datums.ChecksumEvidence.VERIFIED)

    @strawberry.field(description="The alias that gave the file; null for an id.")
    def alias(self, info: Info) -> Alias | None:
        return cast(Alias | None, _alias(info, self.record.alias_id))

    @classmethod
    def of(cls, record: executions.InputFile) -> Self:
        return cls(
            reference=record.reference, alias_version=record.alias_version, filename=record.filename, record=record
        )


@strawberry.type(description="Something that an execution's user should know.")
class ExecutionWarning:
    code: ExecutionWarningCode = strawberry.field(description="What kind of warning it is.")
    message: str = strawberry.field(description="What happened.")
    at: dt.datetime = strawberry.field(description="When it came up.")
    reference: str | None = strawberry.field(description="The input reference it is about.")
    file: str | None = strawberry.field(description="The file it is about.")
    key: str | None = strawberry.field(description="The key in that file it is about.")
    before: Checksums | None = strawberry.field(description="The hashes known before.")
    after: Checksums | None = strawberry.field(description="The hashes found now.")

    @classmethod
    def of(cls, record: executions.ExecutionWarning) -> Self:
        return cls(
            code=executions.WarningCode(record.code),
            message=record.message,
            at=record.at,
            reference=record.reference,
            file=record.file,
            key=record.key,
            before=_checksums(record.before),
            after=_checksums(record.after),
        )


def _checksums(found: dict[str, Any] | None) -> Checksums | None:
    if found is None:
        return None
    return Checksums(
        md5=found.get("md5"),
        sha1=found.get("sha1"),
        sha256=found.get("sha256"),
        evidence=datums.ChecksumEvidence(found["evidence"]),
    )


@strawberry.type(description="Executions made together, from one template and a table of parameter values.")
class Task(Node):
    number: int = strawberry.field(description="Its number in its project, counted from 1.")
    title: str | None = strawberry.field(description="Its title for people.")
    max_concurrent: int | None = strawberry.field(description="How many of its executions may run at once.")
    on_child_error: OnChildError = strawberry.field(description="What happens when one of its executions fails.")
    created_at: dt.datetime = strawberry.field(description="When it was created and its inputs were pinned.")
    record: strawberry.Private[tasks.Task]

    @strawberry.field(description="The project it belongs to.")
    async def project(self, info: Info) -> Project:
        return await _project(info, self.record.project_id)

    @strawberry.field(description="Who created it.")
    def created_by(self, info: Info) -> Actor | None:
        return cast(Actor | None, _actor(info, self.record.created_by))

    @strawberry.field(description="How far its executions are.")
    async def status(self, info: Info) -> TaskStatus:
        return tasks.status_of(await info.context.loaders.counts_of_task.load(self.record.id))

    @strawberry.field(description="How many of its executions have each status; those of none are left out.")
    async def counts(self, info: Info) -> list[StatusCount]:
        counts = await info.context.loaders.counts_of_task.load(self.record.id)
        return [StatusCount(status=status, count=count) for status, count in counts.items()]

    @strawberry.field(description="Its executions, by number: in the order of the parameter sets.")
    async def executions(self, info: Info, first: First = UNSET, after: After = UNSET) -> Connection[Execution]:
        return await connect(info, EXECUTIONS_OF_TASK, self.record.id, Execution.of, first=first, after=after)

    @classmethod
    def of(cls, record: tasks.Task) -> Self:
        return cls(
            id=_id(record.id),
            number=record.number,
            title=record.title,
            max_concurrent=record.max_concurrent,
            on_child_error=tasks.OnChildError(record.on_child_error),
            created_at=record.created_at,
            record=record,
        )


@strawberry.type(description="How many executions have one status.")
class StatusCount:
    status: ExecutionStatus = strawberry.field(description="The status.")
    count: int = strawberry.field(description="How many executions have it.")


@strawberry.type(description="A file or an execution, and how far it is from where the walk began.")
class LineageNode:
    depth: int = strawberry.field(description="In edges; 0 for where the walk began.")
    key: strawberry.Private[lineage.Subject]

    @strawberry.field(description="The file or execution.")
    def subject(self, info: Info) -> LineageSubject:
        find = _datum if self.key.kind is lineage.SubjectKind.DATUM else _execution
        return cast(Datum, find(info, self.key.id))


@strawberry.type(
    description="An INPUT edge runs from a datum to the execution that used it, an OUTPUT edge from an execution to"
    " what it made."
)
class LineageEdge:
    from_: strawberry.ID = strawberry.field(name="from", description="The id of where it begins.")
    to: strawberry.ID = strawberry.field(description="The id of where it ends.")
    kind: LineageEdgeKind = strawberry.field(description="What it means.")
    input_name: str | None = strawberry.field(description="For INPUT: the input's name.")
    reference: str | None = strawberry.field(description="For INPUT: the reference as the user wrote it.")
    alias_version: int | None = strawberry.field(description="For INPUT: the alias's version that gave the file.")


@strawberry.type(description="What a file or execution came from, or what came of it.")
class Lineage:
    nodes: list[LineageNode] = strawberry.field(description="The nearest first, beginning with where the walk began.")
    edges: list[LineageEdge] = strawberry.field(description="The edges between them.")
    truncated: bool = strawberry.field(description="Whether there is more beyond depth or maxNodes.")

    @classmethod
    def of(cls, found: lineage.Lineage) -> Self:
        return cls(
            nodes=[
                LineageNode(depth=depth, key=subject)
                for subject, depth in sorted(found.depths.items(), key=lambda each: each[1])
            ],
            edges=[
                LineageEdge(
                    from_=_id(edge.from_id),
                    to=_id(edge.to_id),
                    kind=cast(lineage.EdgeKind, edge.kind),
                    input_name=edge.input_name,
                    reference=edge.reference,
                    alias_version=edge.alias_version,
                )
                for edge in found.edges
            ],
            truncated=found.truncated,
        )


LineageSubject = Annotated[
    Datum | Execution, strawberry.union("LineageSubject", description="What lineage is made of.")
]


async def _lineage(
    info: Info, kind: lineage.SubjectKind, key: UUID, direction: LineageDirection, depth: int, max_nodes: int
) -> Lineage:
    lineage.require_bounds(depth, max_nodes)
    question = lineage.Question(lineage.Subject(kind, key), direction, depth, max_nodes)
    loaders = info.context.loaders
    found = await loaders.lineage.load(question)
    if "subject" in info.context.selected(info):
        data = [each.id for each in found.depths if each.kind is lineage.SubjectKind.DATUM]
        runs = [each.id for each in found.depths if each.kind is lineage.SubjectKind.EXECUTION]
        await asyncio.gather(loaders.datum.load_many(data), loaders.execution.load_many(runs))
    return Lineage.of(found)


@strawberry.type(description="A file on its way: where its parts go.")
class Upload:
    id: strawberry.ID = strawberry.field(description="A UUID.")
    expires_at: dt.datetime = strawberry.field(description="When its datum becomes EXPIRED unless completed.")
    record: strawberry.Private[uploads.Upload]

    @strawberry.field(description="The file that is to be.")
    async def datum(self, info: Info) -> Datum:
        record = await info.context.loaders.datum.load(self.record.datum_id)
        if record is None:
            raise LookupError(f"datum {self.record.datum_id} of upload {self.record.id} is gone")
        return Datum.of(record)

    @strawberry.field(
        description="Its parts in order, with links signed anew at each reading. Needs scope WRITE, or EXECUTE for an"
        " execution's output."
    )
    async def parts(self, info: Info, first: First = UNSET, after: After = UNSET) -> Connection[UploadPart]:
        datum = await self.datum(info)
        # a link to send bytes to is a way to write
        scope = Scope.WRITE if datum.record.produced_by is None else Scope.EXECUTE
        info.context.caller.require(scope, self.record.project_id)
        record, store = datum.record, info.context.store(await datum.stored_in(info))
        plan, session = self.record.plan(record), self.record.session
        size = page_size("first", first)
        last = int(decode_cursor(after, "part", [int])[0]) if after else 0
        numbers = range(max(0, last) + 1, min(max(0, last) + size, plan.part_count) + 1)
        expected = Expected(record.md5, record.sha1, record.sha256)
        seconds = min(links.LONGEST_LIFETIME, int((self.expires_at - dt.datetime.now(dt.UTC)).total_seconds()))
        try:
            received = await store.received_parts(record.object_key, session, plan)
            signed = {
                number: await store.sign_part(
                    record.object_key, session, plan, number, expected=expected, seconds=max(1, seconds)
                )
                for number in numbers
            }
        except StoreError as error:
            raise uploads.store_failure(error) from error

        def make(number: int) -> UploadPart:
            request = signed[number] or SignedRequest(
                "PUT",
                links.part_link(info.context.secrets, info.context.base_url, self.record, number),
                {"Content-Type": "application/octet-stream"},
            )
            return UploadPart(
                number=number,
                offset=BigInt(plan.offset_of(number)),
                size=BigInt(plan.size_of(number)),
                received=received.get(number) == plan.size_of(number),
                method=request.method,
                url=request.url,
                headers=[Header(name=name, value=value) for name, value in request.headers.items()],
            )

        async def count(_: Info) -> int:
            return plan.part_count

        more = numbers.stop <= plan.part_count
        found = Slice(list(numbers), [(number,) for number in numbers], more, last > 0)
        return Connection(slice=found, make=make, order="part", count=count)

    @classmethod
    def of(cls, record: uploads.Upload) -> Self:
        return cls(id=_id(record.id), expires_at=record.expires_at, record=record)


@strawberry.type(description="One part of an upload: send these bytes of the file in a request like this.")
class UploadPart:
    number: int = strawberry.field(description="Counted from 1.")
    offset: BigInt = strawberry.field(description="Where it begins in the file, in bytes.")
    size: BigInt = strawberry.field(description="How many bytes it has.")
    received: bool = strawberry.field(description="Whether it has arrived whole.")
    method: str = strawberry.field(description="The HTTP method to send it with.")
    url: str = strawberry.field(description="Where to send it; the link ends with the upload.")
    headers: list[Header] = strawberry.field(description="Headers to send with it.")


@strawberry.type(description="An HTTP header.")
class Header:
    name: str = strawberry.field(description="The header's name.")
    value: str = strawberry.field(description="The header's value.")
