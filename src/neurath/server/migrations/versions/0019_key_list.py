"""Lists of keys that roots signed, and which one a component said it goes by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "key_list",
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("added", sa.Float(), nullable=True),
    )
    op.add_column("component", sa.Column("key_list", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_table("key_list")
    op.drop_column("component", "key_list")
