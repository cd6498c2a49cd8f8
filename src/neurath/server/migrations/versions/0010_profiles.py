"""Which decoder profiles a component said it has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("component", sa.Column("profiles", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("component", "profiles")
