"""Which rollout a rollout takes back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.add_column("rollout", sa.Column("back", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("rollout", "back")
