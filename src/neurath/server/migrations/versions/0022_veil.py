"""Whom a terminal's files are hidden for, and which file hides which."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.create_table(
        "veil_key",
        sa.Column("terminal", sa.Integer(), sa.ForeignKey("terminal.n"), primary_key=True),
        sa.Column("veil", sa.Text(), nullable=False),
        sa.Column("added", sa.Float(), nullable=True),
    )
    op.create_table(
        "veiled",
        sa.Column("file", sa.Text(), sa.ForeignKey("file.digest"), primary_key=True),
        sa.Column("plain", sa.Text(), sa.ForeignKey("file.digest"), nullable=False),
        sa.Column("terminal", sa.Integer(), sa.ForeignKey("terminal.n"), nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column("made", sa.Float(), nullable=False),
    )
    op.create_index("veiled_terminal", "veiled", ["terminal", "plain"])


def downgrade() -> None:
    op.drop_table("veiled")
    op.drop_table("veil_key")
