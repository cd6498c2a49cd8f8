"""Operators, their sessions, tokens of scripts, sign-ins that failed or are at an identity provider."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def _text(name: str, default: str | None = "") -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default=default)


def _time(name: str, null: bool = True) -> sa.Column[float]:
    return sa.Column(name, sa.Float(), nullable=null)


def upgrade() -> None:
    op.create_table(
        "operator",
        sa.Column("id", sa.Integer(), nullable=False),
        _text("name", None),
        _text("role", "viewer"),
        _text("password"),
        _text("subject"),
        _time("added"),
        _time("disabled"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name", name="operator_name"),
        sqlite_autoincrement=True,
    )
    op.create_index("operator_subject", "operator", ["subject"])
    op.create_table(
        "session",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("operator", sa.Integer(), nullable=False),
        _text("key", None),
        _text("was"),
        _text("csrf", None),
        _text("address"),
        _time("begun", null=False),
        _time("renewed", null=False),
        _time("seen", null=False),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["operator"], ["operator.id"]),
        sqlite_autoincrement=True,
    )
    op.create_index("session_key", "session", ["key"])
    op.create_index("session_was", "session", ["was"])
    op.create_table(
        "api_token",
        sa.Column("name", sa.Text(), nullable=False),
        _text("hash", None),
        _text("role", "viewer"),
        _text("by"),
        sa.Column("operator", sa.Integer(), nullable=True),
        _time("added"),
        _time("expires", null=False),
        _time("used"),
        sa.PrimaryKeyConstraint("name"),
        sa.ForeignKeyConstraint(["operator"], ["operator.id"]),
    )
    op.create_index("api_token_hash", "api_token", ["hash"])
    op.create_table(
        "failure",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), server_default="0", nullable=False),
        _time("last", null=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "oidc_try",
        sa.Column("state", sa.Text(), nullable=False),
        _text("nonce", None),
        _text("verifier", None),
        _text("back"),
        _time("begun", null=False),
        sa.PrimaryKeyConstraint("state"),
    )


def downgrade() -> None:
    for name in ("oidc_try", "failure", "api_token", "session", "operator"):
        op.drop_table(name)
