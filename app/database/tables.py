"""Every table, once. Statements are built from these, and the migrations are checked against them.

Rows that belong to a project carry `project_id`, and refer to each other by (project_id, id), so that the database
itself keeps any row from pointing into another project.
"""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, BOOLEAN, JSONB

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)


def _id() -> Column[object]:
    return Column("id", Uuid, server_default=text("uuidv7()"), nullable=False)


def _moment(name: str = "created_at", *, nullable: bool = False) -> Column[object]:
    default = None if nullable else text("clock_timestamp()")
    return Column(name, DateTime(timezone=True), server_default=default, nullable=nullable)


def _by(name: str = "created_by") -> Column[object]:
    return Column(name, Uuid, ForeignKey("actor.id"))


def _project() -> Column[object]:
    return Column("project_id", Uuid, ForeignKey("project.id"), nullable=False)


def _project_of_owner() -> Column[object]:
    """Of a row whose owner, to which it has a foreign key, is in that project."""
    return Column("project_id", Uuid, nullable=False)


def _within_project(column: str, table: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["project_id", column], [f"{table}.project_id", f"{table}.id"])


def _texts(name: str) -> Column[object]:
    return Column(name, ARRAY(Text), server_default=text("'{}'"), nullable=False)


def _object(name: str) -> Column[object]:
    return Column(name, JSONB, server_default=text("'{}'"), nullable=False)


def _feed_position() -> Column[object]:
    """Where subscriptions find the row; the newest `feed_cluster`'s base is added to the default."""
    return Column("feed_position", BIGINT, server_default=text("pg_current_xact_id()::text::bigint"), nullable=False)


#: Who does things. Tokens of the same name that one actor created act as one actor, so that replacing a token
#: does not split the history.
actor = Table(
    "actor",
    metadata,
    _id(),
    Column("name", Text, nullable=False),
    Column("owner_id", Uuid, ForeignKey("actor.id")),
    _moment(),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("owner_id", "name", postgresql_nulls_not_distinct=True),
)

