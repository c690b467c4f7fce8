"""tasks, and the positions that subscriptions follow"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _feed_position() -> sa.Column[int]:
    return sa.Column(
        "feed_position", sa.BIGINT(), server_default=sa.text("pg_current_xact_id()::text::bigint"), nullable=False
    )


def upgrade() -> None:
    op.add_column("project", sa.Column("last_task_number", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.create_table(
        "task",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("max_concurrent", sa.Integer(), nullable=True),
        sa.Column("on_child_error", sa.Text(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint("max_concurrent > 0", name=op.f("task_max_concurrent_check")),
        sa.CheckConstraint("on_child_error IN ('CONTINUE', 'STOP_ALL')", name=op.f("task_on_child_error_check")),
        sa.ForeignKeyConstraint(["created_by"], ["actor.id"], name=op.f("task_created_by_fkey")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("task_project_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("task_pkey")),
        sa.UniqueConstraint("project_id", "id", name=op.f("task_project_id_id_key")),
        sa.UniqueConstraint("project_id", "number", name=op.f("task_project_id_number_key")),
    )
    op.add_column("execution", sa.Column("task_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("execution_project_id_task_id_fkey"), "execution", "task", ["project_id", "task_id"], ["project_id", "id"]
    )
    op.create_index(
        "execution_task_id_idx",
        "execution",
        ["task_id", "number"],
        unique=False,
        postgresql_where=sa.text("task_id IS NOT NULL"),
    )
    op.create_table(
        "feed_cluster",
        sa.Column("system_identifier", sa.BIGINT(), nullable=False),
        sa.Column("base", sa.BIGINT(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("base", name=op.f("feed_cluster_pkey")),
    )
    op.execute(
        "INSERT INTO feed_cluster (system_identifier, base) SELECT system_identifier, 0 FROM pg_control_system()"
    )
    for table in ("alias", "alias_history", "execution"):
        op.add_column(table, _feed_position())
    op.create_index(
        op.f("alias_history_project_id_feed_position_version_id_idx"),
        "alias_history",
        ["project_id", "feed_position", "version", "id"],
        unique=False,
    )
    op.create_index(
        op.f("execution_project_id_feed_position_number_idx"),
        "execution",
        ["project_id", "feed_position", "number"],
        unique=False,
    )
