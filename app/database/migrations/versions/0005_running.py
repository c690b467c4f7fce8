"""executions that workers run: a queue, leases and logs"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("execution", sa.Column("lease", sa.Uuid(), nullable=True))
    op.add_column("execution", sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("execution", sa.Column("worker", sa.Text(), nullable=True))
    op.create_check_constraint(op.f("execution_lease_check"), "execution", "(lease IS NULL) = (leased_until IS NULL)")
    op.add_column("datum", sa.Column("attempt", sa.Integer(), nullable=True))
    op.add_column("datum", sa.Column("staged_alias", sa.Text(), nullable=True))
    op.create_index(
        "execution_queue_idx",
        "execution",
        [sa.text("priority DESC"), "id"],
        unique=False,
        postgresql_where=sa.text("status = 'QUEUED'"),
    )
    op.create_index(
        "execution_leased_idx",
        "execution",
        ["id"],
        unique=False,
        postgresql_where=sa.text("status IN ('STARTED', 'STOPPING')"),
    )
    op.create_table(
        "log_line",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.CheckConstraint("stream IN ('STATUS', 'STDOUT', 'STDERR')", name=op.f("log_line_stream_check")),
        sa.ForeignKeyConstraint(["execution_id"], ["execution.id"], name=op.f("log_line_execution_id_fkey")),
        sa.PrimaryKeyConstraint("execution_id", "sequence", name=op.f("log_line_pkey")),
    )
