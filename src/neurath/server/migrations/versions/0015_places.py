"""Where a terminal stands, and the ledger by release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("terminal", sa.Column("place", sa.Text(), server_default="", nullable=False))
    op.create_index("ledger_release", "ledger", ["release", "terminal", "component"])


def downgrade() -> None:
    op.drop_index("ledger_release", "ledger")
    op.drop_column("terminal", "place")
