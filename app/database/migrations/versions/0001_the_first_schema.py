"""the first schema"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

# IMMUTABLE, unlike array_to_string, as an indexed column must be; text arrays do not depend on any setting
SEARCH_TEXT = """
CREATE FUNCTION datum_search_text(name text, tags text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN lower(name || E'\\n' || array_to_string(tags, E'\\n'))
"""

APPEND_ONLY = (
    """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% of % is refused: history is append-only', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON alias_history
    FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON alias_history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
)


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.execute(SEARCH_TEXT)
    op.create_table(
        "actor",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["owner_id"], ["actor.id"], name=op.f("actor_owner_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("actor_pkey")),
        sa.UniqueConstraint(
            "owner_id", "name", name=op.f("actor_owner_id_name_key"), postgresql_nulls_not_distinct=True
        ),
    )
    op.create_table(
        "project",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("last_execution_number", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["created_by"], ["actor.id"], name=op.f("project_created_by_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("project_pkey")),
        sa.UniqueConstraint("slug", name=op.f("project_slug_key")),
    )
    op.create_table(
        "token",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("project_ids", postgresql.ARRAY(sa.Uuid()), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["actor_id"], ["actor.id"], name=op.f("token_actor_id_fkey")),
        sa.ForeignKeyConstraint(["created_by"], ["actor.id"], name=op.f("token_created_by_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("token_pkey")),
        sa.UniqueConstraint("secret_hash", name=op.f("token_secret_hash_key")),
    )
    op.create_index(op.f("token_actor_id_idx"), "token", ["actor_id"], unique=False)
    op.create_table(
        "data_store",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("is_default", sa.BOOLEAN(), nullable=False),
        sa.Column("config", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint("kind IN ('S3', 'AZURE', 'GCS', 'SWIFT', 'LOCAL')", name=op.f("data_store_kind_check")),
        sa.ForeignKeyConstraint(["created_by"], ["actor.id"], name=op.f("data_store_created_by_fkey")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("data_store_project_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("data_store_pkey")),
        sa.UniqueConstraint(
            "project_id", "name", name=op.f("data_store_project_id_name_key"), postgresql_nulls_not_distinct=True
        ),
    )
    op.create_index(
        "data_store_default_key",
        "data_store",
        ["project_id"],
        unique=True,
        postgresql_where=sa.text("is_default"),
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "idempotency",
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("mutation", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("input_hash", sa.LargeBinary(), nullable=False),
        sa.Column("result_id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["actor_id"], ["actor.id"], name=op.f("idempotency_actor_id_fkey")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("idempotency_project_id_fkey")),
        sa.PrimaryKeyConstraint("actor_id", "project_id", "mutation", "key", name=op.f("idempotency_pkey")),
    )
    op.create_index(op.f("idempotency_created_at_idx"), "idempotency", ["created_at"], unique=False)
    op.create_table(
        "deletion",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("deletion_project_id_fkey")),
        sa.ForeignKeyConstraint(["store_id"], ["data_store.id"], name=op.f("deletion_store_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("deletion_pkey")),
    )
    op.create_index(op.f("deletion_due_at_idx"), "deletion", ["due_at"], unique=False)
    op.create_table(
        "execution",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("step", sa.Text(), nullable=True),
        sa.Column("image", sa.Text(), nullable=True),
        sa.Column("command", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "parameters", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column(
            "environment", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False
        ),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("mounts", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("labels", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("priority", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("time_limit", sa.Integer(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=True),
        sa.Column("copy_of", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "status IN ('CREATED', 'QUEUED', 'STARTED', 'STOPPING', 'STOPPED', 'ERROR', 'COMPLETE')",
            name=op.f("execution_status_check"),
        ),
        sa.ForeignKeyConstraint(["created_by"], ["actor.id"], name=op.f("execution_created_by_fkey")),
        sa.ForeignKeyConstraint(
            ["project_id", "copy_of"],
            ["execution.project_id", "execution.id"],
            name=op.f("execution_project_id_copy_of_fkey"),
        ),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("execution_project_id_fkey")),
        sa.ForeignKeyConstraint(["store_id"], ["data_store.id"], name=op.f("execution_store_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("execution_pkey")),
        sa.UniqueConstraint("project_id", "id", name=op.f("execution_project_id_id_key")),
        sa.UniqueConstraint("project_id", "number", name=op.f("execution_project_id_number_key")),
    )
    op.create_index("execution_tags_idx", "execution", ["tags"], unique=False, postgresql_using="gin")
    op.create_table(
        "datum",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", sa.BIGINT(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=True),
        sa.Column("md5", sa.Text(), nullable=True),
        sa.Column("sha1", sa.Text(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("checksum_evidence", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("status_reason", sa.Text(), nullable=True),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "properties", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("produced_by", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("purged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("purged_by", sa.Uuid(), nullable=True),
        sa.Column("purge_reason", sa.Text(), nullable=True),
        sa.Column(
            "search_text", sa.Text(), sa.Computed("datum_search_text(name, tags)", persisted=True), nullable=False
        ),
        sa.CheckConstraint(
            "checksum_evidence IN ('DECLARED', 'ATTESTED', 'VERIFIED')", name=op.f("datum_checksum_evidence_check")
        ),
        sa.CheckConstraint("origin IN ('UPLOAD', 'EXECUTION', 'ADOPTED')", name=op.f("datum_origin_check")),
        sa.CheckConstraint(
            "status IN ('PENDING', 'AVAILABLE', 'CORRUPT', 'EXPIRED', 'PURGED')", name=op.f("datum_status_check")
        ),
        sa.CheckConstraint("size >= 0", name=op.f("datum_size_check")),
        sa.ForeignKeyConstraint(["created_by"], ["actor.id"], name=op.f("datum_created_by_fkey")),
        sa.ForeignKeyConstraint(
            ["project_id", "produced_by"],
            ["execution.project_id", "execution.id"],
            name=op.f("datum_project_id_produced_by_fkey"),
        ),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("datum_project_id_fkey")),
        sa.ForeignKeyConstraint(["purged_by"], ["actor.id"], name=op.f("datum_purged_by_fkey")),
        sa.ForeignKeyConstraint(["store_id"], ["data_store.id"], name=op.f("datum_store_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("datum_pkey")),
        sa.UniqueConstraint("project_id", "id", name=op.f("datum_project_id_id_key")),
        sa.UniqueConstraint("store_id", "object_key", name=op.f("datum_store_id_object_key_key")),
    )
    op.create_index(
        "datum_produced_by_idx",
        "datum",
        ["produced_by", "created_at", "id"],
        unique=False,
        postgresql_where=sa.text("produced_by IS NOT NULL"),
    )
    op.create_index(
        op.f("datum_project_id_created_at_id_idx"), "datum", ["project_id", "created_at", "id"], unique=False
    )
    op.create_index(op.f("datum_project_id_md5_idx"), "datum", ["project_id", "md5"], unique=False)
    op.create_index(op.f("datum_project_id_name_id_idx"), "datum", ["project_id", "name", "id"], unique=False)
    op.create_index(op.f("datum_project_id_sha1_idx"), "datum", ["project_id", "sha1"], unique=False)
    op.create_index(op.f("datum_project_id_sha256_idx"), "datum", ["project_id", "sha256"], unique=False)
    op.create_index(op.f("datum_project_id_size_id_idx"), "datum", ["project_id", "size", "id"], unique=False)
    op.create_index(
        "datum_properties_idx",
        "datum",
        ["properties"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"properties": "jsonb_path_ops"},
    )
    op.create_index(
        "datum_search_text_idx",
        "datum",
        ["search_text"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"search_text": "gin_trgm_ops"},
    )
    op.create_index("datum_tags_idx", "datum", ["tags"], unique=False, postgresql_using="gin")
    op.create_table(
        "execution_input",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("references", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("filename", sa.Text(), nullable=True),
        sa.Column("keep_directories", sa.Text(), nullable=False),
        sa.Column("optional", sa.BOOLEAN(), nullable=False),
        sa.CheckConstraint(
            "keep_directories IN ('NONE', 'SUFFIX', 'FULL')", name=op.f("execution_input_keep_directories_check")
        ),
        sa.ForeignKeyConstraint(["execution_id"], ["execution.id"], name=op.f("execution_input_execution_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("execution_input_pkey")),
        sa.UniqueConstraint("execution_id", "name", name=op.f("execution_input_execution_id_name_key")),
        sa.UniqueConstraint("execution_id", "position", name=op.f("execution_input_execution_id_position_key")),
    )
    op.create_table(
        "execution_warning",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BIGINT(), sa.Identity(always=True), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("file", sa.Text(), nullable=True),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("after", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.CheckConstraint(
            "code IN ('INPUT_CHANGED', 'SIDECAR_INVALID', 'SIDECAR_UNKNOWN_KEY', 'MOUNT_IGNORED', 'LOG_LIMITED')",
            name=op.f("execution_warning_code_check"),
        ),
        sa.ForeignKeyConstraint(["execution_id"], ["execution.id"], name=op.f("execution_warning_execution_id_fkey")),
        sa.PrimaryKeyConstraint("execution_id", "position", name=op.f("execution_warning_pkey")),
    )
    op.create_table(
        "alias",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("datum_id", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["project_id", "datum_id"], ["datum.project_id", "datum.id"], name=op.f("alias_project_id_datum_id_fkey")
        ),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("alias_project_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("alias_pkey")),
        sa.UniqueConstraint("project_id", "id", name=op.f("alias_project_id_id_key")),
        sa.UniqueConstraint("project_id", "name", name=op.f("alias_project_id_name_key")),
    )
    op.create_index(op.f("alias_datum_id_idx"), "alias", ["datum_id"], unique=False)
    op.create_index(
        op.f("alias_project_id_updated_at_id_idx"), "alias", ["project_id", "updated_at", "id"], unique=False
    )
    op.create_table(
        "upload",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("datum_id", sa.Uuid(), nullable=False),
        sa.Column("part_size", sa.BIGINT(), nullable=False),
        sa.Column("part_count", sa.Integer(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["project_id", "datum_id"], ["datum.project_id", "datum.id"], name=op.f("upload_project_id_datum_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("upload_pkey")),
        sa.UniqueConstraint("datum_id", name=op.f("upload_datum_id_key")),
        sa.UniqueConstraint("project_id", "id", name=op.f("upload_project_id_id_key")),
    )
    op.create_index(
        "upload_expires_at_idx", "upload", ["expires_at"], unique=False, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_table(
        "alias_history",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("alias_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("from_datum_id", sa.Uuid(), nullable=True),
        sa.Column("to_datum_id", sa.Uuid(), nullable=True),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("execution_id", sa.Uuid(), nullable=True),
        sa.Column("change_set_id", sa.Uuid(), nullable=False),
        sa.Column("rolled_back_to", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "(kind = 'ROLLED_BACK') = (rolled_back_to IS NOT NULL)", name=op.f("alias_history_rolled_back_to_check")
        ),
        sa.CheckConstraint(
            "kind IN ('CREATED', 'MOVED', 'ROLLED_BACK', 'DELETED')", name=op.f("alias_history_kind_check")
        ),
        sa.CheckConstraint("via IN ('API', 'CLI', 'CONSOLE', 'EXECUTION')", name=op.f("alias_history_via_check")),
        sa.ForeignKeyConstraint(["actor_id"], ["actor.id"], name=op.f("alias_history_actor_id_fkey")),
        sa.ForeignKeyConstraint(
            ["project_id", "alias_id"],
            ["alias.project_id", "alias.id"],
            name=op.f("alias_history_project_id_alias_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "execution_id"],
            ["execution.project_id", "execution.id"],
            name=op.f("alias_history_project_id_execution_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "from_datum_id"],
            ["datum.project_id", "datum.id"],
            name=op.f("alias_history_project_id_from_datum_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "to_datum_id"],
            ["datum.project_id", "datum.id"],
            name=op.f("alias_history_project_id_to_datum_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("alias_id", "version", name=op.f("alias_history_pkey")),
        sa.UniqueConstraint("id", name=op.f("alias_history_id_key")),
    )
    op.create_index("alias_history_alias_id_at_idx", "alias_history", ["alias_id", "at"], unique=True)
    op.create_index(op.f("alias_history_change_set_id_idx"), "alias_history", ["change_set_id"], unique=False)
    op.create_index(
        "alias_history_execution_id_idx",
        "alias_history",
        ["execution_id"],
        unique=False,
        postgresql_where=sa.text("execution_id IS NOT NULL"),
    )
    op.create_index(op.f("alias_history_from_datum_id_at_idx"), "alias_history", ["from_datum_id", "at"], unique=False)
    op.create_index(
        op.f("alias_history_project_id_at_id_idx"), "alias_history", ["project_id", "at", "id"], unique=False
    )
    op.create_index(op.f("alias_history_to_datum_id_at_idx"), "alias_history", ["to_datum_id", "at"], unique=False)
    op.create_table(
        "execution_input_file",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("input_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("datum_id", sa.Uuid(), nullable=True),
        sa.Column("alias_id", sa.Uuid(), nullable=True),
        sa.Column("alias_version", sa.Integer(), nullable=True),
        sa.Column("filename", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(alias_id IS NULL) = (alias_version IS NULL)", name=op.f("execution_input_file_alias_check")
        ),
        sa.ForeignKeyConstraint(
            ["alias_id", "alias_version"],
            ["alias_history.alias_id", "alias_history.version"],
            name=op.f("execution_input_file_alias_id_alias_version_fkey"),
        ),
        sa.ForeignKeyConstraint(["input_id"], ["execution_input.id"], name=op.f("execution_input_file_input_id_fkey")),
        sa.ForeignKeyConstraint(
            ["project_id", "datum_id"],
            ["datum.project_id", "datum.id"],
            name=op.f("execution_input_file_project_id_datum_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("input_id", "position", name=op.f("execution_input_file_pkey")),
    )
    op.create_index(
        "execution_input_file_alias_id_idx",
        "execution_input_file",
        ["alias_id", "execution_id"],
        unique=False,
        postgresql_where=sa.text("alias_id IS NOT NULL"),
    )
    op.create_index(
        op.f("execution_input_file_datum_id_execution_id_idx"),
        "execution_input_file",
        ["datum_id", "execution_id"],
        unique=False,
    )
    for statement in APPEND_ONLY:
        op.execute(statement)
