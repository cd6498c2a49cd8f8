"""Priority: which of several files rides to a terminal first, by release; and what a folder gives to its releases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    for table in ("release", "folder"):
        op.add_column(table, sa.Column("priority", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    for table in ("release", "folder"):
        op.drop_column(table, "priority")
