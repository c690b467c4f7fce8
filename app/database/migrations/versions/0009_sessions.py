"""sessions of people in the console"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "session",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("is_link", sa.Boolean(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("session_pkey")),
        sa.ForeignKeyConstraint(["token_id"], ["token.id"], name=op.f("session_token_id_fkey")),
        sa.UniqueConstraint("secret_hash", name=op.f("session_secret_hash_key")),
    )
    op.create_index(op.f("session_expires_at_idx"), "session", ["expires_at"], unique=False)
