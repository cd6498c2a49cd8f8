"""Rollouts that two persons start, and why a release was revoked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    for name in ("author", "approver"):
        op.add_column("rollout", sa.Column(name, sa.Text(), server_default="", nullable=False))
    op.add_column("release", sa.Column("revoked_why", sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    op.drop_column("release", "revoked_why")
    for name in ("author", "approver"):
        op.drop_column("rollout", name)
