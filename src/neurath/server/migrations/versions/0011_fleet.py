"""A fleet's life: terminals that are taken out of service or replaced, ids used twice, channels, filters that are kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("terminal", sa.Column("channel", sa.Text(), server_default="", nullable=False))
    op.add_column("terminal", sa.Column("decommissioned", sa.Float(), nullable=True))
    op.add_column("terminal", sa.Column("replaced_by", sa.Text(), server_default="", nullable=False))
    op.add_column("terminal", sa.Column("twin", sa.Float(), nullable=True))
    op.add_column("release", sa.Column("channels", sa.Text(), server_default=" ", nullable=False))
    op.add_column("component", sa.Column("before", sa.Text(), server_default="", nullable=False))
    op.add_column("component", sa.Column("returns", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "filter",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), server_default="", nullable=False),
        sa.Column("added", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )


def downgrade() -> None:
    op.drop_table("filter")
    for name in ("returns", "before"):
        op.drop_column("component", name)
    op.drop_column("release", "channels")
    for name in ("twin", "replaced_by", "decommissioned", "channel"):
        op.drop_column("terminal", name)
