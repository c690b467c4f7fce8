"""inputs from addresses of HTTP(S), whose credentials are kept encrypted"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("execution_input_file", sa.Column("secret_url", sa.Text(), nullable=True))
