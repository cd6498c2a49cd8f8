"""How many bytes each terminal was sent in each month, and may be."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("terminal", sa.Column("budget", sa.BigInteger(), nullable=True))
    op.create_table(
        "traffic",
        sa.Column("terminal", sa.Integer(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["terminal"], ["terminal.n"]),
        sa.PrimaryKeyConstraint("terminal", "month"),
    )


def downgrade() -> None:
    op.drop_table("traffic")
    op.drop_column("terminal", "budget")
