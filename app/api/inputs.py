"""Every input type, with the way from it to what the domain takes."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import orjson
import strawberry
from strawberry import UNSET, Maybe
from strawberry.scalars import JSON

from app.api.enums import (
    AliasHistoryKind,
    AliasHistoryVia,
    AliasOrderField,
    DatumOrderField,
    DatumOrigin,
    DatumStatus,
    ExecutionStatus,
    ExecutionWarningCode,
    KeepDirectories,
    LogStream,
    OnChildError,
    OrderDirection,
    Scope,
)
from app.api.scalars import BigInt, find_id, given, given_object, read_id
from app.domain import executions, logs
from app.domain.aliases import Expectation, Move
from app.domain.data_stores import DataStoreKind, StoreSpec
from app.domain.executions import EnvironmentVariable, ExecutionSpec, InputSpec
from app.domain.filters import like_pattern
from app.domain.references import Reference, parse_datum, parse_reference
from app.domain.uploads import Announcement, require_hashes
from app.domain.validation import require_text
from app.errors import BadUserInputError
from app.settings import Settings
from app.stores.base import Expected

Where = tuple[tuple[str, Any], ...]

_IDEMPOTENCY_KEY = (
    "Makes a retry safe: for seven days, the same key with the same input returns the first result, and with another"
    " input is IDEMPOTENCY_MISMATCH."
)
_EXPECTED_VERSION = "Change only if the alias is at this version; 0 for one that never existed."
_REASON = "Why, kept with the change."
_NAME = "The alias's name: 1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit."


# no file, alias or store has it, so an id of the wrong form finds nothing
_NOBODY = UUID(int=0)


def _id_or_nobody(text: str) -> UUID:
    return find_id(text) or _NOBODY


def _values(name: str, values: Any) -> Where:
    """A condition on a list of values, none of which may be null."""
    return () if given(values) is None else ((name, tuple(getattr(value, "value", value) for value in values)),)


def _value(name: str, value: Any) -> Where:
    return () if given(value) is None else ((name, getattr(value, "value", value)),)


def _identity(name: str, text: Any) -> Where:
    return () if given(text) is None else ((name, _id_or_nobody(text)),)


@strawberry.input(description="Conditions on a text; all that are given must hold.")
class StringFilter:
    eq: str | None = strawberry.field(default=UNSET, description="Equals this.")
    in_: list[str] | None = strawberry.field(name="in", default=UNSET, description="Is one of these.")
    contains: str | None = strawberry.field(default=UNSET, description="Contains this, case-sensitive.")
    starts_with: str | None = strawberry.field(default=UNSET, description="Starts with this, case-sensitive.")

    def where(self, name: str) -> Where:
        contains, prefix = given(self.contains), given(self.starts_with)
        return (
            *_value(f"{name}_eq", self.eq),
            *_values(f"{name}_in", self.in_),
            *_value(f"{name}_contains", contains and f"%{like_pattern(contains)}%"),
            *_value(f"{name}_starts_with", prefix and f"{like_pattern(prefix)}%"),
        )


@strawberry.input(description="A span of time.")
class DateTimeFilter:
    gte: dt.datetime | None = strawberry.field(default=UNSET, description="At or after this instant.")
    lt: dt.datetime | None = strawberry.field(default=UNSET, description="Before this instant.")

    def where(self, name: str) -> Where:
        return (*_value(f"{name}_gte", self.gte), *_value(f"{name}_lt", self.lt))


@strawberry.input(description="Which files; all conditions that are given must hold. Without status, AVAILABLE ones.")
class DatumFilter:
    text: str | None = strawberry.field(default=UNSET, description="The name or a tag contains this, in any case.")
    name: StringFilter | None = strawberry.field(default=UNSET, description="Conditions on the name.")
    tags_all: list[str] | None = strawberry.field(default=UNSET, description="Has all of these tags.")
    tags_any: list[str] | None = strawberry.field(default=UNSET, description="Has at least one of these tags.")
    properties: JSON | None = strawberry.field(default=UNSET, description="Its properties contain this JSON object.")
    store: strawberry.ID | None = strawberry.field(default=UNSET, description="Its bytes are in this store.")
    origin: DatumOrigin | None = strawberry.field(default=UNSET, description="It came here this way.")
    md5: str | None = strawberry.field(default=UNSET, description="It has this md5.")
    sha1: str | None = strawberry.field(default=UNSET, description="It has this sha1.")
    sha256: str | None = strawberry.field(default=UNSET, description="It has this sha256.")
    status: list[DatumStatus] | None = strawberry.field(default=UNSET, description="It has one of these statuses.")
    alias: str | None = strawberry.field(default=UNSET, description="The alias of this name points at it now.")
    created_at: DateTimeFilter | None = strawberry.field(default=UNSET, description="When it was announced.")

    def where(self) -> Where:
        text, properties = given(self.text), given(self.properties)
        if properties is not None and not isinstance(properties, dict):
            raise BadUserInputError('properties is not a JSON object, such as {"stage": "raw"}.')
        return (
            *_value("text", text and f"%{like_pattern(text.lower())}%"),
            *(self.name.where("name") if self.name else ()),
            *_values("tags_all", self.tags_all),
            *_values("tags_any", self.tags_any),
            *_value("properties", None if properties is None else _json(properties)),
            *_identity("store", self.store),
            *_value("origin", self.origin),
            *(
                condition
                for name in ("md5", "sha1", "sha256")
                for condition in _value(name, (given(getattr(self, name)) or "").lower() or None)
            ),
            *(_values("status", self.status) or (("status", (DatumStatus.AVAILABLE.value,)),)),
            *_value("alias", self.alias),
            *(self.created_at.where("created_at") if self.created_at else ()),
        )


@strawberry.input(description="Which aliases; all conditions that are given must hold.")
class AliasFilter:
    name: StringFilter | None = strawberry.field(default=UNSET, description="Conditions on the name.")
    datum: strawberry.ID | None = strawberry.field(default=UNSET, description="It points at this file now.")
    include_deleted: bool = strawberry.field(default=False, description="Whether deleted ones count.")

    def where(self) -> Where:
        return (
            *(self.name.where("name") if self.name else ()),
            *_identity("datum", self.datum),
            *(() if self.include_deleted else (("live", None),)),
        )


@strawberry.input(description="Which changes; all conditions that are given must hold.")
class AliasHistoryFilter:
    kinds: list[AliasHistoryKind] | None = strawberry.field(default=UNSET, description="One of these kinds.")
    via: list[AliasHistoryVia] | None = strawberry.field(default=UNSET, description="By one of these ways.")
    actor: strawberry.ID | None = strawberry.field(default=UNSET, description="By this actor.")
    datum: strawberry.ID | None = strawberry.field(default=UNSET, description="From or to this file.")
    execution: strawberry.ID | None = strawberry.field(default=UNSET, description="Made by this execution.")
    change_set: strawberry.ID | None = strawberry.field(default=UNSET, description="Of this change set.")
    at: DateTimeFilter | None = strawberry.field(default=UNSET, description="When it came into force.")

    def where(self) -> Where:
        return (
            *_values("kinds", self.kinds),
            *_values("via", self.via),
            *_identity("actor", self.actor),
            *_identity("datum", self.datum),
            *_identity("execution", self.execution),
            *_identity("change_set", self.change_set),
            *(self.at.where("at") if self.at else ()),
        )


@strawberry.input(description="Which executions; all conditions that are given must hold.")
class ExecutionFilter:
    status: list[ExecutionStatus] | None = strawberry.field(default=UNSET, description="One of these statuses.")
    uses_datum: strawberry.ID | None = strawberry.field(default=UNSET, description="This file is one of its inputs.")
    uses_alias: strawberry.ID | None = strawberry.field(default=UNSET, description="This alias gave one of its inputs.")
    tags_all: list[str] | None = strawberry.field(default=UNSET, description="Has all of these tags.")
    task: strawberry.ID | None = strawberry.field(default=UNSET, description="It belongs to this task.")
    created_at: DateTimeFilter | None = strawberry.field(default=UNSET, description="When it was created.")
    has_warnings: bool | None = strawberry.field(default=UNSET, description="Whether it has warnings.")

    def where(self) -> Where:
        warnings = {True: "has_warnings", False: "has_no_warnings"}.get(given(self.has_warnings))
        return (
            *_values("status", self.status),
            *_identity("uses_datum", self.uses_datum),
            *_identity("uses_alias", self.uses_alias),
            *_values("tags_all", self.tags_all),
            *_identity("task", self.task),
            *(self.created_at.where("created_at") if self.created_at else ()),
            *(((warnings, None),) if warnings else ()),
        )


@strawberry.input(description="An order of files.")
class DatumOrder:
    field: DatumOrderField = strawberry.field(description="What to sort by.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.DESC, description="Which way.")

    @property
    def descending(self) -> bool:
        return self.direction is OrderDirection.DESC


@strawberry.input(description="An order of aliases.")
class AliasOrder:
    field: AliasOrderField = strawberry.field(description="What to sort by.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description="Which way.")

    @property
    def descending(self) -> bool:
        return self.direction is OrderDirection.DESC


@strawberry.input(description="A new project.")
class CreateProjectInput:
    slug: str = strawberry.field(
        description="Its short, unique name: 1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit."
    )
    name: str | None = strawberry.field(default=UNSET, description="Its name for people; the slug if not given.")


@strawberry.input(description="A new token. It can do no more than the one that creates it.")
class CreateTokenInput:
    name: str = strawberry.field(description="Who acts: changes made with the token carry this name.")
    scopes: list[Scope] = strawberry.field(description="What it may do.")
    projects: list[strawberry.ID] | None = strawberry.field(
        default=UNSET, description="The projects it may see; null means all that the caller may see."
    )
    expires_at: dt.datetime | None = strawberry.field(default=UNSET, description="When it ceases to work.")

    def project_ids(self) -> list[UUID] | None:
        return None if given(self.projects) is None else [read_id("project", each) for each in self.projects or ()]


@strawberry.input(description="A token to revoke.")
class RevokeTokenInput:
    id: strawberry.ID = strawberry.field(description="The token's id.")


_PREFIX = "What every key begins with; a folder should end in '/'."
_ENDPOINT = "The address of a store that is not the vendor's own; within the server's network only where allowed."


@strawberry.input(description="A bucket of S3, or of a store that speaks like it.")
class S3StoreInput:
    bucket: str = strawberry.field(description="The bucket's name.")
    prefix: str | None = strawberry.field(default=UNSET, description=_PREFIX)
    region: str | None = strawberry.field(default=UNSET, description="The region; us-east-1 if not given.")
    endpoint_url: str | None = strawberry.field(default=UNSET, description=_ENDPOINT)
    access_key_id: str | None = strawberry.field(default=UNSET, description="The access key's id.")
    secret_access_key: str | None = strawberry.field(default=UNSET, description="The access key; never shown.")

    def spec(self, settings: Settings) -> StoreSpec:
        keys = {"access_key_id": given(self.access_key_id), "secret_access_key": given(self.secret_access_key)}
        if not settings.ambient_credentials and not all(keys.values()):
            raise BadUserInputError(
                "s3 needs accessKeyId and secretAccessKey: the server's own identity may not be used"
                " (WAYMARK_AMBIENT_CREDENTIALS)."
            )
        if any(keys.values()) and not all(keys.values()):
            raise BadUserInputError("s3 has one of accessKeyId and secretAccessKey; give both or neither.")
        config = {
            "bucket": require_text("bucket", self.bucket, longest=255),
            "prefix": _prefix(self.prefix),
            "region": given(self.region),
            "endpoint_url": given(self.endpoint_url),
        }
        return StoreSpec(DataStoreKind.S3, config, {name: key for name, key in keys.items() if key})


@strawberry.input(description="A container of Azure Blob Storage.")
class AzureStoreInput:
    account: str = strawberry.field(description="The storage account.")
    container: str = strawberry.field(description="The container's name.")
    prefix: str | None = strawberry.field(default=UNSET, description=_PREFIX)
    endpoint_url: str | None = strawberry.field(default=UNSET, description=_ENDPOINT)
    account_key: str | None = strawberry.field(default=UNSET, description="The account's key; never shown.")
    sas_token: str | None = strawberry.field(
        default=UNSET,
        description="A SAS token of the container, instead of a key; never shown. Links cannot be signed with it, so"
        " files can be adopted and used, and not uploaded.",
    )

    def spec(self, settings: Settings) -> StoreSpec:
        keys = {"account_key": given(self.account_key), "sas_token": given(self.sas_token)}
        if sum(key is not None for key in keys.values()) != 1:
            raise BadUserInputError("azure needs exactly one of accountKey and sasToken.")
        config = {
            "account": require_text("account", self.account, longest=255),
            "bucket": require_text("container", self.container, longest=255),
            "prefix": _prefix(self.prefix),
            "endpoint_url": given(self.endpoint_url),
        }
        return StoreSpec(DataStoreKind.AZURE, config, {name: key for name, key in keys.items() if key})


@strawberry.input(description="A bucket of Google Cloud Storage.")
class GcsStoreInput:
    bucket: str = strawberry.field(description="The bucket's name.")
    prefix: str | None = strawberry.field(default=UNSET, description=_PREFIX)
    endpoint_url: str | None = strawberry.field(default=UNSET, description=_ENDPOINT)
    service_account_key: JSON | None = strawberry.field(
        default=UNSET, description="A service account's key, the whole JSON object that Google gives; never shown."
    )

    def spec(self, settings: Settings) -> StoreSpec:
        key = given(self.service_account_key)
        if key is None and not settings.ambient_credentials:
            raise BadUserInputError(
                "gcs needs serviceAccountKey: the server's own identity may not be used (WAYMARK_AMBIENT_CREDENTIALS)."
            )
        config = {
            "bucket": require_text("bucket", self.bucket, longest=255),
            "prefix": _prefix(self.prefix),
            "endpoint_url": given(self.endpoint_url),
        }
        return StoreSpec(
            DataStoreKind.GCS, config, {} if key is None else {"service_account_key": _service_account_key(key)}
        )


def _service_account_key(key: object) -> dict[str, str]:
    """What is needed of it; keys of other types would have the server read files and addresses of its own network."""
    parts = key if isinstance(key, dict) else {}
    wanted = ("type", "client_email", "private_key", "token_uri")
    found = {name: parts[name] for name in wanted if isinstance(parts.get(name), str)}
    if found.get("type") != "service_account" or not {"client_email", "private_key"} <= found.keys():
        raise BadUserInputError(
            "serviceAccountKey is no service account's key: expected the JSON object that Google gives, with the type"
            " service_account, client_email and private_key."
        )
    return found


@strawberry.input(description="A container of OpenStack Swift.")
class SwiftStoreInput:
    auth_url: str = strawberry.field(
        description="Keystone's address, which ends in /v3, or TempAuth's, which ends in /v1.0."
    )
    container: str = strawberry.field(description="The container's name.")
    prefix: str | None = strawberry.field(default=UNSET, description=_PREFIX)
    username: str = strawberry.field(description="The user; or the id of an application credential.")
    password: str = strawberry.field(description="Its password or secret; never shown.")
    project: str | None = strawberry.field(
        default=UNSET,
        description="The project; addresses begin with it. With TempAuth, what stands before ':' in the user's name if"
        " not given.",
    )
    domain: str | None = strawberry.field(
        default=UNSET, description="Keystone's domain of user and project; Default if not given."
    )
    region: str | None = strawberry.field(default=UNSET, description="The region, where Keystone knows several.")
    application_credential: bool = strawberry.field(
        default=False, description="Whether username and password are an application credential's id and secret."
    )
    temp_url_key: str | None = strawberry.field(
        default=UNSET,
        description="The key that links are signed with; never shown. The container's own if not given, which is made"
        " if it has none.",
    )

    def spec(self, settings: Settings) -> StoreSpec:
        path = urlsplit(self.auth_url).path.rstrip("/")
        if not path.endswith(("/v3", "/v1.0")):
            raise BadUserInputError(
                f"authUrl is {self.auth_url!r}; expected Keystone's address, such as https://keystone.example.org/v3,"
                " or TempAuth's, such as https://swift.example.org/auth/v1.0."
            )
        project = given(self.project) or (self.username.partition(":")[0] if path.endswith("/v1.0") else None)
        if not project:
            raise BadUserInputError("swift needs project, where authUrl is Keystone's.")
        config = {
            "auth_url": self.auth_url,
            "project": require_text("project", project, longest=255),
            "bucket": require_text("container", self.container, longest=255),
            "prefix": _prefix(self.prefix),
            "domain": given(self.domain),
            "region": given(self.region),
            "application_credential": self.application_credential,
        }
        keys = {"username": self.username, "password": self.password, "temp_url_key": given(self.temp_url_key)}
        return StoreSpec(DataStoreKind.SWIFT, config, {name: key for name, key in keys.items() if key})


@strawberry.input(description="A folder of the server's machine, below one that its operator has named.")
class LocalStoreInput:
    path: str = strawberry.field(description="The folder; symbolic links in it are followed before it is judged.")

    def spec(self, settings: Settings) -> StoreSpec:
        path = Path(self.path)
        real = Path(os.path.realpath(path))
        if not path.is_absolute() or not any(
            real.is_relative_to(os.path.realpath(root)) for root in settings.local_store_roots
        ):
            raise BadUserInputError(
                f"path is {self.path!r}, which is not below a folder that the operator has named"
                " (WAYMARK_LOCAL_STORE_ROOTS)."
            )
        return StoreSpec(DataStoreKind.LOCAL, {"path": str(real)}, {})


def _prefix(text: str | None) -> str:
    prefix: str = given(text) or ""
    if len(prefix) > 512 or prefix.startswith("/") or "//" in prefix or not prefix.isprintable():
        raise BadUserInputError(f"prefix is {prefix!r}; expected a form such as 'team/', 512 characters at most.")
    return prefix


def _one_kind(
    settings: Settings,
    kinds: Mapping[str, S3StoreInput | AzureStoreInput | GcsStoreInput | SwiftStoreInput | LocalStoreInput | None],
) -> StoreSpec | None:
    chosen = {name: value for name, value in kinds.items() if given(value) is not None}
    if len(chosen) > 1:
        raise BadUserInputError(f"Give exactly one kind of store, not {' and '.join(sorted(chosen))}.")
    return next((value.spec(settings) for value in chosen.values() if value), None)


@strawberry.input(description="A new store: exactly one kind. It is tried out before it is kept.")
class CreateDataStoreInput:
    project: strawberry.ID = strawberry.field(description="The project.")
    name: str = strawberry.field(description="Its name, unique in the project.")
    is_default: bool = strawberry.field(default=False, description="Whether new files go here unless a store is named.")
    s3: S3StoreInput | None = strawberry.field(default=UNSET, description="A bucket of S3.")
    azure: AzureStoreInput | None = strawberry.field(default=UNSET, description="A container of Azure.")
    gcs: GcsStoreInput | None = strawberry.field(default=UNSET, description="A bucket of Google Cloud Storage.")
    swift: SwiftStoreInput | None = strawberry.field(default=UNSET, description="A container of OpenStack Swift.")
    local: LocalStoreInput | None = strawberry.field(default=UNSET, description="A local folder.")

    def spec(self, settings: Settings) -> StoreSpec:
        kinds = {"s3": self.s3, "azure": self.azure, "gcs": self.gcs, "swift": self.swift, "local": self.local}
        spec = _one_kind(settings, kinds)
        if spec is None:
            raise BadUserInputError(f"Give exactly one kind of store: {', '.join(kinds)}.")
        return spec


@strawberry.input(description="Changes of a store, which stays the same place for the same bytes.")
class UpdateDataStoreInput:
    id: strawberry.ID = strawberry.field(description="The store.")
    name: str | None = strawberry.field(default=UNSET, description="A new name.")
    is_default: bool | None = strawberry.field(default=UNSET, description="Whether new files go here.")
    s3: S3StoreInput | None = strawberry.field(default=UNSET, description="The same bucket with other credentials.")
    azure: AzureStoreInput | None = strawberry.field(
        default=UNSET, description="The same container with other credentials."
    )
    gcs: GcsStoreInput | None = strawberry.field(default=UNSET, description="The same bucket with another key.")
    swift: SwiftStoreInput | None = strawberry.field(
        default=UNSET, description="The same container with other credentials."
    )

    def spec(self, settings: Settings) -> StoreSpec | None:
        return _one_kind(settings, {"s3": self.s3, "azure": self.azure, "gcs": self.gcs, "swift": self.swift})


@strawberry.input(description="A store to try out.")
class CheckDataStoreInput:
    id: strawberry.ID = strawberry.field(description="The store.")


@strawberry.input(description="A file that is about to be sent.")
class RequestUploadInput:
    project: strawberry.ID = strawberry.field(description="The project that it shall belong to.")
    store: strawberry.ID | None = strawberry.field(
        default=UNSET, description="The store; the default one if not given."
    )
    name: str = strawberry.field(description="The file's name, folders in it parted by '/'.")
    size: BigInt = strawberry.field(description="In bytes.")
    media_type: str | None = strawberry.field(default=UNSET, description="Such as text/csv.")
    md5: str | None = strawberry.field(default=UNSET, description="The md5 if known, in hexadecimal; checked.")
    sha1: str | None = strawberry.field(default=UNSET, description="The sha1 if known, in hexadecimal; checked.")
    sha256: str | None = strawberry.field(default=UNSET, description="The sha256 if known, in hexadecimal; checked.")
    tags: list[str] | None = strawberry.field(default=UNSET, description="Labels to find it by.")
    properties: JSON | None = strawberry.field(default=UNSET, description="A JSON object that describes it.")
    execution: strawberry.ID | None = strawberry.field(
        default=UNSET, description="The execution that it is an output of; from its worker, with the lease."
    )
    lease: strawberry.ID | None = strawberry.field(default=UNSET, description="The lease of that execution.")
    idempotency_key: str | None = strawberry.field(default=UNSET, description=_IDEMPOTENCY_KEY)

    def announcement(self) -> Announcement:
        return Announcement(
            name=self.name,
            size=int(self.size),
            media_type=given(self.media_type),
            expected=_expected(self),
            tags=given(self.tags) or [],
            properties=given_object(self.properties),
        )


def _expected(hashes: Any) -> Expected:
    """The hashes of an input; upper-case digits are as good."""
    return Expected(
        **{
            name: value and value.lower()
            for name in ("md5", "sha1", "sha256")
            for value in [given(getattr(hashes, name))]
        }
    )


@strawberry.input(description="A part that was sent.")
class CompletedPart:
    number: int = strawberry.field(description="Counted from 1.")
    etag: str | None = strawberry.field(default=UNSET, description="What the store answered.")


@strawberry.input(description="An upload whose parts have all been sent.")
class CompleteUploadInput:
    upload: strawberry.ID = strawberry.field(description="The upload.")
    parts: list[CompletedPart] | None = strawberry.field(
        default=UNSET, description="What was sent; the server's own listing of the parts decides."
    )
    md5: str | None = strawberry.field(default=UNSET, description="The md5 if known by now; checked.")
    sha1: str | None = strawberry.field(default=UNSET, description="The sha1 if known by now; checked.")
    sha256: str | None = strawberry.field(default=UNSET, description="The sha256 if known by now; checked.")
    alias: str | None = strawberry.field(
        default=UNSET,
        description="An alias to point at the file in the same transaction; at an execution's output, once that has"
        " completed.",
    )
    reason: str | None = strawberry.field(default=UNSET, description=_REASON)
    lease: strawberry.ID | None = strawberry.field(
        default=UNSET, description="The lease of the execution that it is an output of."
    )
    idempotency_key: str | None = strawberry.field(default=UNSET, description=_IDEMPOTENCY_KEY)

    def expected(self) -> Expected:
        return _expected(self)


@strawberry.input(description="An upload to give up.")
class AbortUploadInput:
    upload: strawberry.ID = strawberry.field(description="The upload.")


@strawberry.input(description="An object that is in a store of the project already.")
class AdoptDatumInput:
    project: strawberry.ID = strawberry.field(description="The project.")
    reference: str = strawberry.field(description="The object's address, such as s3://bucket/key.")
    name: str | None = strawberry.field(default=UNSET, description="The file's name; the key's last part if not given.")
    tags: list[str] | None = strawberry.field(default=UNSET, description="Labels to find it by.")
    properties: JSON | None = strawberry.field(default=UNSET, description="A JSON object that describes it.")
    alias: str | None = strawberry.field(
        default=UNSET, description="An alias to point at the file in the same transaction."
    )

    def address(self) -> Reference:
        reference = parse_reference(self.reference)
        if reference.address is None or reference.address.is_pattern:
            raise BadUserInputError(f"{reference.text!r} is no address of one object, such as s3://bucket/key.")
        return reference


@strawberry.input(description="New descriptions of a file.")
class UpdateDatumInput:
    id: strawberry.ID = strawberry.field(description="The file.")
    add_tags: list[str] | None = strawberry.field(default=UNSET, description="Tags to add.")
    remove_tags: list[str] | None = strawberry.field(default=UNSET, description="Tags to remove.")
    set_properties: JSON | None = strawberry.field(
        default=UNSET, description="A JSON object; its members replace those of the same name."
    )
    remove_properties: list[str] | None = strawberry.field(default=UNSET, description="Names of members to remove.")


@strawberry.input(
    description="A file whose bytes to give up. Refused with ALIAS_IN_USE while aliases point here or unfinished"
    " executions pin it, unless forced."
)
class PurgeDatumInput:
    id: strawberry.ID = strawberry.field(description="The file.")
    reason: str = strawberry.field(description="Why, kept with the file's record.")
    force: bool = strawberry.field(default=False, description="Purge it even if it is in use; needs scope ADMIN.")


def _expectation(version: Any, datum: Maybe[strawberry.ID | None]) -> Expectation:
    if datum is None:
        return Expectation(given(version))
    if datum.value is not None and find_id(datum.value) is None:
        raise BadUserInputError(f"expectedDatumId is {datum.value!r}, which is no id.")
    return Expectation(given(version), True, None if datum.value is None else find_id(datum.value))


@strawberry.input(description="A move of one alias; makes the alias if there is none.")
class SetAliasInput:
    project: strawberry.ID = strawberry.field(description="The project.")
    name: str = strawberry.field(description=_NAME)
    datum: str = strawberry.field(description="The file: an id or any datum:// reference.")
    expected_version: int | None = strawberry.field(default=UNSET, description=_EXPECTED_VERSION)
    expected_datum_id: Maybe[strawberry.ID | None] = strawberry.field(
        description="Change only if the alias points at this file; null: only if it points nowhere."
    )
    reason: str | None = strawberry.field(default=UNSET, description=_REASON)
    idempotency_key: str | None = strawberry.field(default=UNSET, description=_IDEMPOTENCY_KEY)

    def move(self) -> Move:
        return Move(self.name, parse_datum(self.datum), _expectation(self.expected_version, self.expected_datum_id))


@strawberry.input(description="One of several moves.")
class AliasMove:
    name: str = strawberry.field(description=_NAME)
    datum: str = strawberry.field(
        description="The file: an id or any datum:// reference; an alias means what it meant before the call."
    )
    expected_version: int | None = strawberry.field(default=UNSET, description=_EXPECTED_VERSION)
    expected_datum_id: Maybe[strawberry.ID | None] = strawberry.field(
        description="Change only if the alias points at this file; null: only if it points nowhere."
    )

    def move(self) -> Move:
        return Move(self.name, parse_datum(self.datum), _expectation(self.expected_version, self.expected_datum_id))


@strawberry.input(description="Moves of several aliases, all or nothing, in one change set.")
class SetAliasesInput:
    project: strawberry.ID = strawberry.field(description="The project.")
    moves: list[AliasMove] = strawberry.field(description="The moves; each alias at most once.")
    reason: str | None = strawberry.field(default=UNSET, description=_REASON)
    idempotency_key: str | None = strawberry.field(default=UNSET, description=_IDEMPOTENCY_KEY)


@strawberry.input(
    description="A way back: to a version, or without one to the version before the one in force, following"
    " rolledBackTo, so that repeating it goes further back."
)
class RollbackAliasInput:
    project: strawberry.ID = strawberry.field(description="The project.")
    name: str = strawberry.field(description="The alias's name.")
    to_version: int | None = strawberry.field(default=UNSET, description="The version to return to.")
    expected_version: int | None = strawberry.field(default=UNSET, description=_EXPECTED_VERSION)
    reason: str | None = strawberry.field(default=UNSET, description=_REASON)
    idempotency_key: str | None = strawberry.field(default=UNSET, description=_IDEMPOTENCY_KEY)


@strawberry.input(description="An alias to point nowhere; its history stays.")
class DeleteAliasInput:
    project: strawberry.ID = strawberry.field(description="The project.")
    name: str = strawberry.field(description="The alias's name.")
    expected_version: int | None = strawberry.field(default=UNSET, description=_EXPECTED_VERSION)
    reason: str | None = strawberry.field(default=UNSET, description=_REASON)
    idempotency_key: str | None = strawberry.field(default=UNSET, description=_IDEMPOTENCY_KEY)


@strawberry.input(description="A named input, by references that are resolved and pinned at creation.")
class ExecutionInputSpec:
    name: str = strawberry.field(description="The input's name, unique in its execution.")
    references: list[str] = strawberry.field(description="Its files: datum://<id> or datum://<alias>.")
    filename: str | None = strawberry.field(default=UNSET, description="What the command shall see a single file as.")
    keep_directories: KeepDirectories = strawberry.field(
        default=KeepDirectories.NONE, description="How much of a file's path in its store the command sees."
    )
    optional: bool = strawberry.field(default=False, description="Whether it may have no references.")

    def spec(self) -> InputSpec:
        return InputSpec(self.name, self.references, given(self.filename), self.keep_directories.value, self.optional)


@strawberry.input(description="A variable that the command shall see.")
class EnvironmentVariableInput:
    name: str = strawberry.field(description="The variable's name.")
    value: str = strawberry.field(description="Its value.")
    secret: bool = strawberry.field(default=False, description="Whether to keep the value encrypted and never show it.")


@strawberry.input(description="A folder that the command shall see.")
class MountInput:
    source: str = strawberry.field(description="What is mounted.")
    destination: str = strawberry.field(description="Where the command shall see it.")
    type: str | None = strawberry.field(default=UNSET, description="The kind of mount, such as nfs.")
    read_only: bool = strawberry.field(default=False, description="Whether the command may not write to it.")
    options: JSON | None = strawberry.field(default=UNSET, description="Further options, as a JSON object.")

    def plain(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "destination": self.destination,
            "type": given(self.type),
            "read_only": self.read_only,
            "options": given(self.options) or {},
        }


@strawberry.input(description="A new execution. What its references mean in this instant is what it uses.")
class CreateExecutionInput:
    project: strawberry.ID = strawberry.field(description="The project.")
    title: str | None = strawberry.field(default=UNSET, description="A title for people.")
    config: str | None = strawberry.field(default=UNSET, description="The text of a valohai.yaml.")
    step: str | None = strawberry.field(
        default=UNSET,
        description="The step it runs. With config, it gives command, image and defaults; what is given here wins.",
    )
    image: str | None = strawberry.field(default=UNSET, description="The container image to run it in.")
    command: list[str] | None = strawberry.field(default=UNSET, description="The command's lines.")
    inputs: list[ExecutionInputSpec] | None = strawberry.field(default=UNSET, description="Its inputs.")
    parameters: JSON | None = strawberry.field(default=UNSET, description="A JSON object of parameter values.")
    environment: list[EnvironmentVariableInput] | None = strawberry.field(
        default=UNSET, description="Variables that the command sees."
    )
    tags: list[str] | None = strawberry.field(default=UNSET, description="Labels to find it by.")
    mounts: list[MountInput] | None = strawberry.field(default=UNSET, description="Folders that the command sees.")
    labels: list[str] | None = strawberry.field(default=UNSET, description="Which workers may take it.")
    priority: int = strawberry.field(default=0, description="Higher ones are taken first.")
    time_limit: int | None = strawberry.field(default=UNSET, description="Seconds that it may run.")
    store: strawberry.ID | None = strawberry.field(default=UNSET, description="Where its outputs go.")
    idempotency_key: str | None = strawberry.field(default=UNSET, description=_IDEMPOTENCY_KEY)

    def spec(self) -> ExecutionSpec:
        return ExecutionSpec(
            command=given(self.command) or [],
            title=given(self.title),
            step=given(self.step),
            image=given(self.image),
            inputs=[each.spec() for each in given(self.inputs) or ()],
            parameters=given_object(self.parameters),
            environment=[
                EnvironmentVariable(each.name, each.value, each.secret) for each in given(self.environment) or ()
            ],
            tags=given(self.tags) or [],
            mounts=[each.plain() for each in given(self.mounts) or ()],
            labels=given(self.labels) or [],
            priority=self.priority,
            time_limit=given(self.time_limit),
            store_id=None if given(self.store) is None else read_id("store", self.store or ""),
        )


@strawberry.input(description="A new task: one execution per parameter set; aliases are resolved once for all of them.")
class CreateTaskInput:
    project: strawberry.ID = strawberry.field(description="The project.")
    title: str | None = strawberry.field(default=UNSET, description="A title for people.")
    template: CreateExecutionInput = strawberry.field(
        description="What its executions have in common: of the same project, and without an idempotencyKey of its own."
    )
    task: str | None = strawberry.field(
        default=UNSET,
        description="A task of the template's config: its step, its parameter sets (a grid, random values or a list),"
        " how many run at once and whether a failure stops all, as far as it is not said here.",
    )
    parameter_sets: list[JSON] = strawberry.field(
        default_factory=list,
        description="A JSON object for each execution; its values go over the template's parameters.",
    )
    max_concurrent: int | None = strawberry.field(
        default=UNSET,
        description="How many of its executions may run at once; as many as there are workers if not said.",
    )
    on_child_error: OnChildError = strawberry.field(
        default=OnChildError.CONTINUE, description="What happens when one of its executions fails."
    )
    idempotency_key: str | None = strawberry.field(default=UNSET, description=_IDEMPOTENCY_KEY)

    def execution_spec(self) -> ExecutionSpec:
        if read_id("project", self.template.project) != read_id("project", self.project):
            raise BadUserInputError("template.project is another project than the task's; give the same.")
        if given(self.template.idempotency_key) is not None:
            raise BadUserInputError("template.idempotencyKey means nothing; give createTask's own idempotencyKey.")
        return self.template.spec()


@strawberry.input(
    description="A copy. Inputs and parameters given here replace those of the same name; the rest keep their pins"
    " unless reresolve."
)
class CopyExecutionInput:
    execution: strawberry.ID = strawberry.field(description="The execution to copy.")
    title: str | None = strawberry.field(default=UNSET, description="A title; the original's if not given.")
    reresolve: bool = strawberry.field(
        default=False, description="Whether to take the files that the references mean now."
    )
    inputs: list[ExecutionInputSpec] | None = strawberry.field(
        default=UNSET, description="Inputs to replace, by name, or to add."
    )
    parameters: JSON | None = strawberry.field(default=UNSET, description="Parameters to replace or to add.")
    idempotency_key: str | None = strawberry.field(default=UNSET, description=_IDEMPOTENCY_KEY)


@strawberry.input(description="An execution to stop.")
class StopExecutionInput:
    execution: strawberry.ID = strawberry.field(description="The execution.")


@strawberry.input(description="A worker that is ready for an execution.")
class ClaimExecutionInput:
    worker: str = strawberry.field(description="The worker's name, for people.")
    labels: list[str] = strawberry.field(
        default_factory=list, description="What it offers; it gets executions whose labels are all among these."
    )
    image_only: bool = strawberry.field(
        default=False, description="Whether it runs commands in containers alone, and gets only what names an image."
    )


@strawberry.input(description="A lease to keep.")
class ExtendLeaseInput:
    execution: strawberry.ID = strawberry.field(description="The execution.")
    lease: strawberry.ID = strawberry.field(description="The lease.")


@strawberry.input(description="A line of a log.")
class LogLineInput:
    sequence: int = strawberry.field(description="Its number, one more than that of the line before.")
    at: dt.datetime = strawberry.field(description="When it was written.")
    stream: LogStream = strawberry.field(description="Where.")
    message: str = strawberry.field(description="The line, without its end.")


@strawberry.input(description="Lines of an execution's log; one that came already is not kept twice.")
class AppendLogsInput:
    execution: strawberry.ID = strawberry.field(description="The execution.")
    lease: strawberry.ID = strawberry.field(description="The lease.")
    lines: list[LogLineInput] = strawberry.field(description="The lines, at most 1,000.")

    def records(self, execution_id: UUID) -> list[logs.LogLine]:
        for line in self.lines:
            if line.at.tzinfo is None or not line.sequence >= 1:
                raise BadUserInputError(f"Line {line.sequence}: expected a number from 1, and a time with its zone.")
        return [logs.LogLine(execution_id, line.sequence, line.at, line.stream, line.message) for line in self.lines]


@strawberry.input(description="A file of an input, as it was found.")
class FoundInputFile:
    input: str = strawberry.field(description="The input's name.")
    position: int = strawberry.field(description="The file's place among the input's, from 0.")
    md5: str = strawberry.field(description="In hexadecimal.")
    sha1: str = strawberry.field(description="In hexadecimal.")
    sha256: str = strawberry.field(description="In hexadecimal.")


@strawberry.input(description="What a worker found the files of the inputs to be.")
class ReportInputsInput:
    execution: strawberry.ID = strawberry.field(description="The execution.")
    lease: strawberry.ID = strawberry.field(description="The lease.")
    files: list[FoundInputFile] = strawberry.field(description="The files, at most 1,000.")

    def records(self) -> list[executions.FoundInput]:
        if len(self.files) > logs.MOST_LINES:
            raise BadUserInputError(f"files has {len(self.files)} entries; expected at most {logs.MOST_LINES}.")
        for file in self.files:
            require_hashes(Expected(file.md5, file.sha1, file.sha256))
        return [
            executions.FoundInput(file.input, file.position, file.md5, file.sha1, file.sha256) for file in self.files
        ]


@strawberry.input(description="What is said of an output that was stored before it was said.")
class DescribeOutputInput:
    execution: strawberry.ID = strawberry.field(description="The execution.")
    lease: strawberry.ID = strawberry.field(description="The lease.")
    datum: strawberry.ID = strawberry.field(description="The output.")
    tags: list[str] = strawberry.field(default_factory=list, description="Tags to add.")
    properties: JSON | None = strawberry.field(default=UNSET, description="Properties to set.")
    alias: str | None = strawberry.field(
        default=UNSET, description="The alias to point at it once the execution completes; none if not given."
    )


@strawberry.input(description="Something that an execution's user should know.")
class ExecutionWarningInput:
    code: ExecutionWarningCode = strawberry.field(description="What kind of warning it is.")
    message: str = strawberry.field(description="What happened.")
    file: str | None = strawberry.field(default=UNSET, description="The file it is about.")
    key: str | None = strawberry.field(default=UNSET, description="The key in that file it is about.")

    def record(self) -> executions.Warned:
        return executions.Warned(
            executions.WarningCode(self.code),
            require_text("message", self.message, longest=4000),
            given(self.file),
            given(self.key),
        )


@strawberry.input(description="How an execution ended.")
class FinishExecutionInput:
    execution: strawberry.ID = strawberry.field(description="The execution.")
    lease: strawberry.ID = strawberry.field(description="The lease.")
    exit_code: int | None = strawberry.field(
        default=UNSET, description="What the command returned; null if it could not be run. 0 completes the execution."
    )
    warnings: list[ExecutionWarningInput] = strawberry.field(
        default_factory=list, description="What its user should know."
    )


def _json(value: dict[str, Any]) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:
        raise BadUserInputError(f"properties cannot be read as JSON: {error}.") from error
