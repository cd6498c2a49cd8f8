"""Pieces: the size that each file's pieces have from the first on, what an operator says about it, rooms that were seen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("terminal", sa.Column("room", sa.Integer(), server_default="0", nullable=False))
    for table in ("rollout", "folder"):
        op.add_column(table, sa.Column("pieces", sa.Text(), server_default="", nullable=False))
    op.create_table(
        "cut",
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("piece", sa.Integer(), nullable=False),
        sa.Column("begun", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["file"], ["file.digest"]),
        sa.PrimaryKeyConstraint("file"),
    )
    # What is on its way was cut into the pieces that were usual.
    op.execute(
        "INSERT INTO cut (file, piece) SELECT DISTINCT action.file, 200 FROM action JOIN ledger ON ledger.action = action.id"
        " WHERE action.state = 'open' AND action.kind != 'package' AND ledger.bytes > 0"
    )


def downgrade() -> None:
    op.drop_table("cut")
    for table in ("rollout", "folder"):
        op.drop_column(table, "pieces")
    op.drop_column("terminal", "room")
