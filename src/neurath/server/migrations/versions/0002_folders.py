"""Watched folders: what each is bound to, whom its rollouts are for, what lies in it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "folder",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("component", sa.Text(), server_default="firmware", nullable=False),
        sa.Column("auto", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("added", sa.Float(), nullable=True),
        sa.Column("trouble", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["model"], ["model.name"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("path", name="folder_path"),
        sa.UniqueConstraint("model", "component", name="folder_component"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "folder_terminal",
        sa.Column("folder", sa.Integer(), nullable=False),
        sa.Column("terminal", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["folder"], ["folder.id"]),
        sa.ForeignKeyConstraint(["terminal"], ["terminal.n"]),
        sa.PrimaryKeyConstraint("folder", "terminal"),
    )
    op.create_table(
        "folder_file",
        sa.Column("folder", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), server_default="0", nullable=False),
        sa.Column("digest", sa.Text(), server_default="", nullable=False),
        sa.Column("envelope", sa.Text(), server_default="", nullable=False),
        sa.Column("standing", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("release", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["folder"], ["folder.id"]),
        sa.ForeignKeyConstraint(["release"], ["release.id"]),
        sa.PrimaryKeyConstraint("folder", "name"),
    )


def downgrade() -> None:
    for table in ("folder_file", "folder_terminal", "folder"):
        op.drop_table(table)
