"""stores with credentials, uploads that a store knows by a name, objects that are pinned and verified later"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("data_store", sa.Column("credentials", sa.Text(), nullable=True))
    op.add_column("data_store", sa.Column("address", sa.Text(), nullable=True))
    op.create_index(op.f("data_store_project_id_address_idx"), "data_store", ["project_id", "address"], unique=False)
    for table in ("upload", "deletion"):
        op.add_column(table, sa.Column("session", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("datum", sa.Column("etag", sa.Text(), nullable=True))
    op.add_column("datum", sa.Column("object_version", sa.Text(), nullable=True))
    op.add_column("datum", sa.Column("verify_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("datum", sa.Column("verify_attempts", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.drop_constraint(op.f("datum_store_id_object_key_key"), "datum")
    op.create_index(
        "datum_managed_key",
        "datum",
        ["store_id", "object_key"],
        unique=True,
        postgresql_where=sa.text("origin <> 'ADOPTED'"),
    )
    op.create_index(
        "datum_adopted_key",
        "datum",
        ["project_id", "store_id", "object_key", "object_version"],
        unique=True,
        postgresql_where=sa.text("origin = 'ADOPTED' AND status = 'AVAILABLE'"),
    )
    op.create_index(
        "datum_verify_at_idx", "datum", ["verify_at"], unique=False, postgresql_where=sa.text("verify_at IS NOT NULL")
    )
