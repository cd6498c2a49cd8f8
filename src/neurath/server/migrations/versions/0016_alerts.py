"""Who is told what: channels, events in order; and quick ways to the terminals that are torn."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def _text(name: str, default: str | None = "") -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def upgrade() -> None:
    op.create_table(
        "alert",
        sa.Column("id", sa.Integer(), nullable=False),
        *(_text(name, None) for name in ("key", "cause", "subject", "text")),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("over", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "alert_channel",
        *(_text(name, None) for name in ("name", "kind", "url")),
        *(_text(name) for name in ("secret", "sender")),
        _text("to", "[]"),
        _text("about"),
        sa.Column("added", sa.Float(), nullable=True),
        sa.Column("sent", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due", sa.Float(), server_default="0", nullable=False),
        _text("trouble"),
        sa.PrimaryKeyConstraint("name"),
    )
    torn, shows = sa.text("verdict = 'restoration'"), sa.text("state = 'restoring'")
    op.create_index("ledger_torn", "ledger", ["terminal"], sqlite_where=torn, postgresql_where=torn)
    op.create_index("component_torn", "component", ["terminal"], sqlite_where=shows, postgresql_where=shows)


def downgrade() -> None:
    op.drop_index("component_torn", "component")
    op.drop_index("ledger_torn", "ledger")
    op.drop_table("alert_channel")
    op.drop_table("alert")
