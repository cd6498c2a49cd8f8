"""What terminals signed, how they prove who they are, whose device key was revoked; what was confirmed since a check-in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0022"


def upgrade() -> None:
    op.add_column("terminal", sa.Column("revoked", sa.Float(), nullable=True))
    op.add_column("terminal", sa.Column("proof", sa.Text(), nullable=False, server_default=""))
    op.add_column("component", sa.Column("confirmed", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "signing",
        sa.Column("terminal", sa.Integer(), sa.ForeignKey("terminal.n"), primary_key=True),
        sa.Column("epoch", sa.Text(), nullable=False, server_default=""),
        sa.Column("number", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("held", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("coming", sa.Text(), nullable=False, server_default=""),
    )


def downgrade() -> None:
    op.drop_table("signing")
    op.drop_column("component", "confirmed")
    op.drop_column("terminal", "proof")
    op.drop_column("terminal", "revoked")
