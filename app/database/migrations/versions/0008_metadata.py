"""what executions say of themselves as JSON objects"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("log_line", sa.Column("metadata", postgresql.JSONB(), nullable=True))
    op.create_index(
        "log_line_metadata_idx",
        "log_line",
        ["execution_id", "sequence"],
        unique=False,
        postgresql_where=sa.text("metadata IS NOT NULL"),
    )
