"""Mutation: each parses its input, opens the transaction, calls the domain, and wraps what comes back."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any, Self
from uuid import UUID

import orjson
import strawberry
import structlog

from app.api import inputs
from app.api.context import Context, Info
from app.api.scalars import given, given_object, not_found, read_id
from app.api.types import Alias, AliasHistory, DataStore, Datum, Execution, Project, Task, Token, Upload
from app.database.statements import Connection
from app.domain import (
    adoptions,
    aliases,
    configs,
    data_stores,
    datums,
    executions,
    idempotency,
    leases,
    logs,
    projects,
    references,
    tasks,
    tokens,
    uploads,
)
from app.domain.access import Scope
from app.domain.data_stores import store_for_upload
from app.domain.datums import DatumStatus
from app.domain.task_plans import TaskPlan, plan_task
from app.errors import BadUserInputError, ChecksumMismatchError, ForbiddenError, StoreUnavailableError, WrongStateError
from app.stores.base import StoreError, Unavailable, probe
from app.transfer.guard import ForbiddenAddressError


@strawberry.type(description="The new project.")
class CreateProjectPayload:
    project: Project = strawberry.field(description="The new project.")


@strawberry.type(description="The new token.")
class CreateTokenPayload:
    token: Token = strawberry.field(description="The new token.")
    secret: str = strawberry.field(description="What to send as Authorization: Bearer …; shown this once.")


@strawberry.type(description="The token that works no more.")
class RevokeTokenPayload:
    token: Token = strawberry.field(description="The token that works no more.")


@strawberry.type(description="The new store.")
class CreateDataStorePayload:
    store: DataStore = strawberry.field(description="The new store.")


@strawberry.type(description="The store as it is now.")
class UpdateDataStorePayload:
    store: DataStore = strawberry.field(description="The store.")


@strawberry.type(description="Whether a store works.")
class CheckDataStorePayload:
    store: DataStore = strawberry.field(description="The store.")
    ok: bool = strawberry.field(description="Whether it could be written to, read from and deleted from.")
    message: str | None = strawberry.field(description="What went wrong.")


@strawberry.type(description="The file that is to be, and where its bytes go.")
class RequestUploadPayload:
    datum: Datum = strawberry.field(description="The reserved file, PENDING.")
    upload: Upload = strawberry.field(description="Where its bytes go.")


@strawberry.type(description="The file, AVAILABLE.")
class CompleteUploadPayload:
    datum: Datum = strawberry.field(description="The file.")
    change: AliasHistory | None = strawberry.field(description="The alias's move, if one was asked for.")


@strawberry.type(description="The file that is not to be.")
class AbortUploadPayload:
    datum: Datum = strawberry.field(description="The file, EXPIRED.")


@strawberry.type(description="The file that an object is.")
class AdoptDatumPayload:
    datum: Datum = strawberry.field(description="The file.")
    created: bool = strawberry.field(description="Whether it is new; false if the object had been adopted before.")


@strawberry.type(description="The file as described now.")
class UpdateDatumPayload:
    datum: Datum = strawberry.field(description="The file.")


@strawberry.type(description="The file whose bytes were given up.")
class PurgeDatumPayload:
    datum: Datum = strawberry.field(description="The file, PURGED.")


@strawberry.type(description="An alias, and what was changed.")
class SetAliasPayload:
    alias: Alias = strawberry.field(description="The alias as it is now.")
    change: AliasHistory | None = strawberry.field(description="The change; null if there was nothing to change.")
    changed: bool = strawberry.field(description="Whether anything was changed.")

    @classmethod
    def of(cls, outcome: aliases.Outcome) -> Self:
        change = AliasHistory.of(outcome.change) if outcome.change else None
        return cls(alias=Alias.of(outcome.alias), change=change, changed=change is not None)


@strawberry.type(description="An alias, and what was changed.")
class RollbackAliasPayload(SetAliasPayload):
    pass


@strawberry.type(description="An alias, and what was changed.")
class DeleteAliasPayload(SetAliasPayload):
    pass


@strawberry.type(description="Aliases, and what was changed.")
class SetAliasesPayload:
    aliases: list[Alias] = strawberry.field(description="The aliases as they are now, in the order of the moves.")
    changes: list[AliasHistory] = strawberry.field(description="The changes, in the order of the moves.")
    change_set: strawberry.ID = strawberry.field(description="Shared by the changes.")


@strawberry.type(description="The new execution.")
class CreateExecutionPayload:
    execution: Execution = strawberry.field(description="The execution, its inputs pinned.")


@strawberry.type(description="The copy.")
class CopyExecutionPayload:
    execution: Execution = strawberry.field(description="The new execution.")


@strawberry.type(description="The execution that was stopped.")
class StopExecutionPayload:
    execution: Execution = strawberry.field(description="The execution.")


@strawberry.type(description="An address of HTTP(S) with its credentials.")
class InputAddress:
    input: str = strawberry.field(description="The input's name.")
    position: int = strawberry.field(description="The file's place among the input's, from 0.")
    url: str = strawberry.field(description="The address, credentials and all.")


@strawberry.type(description="An environment variable, as the command is to see it.")
class RevealedVariable:
    name: str = strawberry.field(description="Its name.")
    value: str = strawberry.field(description="Its value, also of a secret one.")


@strawberry.type(description="An execution that is a worker's now; all null if there is none for it.")
class ClaimExecutionPayload:
    execution: Execution | None = strawberry.field(description="The execution, STARTED.")
    lease: strawberry.ID | None = strawberry.field(description="What the worker shows with all that it reports.")
    lease_seconds: int = strawberry.field(description="How long the lease lasts unless it is extended.")
    last_line: int = strawberry.field(description="The last line of the log; the worker's first is one more.")
    environment: list[RevealedVariable] = strawberry.field(description="The variables that the command sees.")
    addresses: list[InputAddress] = strawberry.field(description="The inputs' addresses that have credentials.")


@strawberry.type(description="The lease goes on.")
class ExtendLeasePayload:
    execution: Execution = strawberry.field(description="The execution; STOPPING, if it is to be stopped.")
    lease_seconds: int = strawberry.field(description="How long the lease lasts from now.")


@strawberry.type(description="The lines are kept.")
class AppendLogsPayload:
    execution: Execution = strawberry.field(description="The execution.")


@strawberry.type(description="What was found is kept.")
class ReportInputsPayload:
    execution: Execution = strawberry.field(description="The execution, with warnings of inputs that have changed.")


@strawberry.type(description="What was said is kept.")
class DescribeOutputPayload:
    datum: Datum = strawberry.field(description="The output, with all that was said of it.")


@strawberry.type(description="The execution has ended.")
class FinishExecutionPayload:
    execution: Execution = strawberry.field(description="The execution, COMPLETE, ERROR or STOPPED.")


@strawberry.type(description="The new task.")
class CreateTaskPayload:
    task: Task = strawberry.field(description="The task, its executions created and their inputs pinned.")


@strawberry.type(description="Writing.")
class Mutation:
    @strawberry.mutation(description="Makes a project. Needs scope ADMIN and a token for all projects.")
    async def create_project(self, info: Info, input: inputs.CreateProjectInput) -> CreateProjectPayload:
        context = info.context
        async with context.write(Scope.ADMIN, None) as connection:
            record = await projects.create_project(connection, context.caller, slug=input.slug, name=given(input.name))
        return CreateProjectPayload(project=Project.of(record))

    @strawberry.mutation(description="Makes a token that can do no more than the caller's. Needs scope ADMIN.")
    async def create_token(self, info: Info, input: inputs.CreateTokenInput) -> CreateTokenPayload:
        context = info.context
        async with context.write(Scope.ADMIN, None) as connection:
            token, secret = await tokens.create_token(
                connection,
                context.caller,
                name=input.name,
                scopes=input.scopes,
                project_ids=input.project_ids(),
                expires_at=given(input.expires_at),
            )
        return CreateTokenPayload(token=Token.of(token), secret=secret)

    @strawberry.mutation(description="Makes a token work no more, at once. Needs scope ADMIN.")
    async def revoke_token(self, info: Info, input: inputs.RevokeTokenInput) -> RevokeTokenPayload:
        context = info.context
        async with context.write(Scope.ADMIN, None) as connection:
            token = await tokens.revoke_token(connection, context.caller, read_id("token", input.id))
        return RevokeTokenPayload(token=Token.of(token))

    @strawberry.mutation(
        description="Adds a store to a project, having tried it out. Needs scope ADMIN. Its secrets are never shown."
    )
    async def create_data_store(self, info: Info, input: inputs.CreateDataStoreInput) -> CreateDataStorePayload:
        context = info.context
        project_id = read_id("project", input.project)
        context.caller.require(Scope.ADMIN, project_id)
        spec = input.spec(context.settings)
        await _try_out(context, spec, input.name)
        async with context.write(Scope.ADMIN, project_id) as connection:
            record = await data_stores.create_data_store(
                connection,
                context.caller,
                project_id,
                spec,
                name=input.name,
                is_default=input.is_default,
                secrets=context.secrets,
            )
        return CreateDataStorePayload(store=DataStore.of(record))

    @strawberry.mutation(description="Rotates a store's credentials, renames it, or makes it the default.")
    async def update_data_store(self, info: Info, input: inputs.UpdateDataStoreInput) -> UpdateDataStorePayload:
        context = info.context
        record = await _store(context, input.id)
        spec = input.spec(context.settings)
        if record.project_id is None:
            raise WrongStateError("The server's own store is its operator's to change, by the server's settings.")
        if spec is not None:
            data_stores.check_same_place(record, spec)
            await _try_out(context, spec, record.name)
        async with context.write(Scope.ADMIN, record.project_id) as connection:
            record = await data_stores.update_data_store(
                connection,
                record.id,
                spec,
                name=given(input.name),
                is_default=given(input.is_default),
                secrets=context.secrets,
            )
        return UpdateDataStorePayload(store=DataStore.of(record))

    @strawberry.mutation(description="Tries a store out: writes, reads and deletes a small object.")
    async def check_data_store(self, info: Info, input: inputs.CheckDataStoreInput) -> CheckDataStorePayload:
        context = info.context
        record = await _store(context, input.id)
        message = None
        try:
            await probe(context.store(record), data_stores.probe_key(record.prefix))
        except StoreError as error:
            message = error.cause
        return CheckDataStorePayload(store=DataStore.of(record), ok=message is None, message=message)

    @strawberry.mutation(description="Reserves a datum and says where its bytes go.")
    async def request_upload(self, info: Info, input: inputs.RequestUploadInput) -> RequestUploadPayload:
        context = info.context
        project_id = read_id("project", input.project)
        store_id = None if given(input.store) is None else read_id("store", input.store or "")
        execution = await _execution(context, input.execution) if input.execution else None
        if (execution is None) != (not input.lease) or (execution and execution.project_id != project_id):
            raise BadUserInputError("execution and lease are given together, for an execution of the project.")
        scope = Scope.WRITE if execution is None else Scope.EXECUTE
        async with context.write(scope, project_id) as connection:
            if execution is not None:
                execution = await leases.hold(connection, execution.id, read_id("lease", input.lease or ""))
                store_id = store_id or execution.store_id
            claim = await _claim(connection, context, project_id, "requestUpload", input)
            store = await store_for_upload(connection, project_id, store_id)
            datum, upload = await uploads.request_upload(
                connection,
                context.caller,
                project_id,
                input.announcement(),
                record=store,
                store=context.store(store),
                lifetime=context.settings.upload_lifetime,
                claim=claim,
                producer=execution,
            )
        session = await uploads.begin_upload(context.store(store), upload, datum)
        if session is not None:
            async with context.write(scope, project_id) as connection:
                upload = await uploads.keep_session(connection, upload, session)
        return RequestUploadPayload(datum=Datum.of(datum), upload=Upload.of(upload))

    @strawberry.mutation(description="Checks that the bytes arrived whole, and makes the datum usable.")
    async def complete_upload(self, info: Info, input: inputs.CompleteUploadInput) -> CompleteUploadPayload:
        context = info.context
        upload, datum = await _upload(context, input.upload)
        scope = Scope.WRITE if datum.produced_by is None else Scope.EXECUTE
        context.caller.require(scope, upload.project_id)
        alias = given(input.alias)
        if alias is not None:
            aliases.check_move(alias, given(input.reason))
        store = await context.loaders.data_store.load(datum.store_id)
        if store is None:
            raise LookupError(f"store {datum.store_id} of datum {datum.id} is gone")
        try:
            verified = await uploads.verify_upload(context.store(store), upload, datum, input.expected())
        except ChecksumMismatchError:
            if upload.session:
                # its parts have become one object, which is gone: there is nothing left to send again
                async with context.write(scope, upload.project_id) as connection:
                    await uploads.abort_upload(connection, upload)
                context.sweep_soon()
            raise
        async with context.write(scope, upload.project_id) as connection:
            producer = None
            if datum.produced_by is not None:
                producer = await leases.hold(connection, datum.produced_by, read_id("lease", input.lease or ""))
            claim = await _claim(connection, context, upload.project_id, "completeUpload", input)
            datum, change = await uploads.complete_upload(
                connection,
                context.caller,
                upload,
                verified,
                alias=alias,
                reason=given(input.reason),
                claim=claim,
                producer=producer,
            )
        context.sweep_soon()
        if datum.status != DatumStatus.AVAILABLE:
            raise uploads.ended_upload(upload, datum)
        return CompleteUploadPayload(datum=Datum.of(datum), change=AliasHistory.of(change) if change else None)

    @strawberry.mutation(description="Gives up an upload: its datum becomes EXPIRED and its parts are deleted.")
    async def abort_upload(self, info: Info, input: inputs.AbortUploadInput) -> AbortUploadPayload:
        context = info.context
        upload, _ = await _upload(context, input.upload)
        async with context.write(Scope.WRITE, upload.project_id) as connection:
            datum = await uploads.abort_upload(connection, upload)
        context.sweep_soon()
        return AbortUploadPayload(datum=Datum.of(datum))

    @strawberry.mutation(
        description="Makes a datum of an object that is in a store already, without copying it. The same object is the"
        " same datum; once it has been replaced in the store it is another."
    )
    async def adopt_datum(self, info: Info, input: inputs.AdoptDatumInput) -> AdoptDatumPayload:
        context = info.context
        project_id = read_id("project", input.project)
        context.caller.require(Scope.WRITE, project_id)
        reference = input.address()
        alias = given(input.alias)
        if alias is not None:
            aliases.check_move(alias, None)
        ((found,),) = (await _find(context, project_id, [reference])).values()
        names = {} if given(input.name) is None else {found.address.key: input.name or ""}
        async with context.write(Scope.WRITE, project_id) as connection:
            (adopted,) = (await adoptions.adopt(connection, context.caller, project_id, [found], names=names)).values()
            datum = await datums.update_datum(
                connection,
                adopted.datum.id,
                add_tags=given(input.tags) or [],
                remove_tags=[],
                set_properties=given_object(input.properties),
                remove_properties=[],
            )
            if alias is not None:
                move = aliases.Move(alias, references.Reference(datum.object_key, datum_id=datum.id))
                await aliases.set_alias(connection, context.caller, project_id, move, reason=None, claim=None)
        context.sweep_soon()
        return AdoptDatumPayload(datum=Datum.of(datum), created=adopted.created)

    @strawberry.mutation(description="Changes a file's tags and properties.")
    async def update_datum(self, info: Info, input: inputs.UpdateDatumInput) -> UpdateDatumPayload:
        context = info.context
        datum = await _datum(context, input.id)
        async with context.write(Scope.WRITE, datum.project_id) as connection:
            datum = await datums.update_datum(
                connection,
                datum.id,
                add_tags=given(input.add_tags) or [],
                remove_tags=given(input.remove_tags) or [],
                set_properties=given_object(input.set_properties),
                remove_properties=given(input.remove_properties) or [],
            )
        return UpdateDatumPayload(datum=Datum.of(datum))

    @strawberry.mutation(description="Gives up a file's bytes; its record, history and lineage stay.")
    async def purge_datum(self, info: Info, input: inputs.PurgeDatumInput) -> PurgeDatumPayload:
        context = info.context
        datum = await _datum(context, input.id)
        async with context.write(Scope.WRITE, datum.project_id) as connection:
            datum = await datums.purge_datum(
                connection, context.caller, datum.id, reason=input.reason, force=input.force
            )
        context.sweep_soon()
        return PurgeDatumPayload(datum=Datum.of(datum))

    @strawberry.mutation(description="Points an alias at a file, making the alias if need be.")
    async def set_alias(self, info: Info, input: inputs.SetAliasInput) -> SetAliasPayload:
        context = info.context
        project_id, move = read_id("project", input.project), input.move()
        async with context.write(Scope.WRITE, project_id) as connection:
            claim = await _claim(connection, context, project_id, "setAlias", input)
            outcome = await aliases.set_alias(
                connection, context.caller, project_id, move, reason=given(input.reason), claim=claim
            )
        return SetAliasPayload.of(outcome)

    @strawberry.mutation(description="Points many aliases, all or none, in one change set.")
    async def set_aliases(self, info: Info, input: inputs.SetAliasesInput) -> SetAliasesPayload:
        context = info.context
        project_id, moves = read_id("project", input.project), [each.move() for each in input.moves]
        async with context.write(Scope.WRITE, project_id) as connection:
            claim = await _claim(connection, context, project_id, "setAliases", input)
            outcomes, change_set_id = await aliases.set_aliases(
                connection, context.caller, project_id, moves, reason=given(input.reason), claim=claim
            )
        changes = [outcome.change for outcome in outcomes if outcome.change]
        return SetAliasesPayload(
            aliases=[Alias.of(outcome.alias) for outcome in outcomes],
            changes=[AliasHistory.of(change) for change in changes],
            change_set=strawberry.ID(str(change_set_id)),
        )

    @strawberry.mutation(description="Points an alias back at the file of an earlier version; revives a deleted one.")
    async def rollback_alias(self, info: Info, input: inputs.RollbackAliasInput) -> RollbackAliasPayload:
        context = info.context
        project_id = read_id("project", input.project)
        async with context.write(Scope.WRITE, project_id) as connection:
            claim = await _claim(connection, context, project_id, "rollbackAlias", input)
            outcome = await aliases.rollback_alias(
                connection,
                context.caller,
                project_id,
                input.name,
                to_version=given(input.to_version),
                expected_version=given(input.expected_version),
                reason=given(input.reason),
                claim=claim,
            )
        return RollbackAliasPayload.of(outcome)

    @strawberry.mutation(description="Makes an alias point nowhere; its history stays, and setAlias revives it.")
    async def delete_alias(self, info: Info, input: inputs.DeleteAliasInput) -> DeleteAliasPayload:
        context = info.context
        project_id = read_id("project", input.project)
        async with context.write(Scope.WRITE, project_id) as connection:
            claim = await _claim(connection, context, project_id, "deleteAlias", input)
            outcome = await aliases.delete_alias(
                connection,
                context.caller,
                project_id,
                input.name,
                expected_version=given(input.expected_version),
                reason=given(input.reason),
                claim=claim,
            )
        return DeleteAliasPayload.of(outcome)

    @strawberry.mutation(description="Makes an execution, its inputs pinned to what their references mean now.")
    async def create_execution(self, info: Info, input: inputs.CreateExecutionInput) -> CreateExecutionPayload:
        context = info.context
        project_id, spec = read_id("project", input.project), input.spec()
        config = given(input.config)
        if config is not None:
            context.caller.require(Scope.WRITE, project_id)
            spec = await asyncio.to_thread(configs.complete, spec, config)
        await _check_web(context, project_id, spec.inputs)
        found = await _find(context, project_id, executions.store_references(spec.inputs))
        async with context.write(Scope.WRITE, project_id) as connection:
            claim = await _claim(connection, context, project_id, "createExecution", input)
            if config is not None:
                spec = dataclasses.replace(spec, config_id=await configs.keep_config(connection, project_id, config))
            execution = await executions.create_execution(
                connection, context.caller, project_id, spec, secrets=context.secrets, claim=claim, found=found
            )
        _soon_verified(context, found)
        return CreateExecutionPayload(execution=Execution.of(execution))

    @strawberry.mutation(description="Makes an execution like another one, with the same files unless asked otherwise.")
    async def copy_execution(self, info: Info, input: inputs.CopyExecutionInput) -> CopyExecutionPayload:
        context = info.context
        original = await _execution(context, input.execution)
        parameters = given(input.parameters)
        if parameters is not None and not isinstance(parameters, dict):
            raise BadUserInputError("parameters is not a JSON object.")
        specs = [each.spec() for each in given(input.inputs) or ()]
        command = None
        if parameters and original.config_id and original.step:
            config = await context.loaders.config.load(original.config_id)
            if config is not None:
                merged = original.parameters | parameters
                command, parameters = await asyncio.to_thread(configs.command_of, config.text, original.step, merged)
        renewed = await context.loaders.inputs_of_execution.load(original.id) if input.reresolve else []
        await _check_web(context, original.project_id, specs)
        found = await _find(context, original.project_id, executions.store_references([*specs, *renewed]))
        async with context.write(Scope.WRITE, original.project_id) as connection:
            claim = await _claim(connection, context, original.project_id, "copyExecution", input)
            execution = await executions.copy_execution(
                connection,
                context.caller,
                original,
                title=given(input.title),
                reresolve=input.reresolve,
                inputs=specs,
                parameters=parameters or {},
                command=command,
                secrets=context.secrets,
                claim=claim,
                found=found,
            )
        _soon_verified(context, found)
        return CopyExecutionPayload(execution=Execution.of(execution))

    @strawberry.mutation(description="Stops an execution.")
    async def stop_execution(self, info: Info, input: inputs.StopExecutionInput) -> StopExecutionPayload:
        context = info.context
        execution = await _execution(context, input.execution)
        async with context.write(Scope.WRITE, execution.project_id) as connection:
            execution = await leases.stop_execution(connection, execution.id)
        return StopExecutionPayload(execution=Execution.of(execution))

    @strawberry.mutation(
        description="Gives the next execution to a worker, the first in line whose labels it has. The lease ends unless"
        " extendLease keeps it; the execution then goes back to the line, three attempts in all."
    )
    async def claim_execution(self, info: Info, input: inputs.ClaimExecutionInput) -> ClaimExecutionPayload:
        context = info.context
        async with context.write(Scope.EXECUTE, None) as connection:
            lease = await leases.claim(
                connection, context.caller, worker=input.worker, labels=input.labels, image_only=input.image_only
            )
            addresses = await executions.secret_addresses(connection, lease.execution.id) if lease else []
        if lease is None:
            structlog.contextvars.bind_contextvars(is_minor=True)
        secrets = context.secrets
        environment = lease.execution.environment if lease else []
        return ClaimExecutionPayload(
            execution=Execution.of(lease.execution) if lease else None,
            lease=strawberry.ID(str(lease.id)) if lease else None,
            lease_seconds=int(leases.LIFETIME.total_seconds()),
            last_line=lease.last_line if lease else 0,
            environment=[
                RevealedVariable(
                    name=each["name"], value=secrets.decrypt(each["value"]) if each["secret"] else each["value"]
                )
                for each in environment
            ],
            addresses=[
                InputAddress(input=name, position=position, url=secrets.decrypt(url))
                for name, position, url in addresses
            ],
        )

    @strawberry.mutation(description="Keeps a lease; the worker's heartbeat.")
    async def extend_lease(self, info: Info, input: inputs.ExtendLeaseInput) -> ExtendLeasePayload:
        context = info.context
        execution = await _execution(context, input.execution)
        async with context.write(Scope.EXECUTE, execution.project_id) as connection:
            execution = await leases.extend(connection, execution.id, read_id("lease", input.lease))
        seconds = int(leases.LIFETIME.total_seconds())
        return ExtendLeasePayload(execution=Execution.of(execution), lease_seconds=seconds)

    @strawberry.mutation(description="Adds lines to an execution's log.")
    async def append_logs(self, info: Info, input: inputs.AppendLogsInput) -> AppendLogsPayload:
        context = info.context
        execution = await _execution(context, input.execution)
        async with context.write(Scope.EXECUTE, execution.project_id) as connection:
            execution = await leases.hold(connection, execution.id, read_id("lease", input.lease))
            await logs.append(connection, execution, input.records(execution.id))
        return AppendLogsPayload(execution=Execution.of(execution))

    @strawberry.mutation(
        description="Keeps what a worker found the inputs to be. An address of HTTP(S) that gave something else when"
        " the project last used it is an INPUT_CHANGED warning."
    )
    async def report_inputs(self, info: Info, input: inputs.ReportInputsInput) -> ReportInputsPayload:
        context = info.context
        execution = await _execution(context, input.execution)
        async with context.write(Scope.EXECUTE, execution.project_id) as connection:
            execution = await leases.hold(connection, execution.id, read_id("lease", input.lease))
            await executions.keep_found(connection, execution, input.records())
        return ReportInputsPayload(execution=Execution.of(execution))

    @strawberry.mutation(
        description="Adds to what is said of an output, which may be stored while the command still runs."
    )
    async def describe_output(self, info: Info, input: inputs.DescribeOutputInput) -> DescribeOutputPayload:
        context = info.context
        execution = await _execution(context, input.execution)
        alias = given(input.alias)
        if alias is not None:
            aliases.check_move(alias, None)
        async with context.write(Scope.EXECUTE, execution.project_id) as connection:
            execution = await leases.hold(connection, execution.id, read_id("lease", input.lease))
            datum = await uploads.describe_output(
                connection,
                execution,
                read_id("datum", input.datum),
                tags=input.tags,
                properties=given_object(input.properties),
                alias=alias,
            )
        return DescribeOutputPayload(datum=Datum.of(datum))

    @strawberry.mutation(
        description="Ends an execution. One that completes moves the aliases that its outputs asked for, all at once."
    )
    async def finish_execution(self, info: Info, input: inputs.FinishExecutionInput) -> FinishExecutionPayload:
        context = info.context
        execution = await _execution(context, input.execution)
        async with context.write(Scope.EXECUTE, execution.project_id) as connection:
            execution = await leases.finish(
                connection,
                context.caller,
                execution.id,
                read_id("lease", input.lease),
                exit_code=given(input.exit_code),
                warnings=[each.record() for each in input.warnings],
            )
        return FinishExecutionPayload(execution=Execution.of(execution))

    @strawberry.mutation(description="Makes one execution for each parameter set; aliases are resolved once for all.")
    async def create_task(self, info: Info, input: inputs.CreateTaskInput) -> CreateTaskPayload:
        context = info.context
        project_id, template = read_id("project", input.project), input.execution_spec()
        parameter_sets: Sequence[object] = input.parameter_sets
        max_concurrent, on_child_error = given(input.max_concurrent), input.on_child_error
        config, own_commands = given(input.template.config), list[list[str]]()
        if (name := given(input.task)) is not None:
            plan = await asyncio.to_thread(_plan, config, name, template.step)
            template = dataclasses.replace(template, step=plan.step)
            parameter_sets = parameter_sets or plan.parameter_sets
            max_concurrent = max_concurrent or plan.max_concurrent
            on_child_error = tasks.OnChildError.STOP_ALL if plan.stop_all else on_child_error
        if config is not None:
            context.caller.require(Scope.WRITE, project_id)
            template, parameter_sets, own_commands = await asyncio.to_thread(
                configs.complete_each, template, config, parameter_sets
            )
        await _check_web(context, project_id, template.inputs)
        found = await _find(context, project_id, executions.store_references(template.inputs))
        async with context.write(Scope.WRITE, project_id) as connection:
            claim = await _claim(connection, context, project_id, "createTask", input)
            if config is not None:
                config_id = await configs.keep_config(connection, project_id, config)
                template = dataclasses.replace(template, config_id=config_id)
            task = await tasks.create_task(
                connection,
                context.caller,
                project_id,
                template,
                parameter_sets,
                own_commands=own_commands,
                title=given(input.title),
                max_concurrent=max_concurrent,
                on_child_error=on_child_error,
                secrets=context.secrets,
                claim=claim,
                found=found,
            )
        _soon_verified(context, found)
        return CreateTaskPayload(task=Task.of(task))


def _plan(config: str | None, task: str, step: str | None) -> TaskPlan:
    if config is None:
        raise BadUserInputError(f"task is {task!r}, which template.config would have to declare; give that.")
    plan = plan_task(config, task)
    if step not in (None, plan.step):
        raise BadUserInputError(f"Task {task!r} is of step {plan.step!r}, but template.step is {step!r}; leave it out.")
    return plan


async def _find(
    context: Context, project_id: UUID, wanted: list[references.Reference]
) -> dict[str, list[adoptions.Found]]:
    """What references to stores mean; asked before the transaction, as stores take their time."""
    if not wanted:
        return {}
    context.caller.require(Scope.WRITE, project_id)
    stores = await context.loaders.stores_of_project.load(project_id)
    return await adoptions.find(stores, wanted, context.store)


async def _check_web(context: Context, project_id: UUID, specs: Sequence[executions.InputSpec]) -> None:
    """Refuses addresses of HTTP(S) within the server's own network, as far as they can be told now.

    Who fetches them checks them again, with every redirect; a name may also mean something there alone.
    """
    wanted = executions.web_references(specs)
    if not wanted:
        return
    context.caller.require(Scope.WRITE, project_id)
    for reference in wanted:
        try:
            await context.check_endpoint(str(reference.url))
        except ForbiddenAddressError as error:
            raise BadUserInputError(f"{reference.text} cannot be used: {error}.") from error
        except OSError:
            continue


def _soon_verified(context: Context, found: dict[str, list[adoptions.Found]]) -> None:
    """After a commit that may have adopted objects."""
    if found:
        context.sweep_soon()


async def _try_out(context: Context, spec: data_stores.StoreSpec, name: str) -> None:
    """Refuses a store that does not work, or that the server may not reach."""
    try:
        if endpoint := spec.config.get("endpoint_url") or spec.config.get("auth_url"):
            await context.check_endpoint(endpoint)
        async with context.trial(spec, name) as store:
            await probe(store, data_stores.probe_key(str(spec.config.get("prefix") or "")))
    except ForbiddenAddressError as error:
        raise BadUserInputError(f"The store may not be used: {error}.") from error
    except Unavailable as error:
        raise StoreUnavailableError(f"The store cannot be reached: {error.cause}.") from error
    except StoreError as error:
        raise BadUserInputError(f"The store does not work: {error.cause}.") from error
    except OSError as error:
        raise BadUserInputError(f"The store's address cannot be resolved: {error}.") from error


async def _store(context: Context, text: str) -> data_stores.DataStore:
    """A store, for who may administer it; the server's own is for administrators of all projects."""
    record = await context.loaders.data_store.load(read_id("store", text))
    if record is None:
        raise not_found("store", text)
    context.caller.require(Scope.ADMIN, record.project_id)
    if record.project_id is None and context.caller.project_ids is not None:
        raise ForbiddenError("The server's own store needs a token for all projects; yours is limited to some.")
    return record


