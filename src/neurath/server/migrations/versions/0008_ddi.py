"""DDI as hawkBit has it: what clients said about an action, confirmation, a client that would not be cancelled, and which
devices a package says it is for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("terminal", sa.Column("auto_confirm", sa.Text(), server_default="", nullable=False))
    op.add_column("action", sa.Column("insists", sa.Boolean(), server_default="0", nullable=False))
    op.add_column("model", sa.Column("compatible", sa.Text(), server_default="", nullable=False))
    op.add_column("release", sa.Column("compatible", sa.Text(), server_default="", nullable=False))
    op.create_table(
        "word",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("action", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=True),
        sa.Column("status", sa.Text(), server_default="", nullable=False),
        sa.Column("text", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["action"], ["action.id"]),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("word_action", "word", ["action", "id"])


def downgrade() -> None:
    op.drop_table("word")
    for table in ("release", "model"):
        op.drop_column(table, "compatible")
    op.drop_column("action", "insists")
    op.drop_column("terminal", "auto_confirm")
