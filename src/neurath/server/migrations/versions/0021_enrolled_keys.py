"""The public keys that terminals made themselves at a factory."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.add_column("terminal", sa.Column("key", sa.Text(), server_default="", nullable=False))
    one = sa.text("key != ''")
    op.create_index("terminal_key", "terminal", ["key"], unique=True, sqlite_where=one, postgresql_where=one)


def downgrade() -> None:
    op.drop_index("terminal_key", "terminal")
    op.drop_column("terminal", "key")
