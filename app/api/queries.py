"""Query: the ways into the graph."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, cast

import strawberry

from app.api.connections import After, Connection, First
from app.api.context import Info
from app.api.scalars import find_id, given, read_id
from app.api.types import (
    Alias,
    AliasHistory,
    DataStore,
    Datum,
    Execution,
    Node,
    Project,
    Resolution,
    Task,
    Upload,
    Viewer,
    visible_projects,
)
from app.domain import references
from app.errors import AppError, BadUserInputError

_MOST_REFERENCES = 10_000

Id = Annotated[strawberry.ID, strawberry.argument(description="Its id.")]
ProjectId = Annotated[strawberry.ID, strawberry.argument(description="The project's id.")]
At = Annotated[
    dt.datetime | None, strawberry.argument(description="Then instead of now: inclusive, not in the future.")
]


@strawberry.type(description="Reading. What the caller may not see is null, exactly as what never existed.")
class Query:
    @strawberry.field(description="Anything by its id.")
    async def node(self, info: Info, id: Id) -> Node | None:
        key = find_id(id)
        loaders = info.context.loaders
        kind = await loaders.kind.load(key) if key else None
        if kind is None or key is None:
            return None
        load, make = {
            "project": (loaders.project.load, Project.of),
            "data_store": (loaders.data_store.load, DataStore.of),
            "datum": (loaders.datum.load, Datum.of),
            "alias": (loaders.alias.load, Alias.of),
            "alias_history": (loaders.alias_change.load, AliasHistory.of),
            "execution": (loaders.execution.load, Execution.of),
            "task": (loaders.task.load, Task.of),
        }[kind]
        record = await cast(Any, load)(key)
        return cast(Any, make)(record) if record else None

    @strawberry.field(description="Who is asking, by the token of this request.")
    def viewer(self, info: Info) -> Viewer:
        return Viewer.of(info.context.caller)

    @strawberry.field(description="One project, by its id or its slug.")
    async def project(
        self,
        info: Info,
        id: Annotated[strawberry.ID | None, strawberry.argument(description="Its id.")] = strawberry.UNSET,
        slug: Annotated[str | None, strawberry.argument(description="Its slug.")] = strawberry.UNSET,
    ) -> Project | None:
        if (given(id) is None) == (given(slug) is None):
            raise BadUserInputError("Give project exactly one of id and slug.")
        if given(slug) is not None:
            record = await info.context.loaders.project_by_slug.load(cast(str, slug))
        else:
            key = find_id(cast(str, id))
            record = await info.context.loaders.project.load(key) if key else None
        return Project.of(record) if record else None

    @strawberry.field(description="The projects that the caller may see, by slug.")
    async def projects(
        self, info: Info, first: First = strawberry.UNSET, after: After = strawberry.UNSET
    ) -> Connection[Project]:
        return await visible_projects(info, first, after)

    @strawberry.field(description="One file.")
    async def datum(self, info: Info, id: Id) -> Datum | None:
        key = find_id(id)
        record = await info.context.loaders.datum.load(key) if key else None
        return Datum.of(record) if record else None

    @strawberry.field(description="One execution.")
    async def execution(self, info: Info, id: Id) -> Execution | None:
        key = find_id(id)
        record = await info.context.loaders.execution.load(key) if key else None
        return Execution.of(record) if record else None

    @strawberry.field(description="One task.")
    async def task(self, info: Info, id: Id) -> Task | None:
        key = find_id(id)
        record = await info.context.loaders.task.load(key) if key else None
        return Task.of(record) if record else None

    @strawberry.field(description="One upload.")
    async def upload(self, info: Info, id: Id) -> Upload | None:
        key = find_id(id)
        record = await info.context.loaders.upload.load(key) if key else None
        return Upload.of(record) if record else None

    @strawberry.field(description="What a reference means, now or at an instant.")
    async def resolve(
        self,
        info: Info,
        project: ProjectId,
        reference: Annotated[str, strawberry.argument(description="datum://<id> or datum://<alias>.")],
        at: At = strawberry.UNSET,
    ) -> Resolution:
        (resolution,) = await _resolve(info, project, [reference], at)
        if isinstance(resolution, AppError):
            raise resolution
        return resolution

    @strawberry.field(
        description="The same for many, in one database snapshot; one that means nothing gives null and an error at its"
        " index."
    )
    async def resolve_many(
        self,
        info: Info,
        project: ProjectId,
        references: Annotated[
            list[str], strawberry.argument(description=f"datum://<id> or datum://<alias>; at most {_MOST_REFERENCES}.")
        ],
        at: At = strawberry.UNSET,
    ) -> list[Resolution | None]:
        if len(references) > _MOST_REFERENCES:
            raise BadUserInputError(f"references has {len(references)} entries; expected at most {_MOST_REFERENCES}.")
        # graphql-core turns an error in a list into a null and an error at its index
        return cast(list[Resolution | None], await _resolve(info, project, references, at))


async def _resolve(
    info: Info, project: strawberry.ID, texts: list[str], at: dt.datetime | None
) -> list[Resolution | AppError]:
    parsed: list[references.Reference | AppError] = []
    for text in texts:
        try:
            parsed.append(references.parse_reference(text))
        except AppError as error:
            parsed.append(error)
    project_id = read_id("project", project)
    async with info.context.read(project_id) as connection:
        wanted = [each for each in parsed if isinstance(each, references.Reference)]
        found = await references.resolve(connection, project_id, wanted, given(at))
        meant = [each for each in found if isinstance(each, references.Resolution)]
        names = info.context.selected(info) & {"alias", "datum"}
        await info.context.loaders.fetch_ahead(connection, meant, names)
    resolved = iter(found)
    return [_resolution(each if isinstance(each, AppError) else next(resolved)) for each in parsed]


def _resolution(found: references.Resolution | AppError) -> Resolution | AppError:
    if isinstance(found, AppError):
        return found
    return Resolution(
        reference=found.reference.text, version=found.version, alias_id=found.alias_id, datum_id=found.datum_id
    )