async def _datum(context: Context, text: str) -> datums.Datum:
    record = await context.loaders.datum.load(read_id("datum", text))
    if record is None:
        raise not_found("datum", text)
    return record


async def _execution(context: Context, text: str) -> executions.Execution:
    record = await context.loaders.execution.load(read_id("execution", text))
    if record is None:
        raise not_found("execution", text)
    return record


async def _upload(context: Context, text: str) -> tuple[uploads.Upload, datums.Datum]:
    upload = await context.loaders.upload.load(read_id("upload", text))
    datum = await context.loaders.datum.load(upload.datum_id) if upload else None
    if upload is None or datum is None:
        raise not_found("upload", text)
    return upload, datum


async def _claim(
    connection: Connection, context: Context, project_id: UUID, mutation: str, input: Any
) -> idempotency.Claim | None:
    """Claims the input's idempotency key, with a fingerprint of everything else in it."""
    key = given(input.idempotency_key)
    if key is None:
        return None

    def encode(value: object) -> object:
        # absent and null are told apart where the schema does
        return [value.value] if isinstance(value, strawberry.Some) else str(value)

    rest = dataclasses.replace(input, idempotency_key=None)
    try:
        content = orjson.dumps(rest, default=encode, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise BadUserInputError(f"The input cannot be read as JSON: {error}.") from error
    request = idempotency.Request(mutation, key, context.secrets.fingerprint(content))
    return await idempotency.claim(connection, context.caller, project_id, request)