token = Table(
    "token",
    metadata,
    _id(),
    Column("actor_id", Uuid, ForeignKey("actor.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    # null means every project, also those to come
    Column("project_ids", ARRAY(Uuid)),
    _moment(),
    _by(),
    _moment("last_used_at", nullable=True),
    _moment("expires_at", nullable=True),
    _moment("revoked_at", nullable=True),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("secret_hash"),
    Index(None, "actor_id"),
)

#: People in the console: a secret of the session stands for the token. That of a link is good for one session.
session = Table(
    "session",
    metadata,
    _id(),
    Column("token_id", Uuid, ForeignKey("token.id"), nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("is_link", BOOLEAN, nullable=False),
    _moment(),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("secret_hash"),
    Index(None, "expires_at"),
)

project = Table(
    "project",
    metadata,
    _id(),
    Column("slug", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("last_execution_number", Integer, server_default=text("0"), nullable=False),
    Column("last_task_number", Integer, server_default=text("0"), nullable=False),
    _moment(),
    _by(),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("slug"),
)

data_store = Table(
    "data_store",
    metadata,
    _id(),
    # null: the server's own, for projects that have none
    Column("project_id", Uuid, ForeignKey("project.id")),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("is_default", BOOLEAN, nullable=False),
    _object("config"),
    # what references to its objects begin with, such as s3://bucket
    Column("address", Text),
    # a JSON object, encrypted
    Column("credentials", Text),
    _moment(),
    _by(),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("project_id", "name", postgresql_nulls_not_distinct=True),
    Index(None, "project_id", "address"),
    CheckConstraint("kind IN ('S3', 'AZURE', 'GCS', 'SWIFT', 'LOCAL')", name="kind"),
    Index(
        "data_store_default_key",
        "project_id",
        unique=True,
        postgresql_where=text("is_default"),
        postgresql_nulls_not_distinct=True,
    ),
)

datum = Table(
    "datum",
    metadata,
    _id(),
    _project(),
    Column("store_id", Uuid, ForeignKey("data_store.id"), nullable=False),
    Column("object_key", Text, nullable=False),
    # the object as it was when its bytes became this datum's: what reads insist on, and what tells versions apart
    Column("etag", Text),
    Column("object_version", Text),
    Column("name", Text, nullable=False),
    Column("size", BIGINT, nullable=False),
    Column("media_type", Text),
    Column("md5", Text),
    Column("sha1", Text),
    Column("sha256", Text),
    Column("checksum_evidence", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("status_reason", Text),
    _texts("tags"),
    _object("properties"),
    Column("produced_by", Uuid),
    # the attempt of the execution that produced it
    Column("attempt", Integer),
    # the alias that is to point at it once that execution has completed
    Column("staged_alias", Text),
    _moment(),
    _by(),
    _moment("purged_at", nullable=True),
    _by("purged_by"),
    Column("purge_reason", Text),
    # when to read the bytes to verify the hashes; null when that is done
    _moment("verify_at", nullable=True),
    Column("verify_attempts", Integer, server_default=text("0"), nullable=False),
    # one line a name or tag, so that no match runs from one into the next
    Column("search_text", Text, Computed("datum_search_text(name, tags)", persisted=True), nullable=False),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("project_id", "id"),
    _within_project("produced_by", "execution"),
    CheckConstraint("size >= 0", name="size"),
    CheckConstraint("origin IN ('UPLOAD', 'EXECUTION', 'ADOPTED')", name="origin"),
    CheckConstraint("status IN ('PENDING', 'AVAILABLE', 'CORRUPT', 'EXPIRED', 'PURGED')", name="status"),
    CheckConstraint("checksum_evidence IN ('DECLARED', 'ATTESTED', 'VERIFIED')", name="checksum_evidence"),
    Index("datum_managed_key", "store_id", "object_key", unique=True, postgresql_where=text("origin <> 'ADOPTED'")),
    Index(
        "datum_adopted_key",
        "project_id",
        "store_id",
        "object_key",
        "object_version",
        unique=True,
        postgresql_where=text("origin = 'ADOPTED' AND status = 'AVAILABLE'"),
    ),
    Index("datum_verify_at_idx", "verify_at", postgresql_where=text("verify_at IS NOT NULL")),
    Index(None, "project_id", "created_at", "id"),
    Index(None, "project_id", "name", "id"),
    Index(None, "project_id", "size", "id"),
    Index(None, "project_id", "md5"),
    Index(None, "project_id", "sha1"),
    Index(None, "project_id", "sha256"),
    Index("datum_produced_by_idx", "produced_by", "created_at", "id", postgresql_where=text("produced_by IS NOT NULL")),
    Index("datum_tags_idx", "tags", postgresql_using="gin"),
    Index(
        "datum_properties_idx", "properties", postgresql_using="gin", postgresql_ops={"properties": "jsonb_path_ops"}
    ),
    Index(
        "datum_search_text_idx", "search_text", postgresql_using="gin", postgresql_ops={"search_text": "gin_trgm_ops"}
    ),
)

upload = Table(
    "upload",
    metadata,
    _id(),
    _project_of_owner(),
    Column("datum_id", Uuid, nullable=False),
    Column("part_size", BIGINT, nullable=False),
    Column("part_count", Integer, nullable=False),
    # what the store knows the upload by
    Column("session", Text, server_default=text("''"), nullable=False),
    _moment(),
    _moment("expires_at", nullable=True),
    # null while bytes may still come
    _moment("ended_at", nullable=True),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("project_id", "id"),
    UniqueConstraint("datum_id"),
    _within_project("datum_id", "datum"),
    Index("upload_expires_at_idx", "expires_at", postgresql_where=text("ended_at IS NULL")),
)

#: Bytes to delete after the commit that decided it: an outbox that survives a crash and a store that is down.
deletion = Table(
    "deletion",
    metadata,
    _id(),
    _project(),
    Column("store_id", Uuid, ForeignKey("data_store.id"), nullable=False),
    Column("object_key", Text, nullable=False),
    Column("session", Text, server_default=text("''"), nullable=False),
    Column("attempts", Integer, server_default=text("0"), nullable=False),
    _moment("due_at"),
    Column("last_error", Text),
    PrimaryKeyConstraint("id"),
    Index(None, "due_at"),
)

alias = Table(
    "alias",
    metadata,
    _id(),
    _project(),
    Column("name", Text, nullable=False),
    # null once deleted
    Column("datum_id", Uuid),
    Column("version", Integer, nullable=False),
    _moment(),
    # the newest change's `at`
    _moment("updated_at"),
    _moment("deleted_at", nullable=True),
    # its newest change's
    _feed_position(),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("project_id", "id"),
    UniqueConstraint("project_id", "name"),
    _within_project("datum_id", "datum"),
    Index(None, "datum_id"),
    Index(None, "project_id", "updated_at", "id"),
)

#: Append-only: a trigger refuses UPDATE, DELETE and TRUNCATE.
alias_history = Table(
    "alias_history",
    metadata,
    _id(),
    _project_of_owner(),
    Column("alias_id", Uuid, nullable=False),
    Column("version", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    _moment("at"),
    Column("from_datum_id", Uuid),
    Column("to_datum_id", Uuid),
    Column("actor_id", Uuid, ForeignKey("actor.id")),
    Column("via", Text, nullable=False),
    Column("reason", Text),
    Column("execution_id", Uuid),
    Column("change_set_id", Uuid, nullable=False),
    Column("rolled_back_to", Integer),
    _feed_position(),
    PrimaryKeyConstraint("alias_id", "version"),
    UniqueConstraint("id"),
    _within_project("alias_id", "alias"),
    _within_project("from_datum_id", "datum"),
    _within_project("to_datum_id", "datum"),
    _within_project("execution_id", "execution"),
    CheckConstraint("kind IN ('CREATED', 'MOVED', 'ROLLED_BACK', 'DELETED')", name="kind"),
    CheckConstraint("via IN ('API', 'CLI', 'CONSOLE', 'EXECUTION')", name="via"),
    CheckConstraint("(kind = 'ROLLED_BACK') = (rolled_back_to IS NOT NULL)", name="rolled_back_to"),
    # finds the change in force at an instant
    Index("alias_history_alias_id_at_idx", "alias_id", "at", unique=True),
    Index(None, "project_id", "at", "id"),
    Index(None, "from_datum_id", "at"),
    Index(None, "to_datum_id", "at"),
    Index(None, "change_set_id"),
    Index(None, "project_id", "feed_position", "version", "id"),
    Index("alias_history_execution_id_idx", "execution_id", postgresql_where=text("execution_id IS NOT NULL")),
)

#: Executions made together from one template.
task = Table(
    "task",
    metadata,
    _id(),
    _project(),
    Column("number", Integer, nullable=False),
    Column("title", Text),
    Column("max_concurrent", Integer),
    Column("on_child_error", Text, nullable=False),
    _moment(),
    _by(),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("project_id", "id"),
    UniqueConstraint("project_id", "number"),
    CheckConstraint("max_concurrent > 0", name="max_concurrent"),
    CheckConstraint("on_child_error IN ('CONTINUE', 'STOP_ALL')", name="on_child_error"),
)

#: A valohai.yaml, each distinct one once.
config = Table(
    "config",
    metadata,
    _id(),
    _project(),
    Column("digest", Text, nullable=False),
    Column("text", Text, nullable=False),
    _moment(),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("project_id", "id"),
    UniqueConstraint("project_id", "digest"),
)

execution = Table(
    "execution",
    metadata,
    _id(),
    _project(),
    Column("number", Integer, nullable=False),
    Column("title", Text),
    Column("step", Text),
    Column("image", Text),
    _texts("command"),
    _object("parameters"),
    # [{name, value, secret}]; a secret value is encrypted
    Column("environment", JSONB, server_default=text("'[]'"), nullable=False),
    _texts("tags"),
    Column("mounts", JSONB, server_default=text("'[]'"), nullable=False),
    _texts("labels"),
    Column("priority", Integer, server_default=text("0"), nullable=False),
    Column("time_limit", Integer),
    Column("status", Text, nullable=False),
    Column("attempt", Integer, server_default=text("0"), nullable=False),
    Column("store_id", Uuid, ForeignKey("data_store.id")),
    Column("copy_of", Uuid),
    Column("config_id", Uuid),
    Column("task_id", Uuid),
    _moment(),
    _by(),
    _moment("queued_at", nullable=True),
    _moment("started_at", nullable=True),
    _moment("finished_at", nullable=True),
    Column("exit_code", Integer),
    # a worker's right to report on this attempt: nobody else knows the lease, and it ends unless it is extended
    Column("lease", Uuid),
    _moment("leased_until", nullable=True),
    Column("worker", Text),
    # set anew by every statement that changes what clients see
    _feed_position(),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("project_id", "id"),
    UniqueConstraint("project_id", "number"),
    _within_project("copy_of", "execution"),
    _within_project("config_id", "config"),
    _within_project("task_id", "task"),
    CheckConstraint(
        "status IN ('CREATED', 'QUEUED', 'STARTED', 'STOPPING', 'STOPPED', 'ERROR', 'COMPLETE')", name="status"
    ),
    CheckConstraint("(lease IS NULL) = (leased_until IS NULL)", name="lease"),
    Index("execution_tags_idx", "tags", postgresql_using="gin"),
    Index("execution_queue_idx", text("priority DESC"), "id", postgresql_where=text("status = 'QUEUED'")),
    # not on when leases end, or each heartbeat would write to the index
    Index("execution_leased_idx", "id", postgresql_where=text("status IN ('STARTED', 'STOPPING')")),
    Index("execution_task_id_idx", "task_id", "number", postgresql_where=text("task_id IS NOT NULL")),
    Index(None, "project_id", "feed_position", "number"),
)

#: An input as requested, so that a copy can resolve it again.
execution_input = Table(
    "execution_input",
    metadata,
    _id(),
    _project_of_owner(),
    Column("execution_id", Uuid, ForeignKey("execution.id"), nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("name", Text, nullable=False),
    _texts("references"),
    Column("filename", Text),
    Column("keep_directories", Text, nullable=False),
    Column("optional", BOOLEAN, nullable=False),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("execution_id", "position"),
    UniqueConstraint("execution_id", "name"),
    CheckConstraint("keep_directories IN ('NONE', 'SUFFIX', 'FULL')", name="keep_directories"),
)

#: One file of an input as resolved at creation: the reference as written, the file, and the alias version that gave it.
execution_input_file = Table(
    "execution_input_file",
    metadata,
    _project_of_owner(),
    # its input's, once more, for finding executions by file or alias
    Column("execution_id", Uuid, nullable=False),
    Column("input_id", Uuid, ForeignKey("execution_input.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("reference", Text, nullable=False),
    Column("datum_id", Uuid),
    Column("alias_id", Uuid),
    Column("alias_version", Integer),
    Column("filename", Text),
    Column("secret_url", Text),
    # as the worker found it
    Column("md5", Text),
    Column("sha1", Text),
    Column("sha256", Text),
    _moment("found_at", nullable=True),
    PrimaryKeyConstraint("input_id", "position"),
    _within_project("datum_id", "datum"),
    ForeignKeyConstraint(["alias_id", "alias_version"], ["alias_history.alias_id", "alias_history.version"]),
    CheckConstraint("(alias_id IS NULL) = (alias_version IS NULL)", name="alias"),
    Index(None, "datum_id", "execution_id"),
    Index(
        "execution_input_file_address_idx",
        "project_id",
        "reference",
        "found_at",
        postgresql_where=text("datum_id IS NULL AND found_at IS NOT NULL"),
    ),
    Index(
        "execution_input_file_alias_id_idx", "alias_id", "execution_id", postgresql_where=text("alias_id IS NOT NULL")
    ),
)

execution_warning = Table(
    "execution_warning",
    metadata,
    _project_of_owner(),
    Column("execution_id", Uuid, ForeignKey("execution.id"), nullable=False),
    Column("position", BIGINT, Identity(always=True), nullable=False),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    _moment("at"),
    Column("reference", Text),
    Column("file", Text),
    Column("key", Text),
    Column("before", JSONB),
    Column("after", JSONB),
    PrimaryKeyConstraint("execution_id", "position"),
    CheckConstraint(
        "code IN ('INPUT_CHANGED', 'SIDECAR_INVALID', 'SIDECAR_UNKNOWN_KEY', 'MOUNT_IGNORED', 'LOG_LIMITED')",
        name="code",
    ),
)

log_line = Table(
    "log_line",
    metadata,
    _project_of_owner(),
    Column("execution_id", Uuid, ForeignKey("execution.id"), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    _moment("at"),
    Column("stream", Text, nullable=False),
    Column("message", Text, nullable=False),
    # the message, where it is a JSON object on STDOUT
    Column("metadata", JSONB),
    PrimaryKeyConstraint("execution_id", "sequence"),
    CheckConstraint("stream IN ('STATUS', 'STDOUT', 'STDERR')", name="stream"),
    Index("log_line_metadata_idx", "execution_id", "sequence", postgresql_where=text("metadata IS NOT NULL")),
)

#: What a mutation made, by the caller's key: `result_id` is the id of the change set, execution or datum.
idempotency = Table(
    "idempotency",
    metadata,
    Column("actor_id", Uuid, ForeignKey("actor.id"), nullable=False),
    _project(),
    Column("mutation", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("input_hash", LargeBinary, nullable=False),
    Column("result_id", Uuid, server_default=text("uuidv7()"), nullable=False),
    _moment(),
    PrimaryKeyConstraint("actor_id", "project_id", "mutation", "key"),
    Index(None, "created_at"),
)

#: The PostgreSQL clusters that this database has lived in, the newest with the highest `base`.
feed_cluster = Table(
    "feed_cluster",
    metadata,
    Column("system_identifier", BIGINT, nullable=False),
    Column("base", BIGINT, nullable=False),
    _moment(),
    PrimaryKeyConstraint("base"),
)
