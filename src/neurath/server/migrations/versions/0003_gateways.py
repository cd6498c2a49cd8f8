"""Gateways: who they are and which terminals each answers for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "gateway",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.Text(), server_default="DEFAULT", nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("added", sa.Float(), nullable=True),
        sa.Column("heard", sa.Float(), nullable=True),
        sa.Column("revoked", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name", name="gateway_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "gateway_terminal",
        sa.Column("gateway", sa.Integer(), nullable=False),
        sa.Column("terminal", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["gateway"], ["gateway.id"]),
        sa.ForeignKeyConstraint(["terminal"], ["terminal.n"]),
        sa.PrimaryKeyConstraint("gateway", "terminal"),
    )


def downgrade() -> None:
    for table in ("gateway_terminal", "gateway"):
        op.drop_table(table)
