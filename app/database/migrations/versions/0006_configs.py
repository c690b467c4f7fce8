"""the valohai.yaml files that executions are made from"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "config",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("config_project_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("config_pkey")),
        sa.UniqueConstraint("project_id", "digest", name=op.f("config_project_id_digest_key")),
        sa.UniqueConstraint("project_id", "id", name=op.f("config_project_id_id_key")),
    )
    op.add_column("execution", sa.Column("config_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("execution_project_id_config_id_fkey"),
        "execution",
        "config",
        ["project_id", "config_id"],
        ["project_id", "id"],
    )
