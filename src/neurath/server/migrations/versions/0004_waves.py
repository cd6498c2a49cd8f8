"""Waves: how a rollout spreads and halts, whom it is for, when each wave was opened; policy and target of a folder; tags."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("terminal", sa.Column("tags", sa.Text(), server_default=" ", nullable=False))
    for name, value in (("policy", "at-once"), ("target", ""), ("why", "")):
        op.add_column("rollout", sa.Column(name, sa.Text(), server_default=value, nullable=False))
    for name, value in (("step", "0"), ("gate", "2147483648"), ("bad", "0"), ("excused", "0")):
        op.add_column("rollout", sa.Column(name, sa.Integer(), server_default=value, nullable=False))
    op.add_column("rollout", sa.Column("stopped", sa.Float(), nullable=True))
    # What was watched before went to everybody at once, and still does.
    op.add_column("folder", sa.Column("policy", sa.Text(), server_default="default", nullable=False))
    op.add_column("folder", sa.Column("target", sa.Text(), server_default="", nullable=False))
    op.execute("UPDATE folder SET policy = 'at-once' WHERE auto")
    op.create_table(
        "rollout_wave",
        sa.Column("rollout", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("gate", sa.Integer(), server_default="0", nullable=False),
        sa.Column("opened", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["rollout"], ["rollout.id"]),
        sa.PrimaryKeyConstraint("rollout", "step"),
    )


def downgrade() -> None:
    op.drop_table("rollout_wave")
    for name in ("policy", "target"):
        op.drop_column("folder", name)
    for name in ("stopped", "excused", "bad", "gate", "step", "why", "target", "policy"):
        op.drop_column("rollout", name)
    op.drop_column("terminal", "tags")
