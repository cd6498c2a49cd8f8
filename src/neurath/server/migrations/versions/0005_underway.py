"""What is under way on heartbeats: when a sync point last moved, RAM that no tenant wants, what a user is reminded of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("ledger", sa.Column("moved", sa.Float(), nullable=True))
    op.add_column("component", sa.Column("spare", sa.Integer(), server_default="0", nullable=False))
    op.add_column("terminal", sa.Column("remind", sa.Text(), server_default="", nullable=False))
    op.add_column("terminal", sa.Column("reminded", sa.Float(), nullable=True))


def downgrade() -> None:
    for table, name in (("terminal", "reminded"), ("terminal", "remind"), ("component", "spare"), ("ledger", "moved")):
        op.drop_column(table, name)
