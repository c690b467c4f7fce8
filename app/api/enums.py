"""The schema's enums: the domain's own, with what they mean."""

from __future__ import annotations

from enum import EnumMeta, StrEnum

import strawberry

from app.domain.access import Scope
from app.domain.access import Via as AliasHistoryVia
from app.domain.aliases import ChangeKind as AliasHistoryKind
from app.domain.data_stores import DataStoreKind
from app.domain.datums import ChecksumEvidence, DatumOrigin, DatumStatus
from app.domain.executions import ExecutionStatus, KeepDirectories
from app.domain.executions import WarningCode as ExecutionWarningCode
from app.domain.lineage import Direction as LineageDirection
from app.domain.lineage import EdgeKind as LineageEdgeKind
from app.domain.logs import LogStream
from app.domain.tasks import OnChildError, TaskStatus

__all__ = [
    "AliasHistoryKind",
    "AliasHistoryVia",
    "AliasOrderField",
    "ChecksumEvidence",
    "DataStoreKind",
    "DatumOrderField",
    "DatumOrigin",
    "DatumStatus",
    "ExecutionStatus",
    "ExecutionWarningCode",
    "KeepDirectories",
    "LineageDirection",
    "LineageEdgeKind",
    "LogStream",
    "OnChildError",
    "OrderDirection",
    "Scope",
    "TaskStatus",
]


class OrderDirection(StrEnum):
    ASC = "ASC"
    DESC = "DESC"


class DatumOrderField(StrEnum):
    CREATED_AT = "CREATED_AT"
    NAME = "NAME"
    SIZE = "SIZE"


class AliasOrderField(StrEnum):
    NAME = "NAME"
    UPDATED_AT = "UPDATED_AT"


def _describe(enum: EnumMeta, name: str, description: str, values: dict[str, str]) -> None:
    """Makes an enum one of the schema's; the domain, whose it is, does not know that there is a GraphQL."""
    strawberry.enum(enum, name=name, description=description)
    for value in vars(enum)["__strawberry_definition__"].values:
        value.description = values[value.name]


_describe(
    Scope,
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

_describe(
    DataStoreKind,
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

_describe(
    DatumOrigin,
    "DatumOrigin",
    "How a file came here.",
    {
        "UPLOAD": "Somebody uploaded it.",
        "EXECUTION": "An execution made it.",
        "ADOPTED": "It was in a store already.",
    },
)

_describe(
    DatumStatus,
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

_describe(
    ChecksumEvidence,
    "ChecksumEvidence",
    "DECLARED by the client, ATTESTED by the store, or VERIFIED by reading the bytes.",
    {
        "DECLARED": "The client said so.",
        "ATTESTED": "The store said so.",
        "VERIFIED": "Waymark read the bytes and found so.",
    },
)

_describe(
    AliasHistoryKind,
    "AliasHistoryKind",
    "What kind of change it was.",
    {
        "CREATED": "From pointing nowhere to a file.",
        "MOVED": "From a file to another.",
        "ROLLED_BACK": "Back to the file of an earlier version.",
        "DELETED": "From a file to pointing nowhere.",
    },
)

_describe(
    AliasHistoryVia,
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

_describe(
    ExecutionStatus,
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

_describe(
    LogStream,
    "LogStream",
    "Where a line of a log came from.",
    {
        "STATUS": "Waymark's own words.",
        "STDOUT": "The command's output.",
        "STDERR": "The command's errors.",
    },
)

_describe(
    KeepDirectories,
    "KeepDirectories",
    "How much of a file's path in its store the command sees.",
    {
        "NONE": "The file's name alone.",
        "SUFFIX": "The path below the part without wildcards.",
        "FULL": "The whole path.",
    },
)

_describe(
    ExecutionWarningCode,
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


_describe(
    LineageDirection,
    "LineageDirection",
    "Which way lineage is walked.",
    {
        "UPSTREAM": "What it came from.",
        "DOWNSTREAM": "What came of it.",
        "BOTH": "Both.",
    },
)

_describe(
    LineageEdgeKind,
    "LineageEdgeKind",
    "How a file and an execution belong together.",
    {
        "INPUT": "The execution used the file.",
        "OUTPUT": "The execution made the file.",
    },
)

_describe(
    TaskStatus,
    "TaskStatus",
    "How far a task's executions are.",
    {
        "RUNNING": "Some are still to end.",
        "STOPPING": "Those that are still to end are stopping.",
        "STOPPED": "All have ended, none of them failed, some were stopped.",
        "ERROR": "All have ended, some of them failed.",
        "COMPLETE": "All have ended well.",
    },
)

_describe(
    OnChildError,
    "OnChildError",
    "What happens to a task's other executions when one fails.",
    {"CONTINUE": "They go on.", "STOP_ALL": "They are stopped."},
)

_describe(
    OrderDirection,
    "OrderDirection",
    "A direction of sorting.",
    {
        "ASC": "The smallest, first or earliest at the top.",
        "DESC": "The largest, last or newest at the top.",
    },
)

_describe(
    DatumOrderField,
    "DatumOrderField",
    "What files can be sorted by.",
    {"CREATED_AT": "When it was announced.", "NAME": "The file's name.", "SIZE": "Its bytes."},
)

_describe(
    AliasOrderField,
    "AliasOrderField",
    "What aliases can be sorted by.",
    {"NAME": "The alias's name.", "UPDATED_AT": "When it last changed."},
)
