"""Subscription: each parses its arguments and follows a feed; every event is resolved with loaders of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import strawberry

from app.api.context import Info
from app.api.queries import ProjectId
from app.api.scalars import given, not_found, read_id
from app.api.types import AliasHistory, Execution, LogLine
from app.domain.access import Scope
from app.errors import BadUserInputError


@strawberry.type(description="Following. Over graphql-transport-ws, or with Accept: text/event-stream.")
class Subscription:
    @strawberry.subscription(
        description="Every change of the project's aliases, as it is committed. after names the last change received;"
        " the server continues from there without gaps."
    )
    async def alias_changed(
        self,
        info: Info,
        project: ProjectId,
        names: Annotated[list[str] | None, strawberry.argument(description="Only these aliases.")] = strawberry.UNSET,
        after: Annotated[
            strawberry.ID | None,
            strawberry.argument(description="The id of the last change received; from now on if not said."),
        ] = strawberry.UNSET,
    ) -> AsyncGenerator[AliasHistory, None]:
        context = info.context
        project_id = read_id("project", project)
        context.caller.require(Scope.READ, project_id)
        last = read_id("change", after) if after else None
        async with aclosing(context.feeds.alias_changes(context.caller, project_id, given(names), last)) as changes:
            async for change in changes:
                context.forget()
                yield AliasHistory.of(change)

    @strawberry.subscription(
        description="Executions, as they are created and whenever they change: those of a project, or one. Changes in"
        " quick succession may come as one."
    )
    async def execution_updated(
        self,
        info: Info,
        project: Annotated[strawberry.ID | None, strawberry.argument(description="All of this project.")] = (
            strawberry.UNSET
        ),
        execution: Annotated[strawberry.ID | None, strawberry.argument(description="This one.")] = strawberry.UNSET,
    ) -> AsyncGenerator[Execution, None]:
        context = info.context
        if bool(project) == bool(execution):
            raise BadUserInputError("Give executionUpdated exactly one of project and execution.")
        execution_id = None
        if execution:
            record = await context.loaders.execution.load(read_id("execution", execution))
            if record is None:
                raise not_found("execution", execution)
            execution_id, project_id = record.id, record.project_id
        else:
            project_id = read_id("project", project or "")
        context.caller.require(Scope.READ, project_id)
        async with aclosing(context.feeds.execution_updates(context.caller, project_id, execution_id)) as updates:
            async for update in updates:
                context.forget()
                yield Execution.of(update)

    @strawberry.subscription(
        description="The lines of an execution's log, as they are written; those after the line of that number, or all."
        " It ends with the execution."
    )
    async def log_added(
        self,
        info: Info,
        execution: Annotated[strawberry.ID, strawberry.argument(description="The execution.")],
        after: Annotated[int, strawberry.argument(description="The number of the last line received.")] = 0,
    ) -> AsyncGenerator[LogLine, None]:
        context = info.context
        record = await context.loaders.execution.load(read_id("execution", execution))
        if record is None:
            raise not_found("execution", execution)
        context.caller.require(Scope.READ, record.project_id)
        async with aclosing(context.feeds.log_lines(context.caller, record, after)) as lines:
            async for line in lines:
                context.forget()
                yield LogLine.of(line)
