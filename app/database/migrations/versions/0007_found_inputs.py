"""inputs as workers found them"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    for name in ("md5", "sha1", "sha256"):
        op.add_column("execution_input_file", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("execution_input_file", sa.Column("found_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "execution_input_file_address_idx",
        "execution_input_file",
        ["project_id", "reference", "found_at"],
        unique=False,
        postgresql_where=sa.text("datum_id IS NULL AND found_at IS NOT NULL"),
    )
