"""Certificates of stations, in the place of a token of their own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.add_column("api_token", sa.Column("certificate", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    # Without its column a certificate would be a token that nobody has.
    op.execute("DELETE FROM api_token WHERE certificate <> ''")
    op.drop_column("api_token", "certificate")
