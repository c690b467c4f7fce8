"""The schema's enums: the domain's own, with what they mean."""

from __future__ import annotations

from enum import Enum, EnumMeta
from typing import TypeVar

import strawberry

from app.domain import access, aliases, data_stores, datums, executions

EnumType = TypeVar("EnumType", bound=EnumMeta)


def _described(enum: EnumType, name: str, description: str, values: dict[str, str]) -> EnumType:
    """A GraphQL enum of a domain enum; the domain does not know that there is a GraphQL."""
    described = strawberry.enum(enum, name=name, description=description)
    definition = described.__strawberry_definition__  # type: ignore[attr-defined]
    for value in definition.values:
        value.description = values[value.name]
    return described


Scope = _described(
    access.Scope,
    "Scope",
    "What a token may do. READ sees; WRITE also changes data and aliases, and creates, copies and stops executions;"
    " EXECUTE claims and reports executions; ADMIN also manages projects, stores, tokens and forced purges.",
    {
        "READ": "Sees everything in its projects.",
        "WRITE": "Also changes data and aliases, and creates, copies and stops executions.",
        "EXECUTE": "Sees, and claims and reports executions.",
        "ADMIN": "Does all of it, and manages projects, stores, tokens and forced purges.",
    },
)

DataStoreKind = _described(
    data_stores.DataStoreKind,
    "DataStoreKind",
    "A kind of data store.",
    {
        "S3": "Amazon S3 or what speaks its protocol.",
        "AZURE": "Azure Blob Storage.",
        "GCS": "Google Cloud Storage.",
        "SWIFT": "OpenStack Swift.",
        "LOCAL": "A folder on the server's machine.",
    },
)

DatumOrigin = _described(
    datums.DatumOrigin,
    "DatumOrigin",
    "How a file came here.",
    {
        "UPLOAD": "Somebody uploaded it.",
        "EXECUTION": "An execution made it.",
        "ADOPTED": "It was in a store already.",
    },
)

DatumStatus = _described(
    datums.DatumStatus,
    "DatumStatus",
    "PENDING until its bytes are there and checked; EXPIRED when they never came; CORRUPT when a check found other"
    " bytes.",
    {
        "PENDING": "Its bytes have not arrived, or are not checked yet.",
        "AVAILABLE": "Its bytes are there, with the size and hashes it has here.",
        "CORRUPT": "A check found other bytes.",
        "EXPIRED": "Its bytes never came, or its upload was aborted.",
        "PURGED": "Its bytes were given up; its record, history and lineage stay.",
    },
)

ChecksumEvidence = _described(
    datums.ChecksumEvidence,
    "ChecksumEvidence",
    "DECLARED by the client, ATTESTED by the store, or VERIFIED by reading the bytes.",
    {
        "DECLARED": "The client said so.",
        "ATTESTED": "The store said so.",
        "VERIFIED": "Waymark read the bytes and found so.",
    },
)

AliasHistoryKind = _described(
    aliases.ChangeKind,
    "AliasHistoryKind",
    "What kind of change it was.",
    {
        "CREATED": "From pointing nowhere to a file.",
        "MOVED": "From a file to another.",
        "ROLLED_BACK": "Back to the file of an earlier version.",
        "DELETED": "From a file to pointing nowhere.",
    },
)

AliasHistoryVia = _described(
    access.Via,
    "AliasHistoryVia",
    "By which way a change came: declared by the client in the header X-Waymark-Via, except EXECUTION, which the server"
    " alone writes.",
    {
        "API": "A script or program.",
        "CLI": "The command line.",
        "CONSOLE": "The web console.",
        "EXECUTION": "The completion of an execution.",
    },
)

ExecutionStatus = _described(
    executions.ExecutionStatus,
    "ExecutionStatus",
    "How far an execution is.",
    {
        "CREATED": "Its inputs are pinned.",
        "QUEUED": "It waits for a worker.",
        "STARTED": "A worker runs it.",
        "STOPPING": "Its worker has been told to stop it.",
        "STOPPED": "It was stopped.",
        "ERROR": "It failed.",
        "COMPLETE": "It succeeded.",
    },
)

KeepDirectories = _described(
    executions.KeepDirectories,
    "KeepDirectories",
    "How much of a file's path in its store the command sees.",
    {
        "NONE": "The file's name alone.",
        "SUFFIX": "The path below the part without wildcards.",
        "FULL": "The whole path.",
    },
)

ExecutionWarningCode = _described(
    executions.WarningCode,
    "ExecutionWarningCode",
    "A kind of warning.",
    {
        "INPUT_CHANGED": "An input's content is not what it was when the project last used it.",
        "SIDECAR_INVALID": "An output's metadata could not be read.",
        "SIDECAR_UNKNOWN_KEY": "An output's metadata has a key that means nothing.",
        "MOUNT_IGNORED": "A mount was not offered to the command.",
        "LOG_LIMITED": "The command wrote more than is kept.",
    },
)


@strawberry.enum(description="A direction of sorting.")
class OrderDirection(Enum):
    ASC = strawberry.enum_value("ASC", description="The smallest, first or earliest at the top.")
    DESC = strawberry.enum_value("DESC", description="The largest, last or newest at the top.")


@strawberry.enum(description="What files can be sorted by.")
class DatumOrderField(Enum):
    CREATED_AT = strawberry.enum_value("CREATED_AT", description="When it was announced.")
    NAME = strawberry.enum_value("NAME", description="The file's name.")
    SIZE = strawberry.enum_value("SIZE", description="Its bytes.")


@strawberry.enum(description="What aliases can be sorted by.")
class AliasOrderField(Enum):
    NAME = strawberry.enum_value("NAME", description="The alias's name.")
    UPDATED_AT = strawberry.enum_value("UPDATED_AT", description="When it last changed.")
