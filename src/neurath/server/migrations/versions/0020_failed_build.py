"""Builds of update files that failed: why, how often, and by which engine."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.create_table(
        "failed_build",
        sa.Column("old", sa.Text(), primary_key=True),
        sa.Column("new", sa.Text(), primary_key=True),
        sa.Column("layout", sa.Text(), primary_key=True),
        sa.Column("profile", sa.Integer(), primary_key=True),
        sa.Column("engine", sa.Text(), server_default="", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
    )


def downgrade() -> None:
    op.drop_table("failed_build")
