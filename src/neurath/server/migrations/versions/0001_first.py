"""The first tables. A migration is never edited once released; the next change is a new file beside it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "file",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sha1", sa.Text(), server_default="", nullable=False),
        sa.Column("md5", sa.Text(), server_default="", nullable=False),
        sa.Column("added", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "model",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("toml", sa.Text(), server_default="", nullable=False),
        sa.Column("added", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "setting",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "delta",
        sa.Column("old", sa.Text(), nullable=False),
        sa.Column("new", sa.Text(), nullable=False),
        sa.Column("layout", sa.Text(), nullable=False),
        sa.Column("profile", sa.Integer(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), server_default="0", nullable=False),
        sa.Column("workspace", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sectors", sa.Integer(), server_default="0", nullable=False),
        sa.Column("seconds", sa.Float(), server_default="0", nullable=False),
        sa.Column("built", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["file"],
            ["file.digest"],
        ),
        sa.PrimaryKeyConstraint("old", "new", "layout", "profile"),
    )
    op.create_table(
        "release",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("component", sa.Text(), server_default="firmware", nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), server_default="image", nullable=False),
        sa.Column("filename", sa.Text(), server_default="", nullable=False),
        sa.Column("image", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), server_default="0", nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=True),
        sa.Column("envelope_digest", sa.Text(), server_default="", nullable=False),
        sa.Column("leaves", sa.Text(), server_default="", nullable=False),
        sa.Column("sequence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("added", sa.Float(), nullable=True),
        sa.Column("revoked", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["image"],
            ["file.digest"],
        ),
        sa.ForeignKeyConstraint(
            ["model"],
            ["model.name"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("model", "component", "version", name="release_version"),
        sqlite_autoincrement=True,
    )
    op.create_index("release_image", "release", ["image"], unique=False)
    op.create_table(
        "release_key",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("pem", sa.Text(), nullable=False),
        sa.Column("added", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["model"],
            ["model.name"],
        ),
        sa.PrimaryKeyConstraint("model", "pem"),
    )
    op.create_table(
        "terminal",
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.Text(), server_default="DEFAULT", nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("token", sa.Text(), server_default="", nullable=False),
        sa.Column("registered", sa.Float(), nullable=True),
        sa.Column("heard", sa.Float(), nullable=True),
        sa.Column("carrier", sa.Text(), server_default="", nullable=False),
        sa.Column("address", sa.Text(), server_default="", nullable=False),
        sa.Column("link", sa.Integer(), server_default="0", nullable=False),
        sa.Column("serial", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attributes", sa.Text(), server_default="{}", nullable=False),
        sa.Column("configured", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["model"],
            ["model.name"],
        ),
        sa.PrimaryKeyConstraint("n"),
        sa.UniqueConstraint("tenant", "id", name="terminal_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "component",
        sa.Column("terminal", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), server_default="", nullable=False),
        sa.Column("bank", sa.Text(), server_default="", nullable=False),
        sa.Column("bank_size", sa.Integer(), server_default="0", nullable=False),
        sa.Column("word", sa.Text(), server_default="", nullable=False),
        sa.Column("ram", sa.Integer(), server_default="0", nullable=False),
        sa.Column("stage", sa.Integer(), server_default="0", nullable=False),
        sa.Column("link", sa.Integer(), server_default="0", nullable=False),
        sa.Column("nonce", sa.Text(), server_default="", nullable=False),
        sa.Column("envelope", sa.Text(), server_default="", nullable=False),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sequence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", sa.Text(), server_default="idle", nullable=False),
        sa.Column("open_file", sa.Text(), server_default="", nullable=False),
        sa.Column("staged", sa.Text(), server_default="", nullable=False),
        sa.Column("staged_bytes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("checked", sa.Float(), nullable=True),
        sa.Column("pin", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["pin"],
            ["release.id"],
        ),
        sa.ForeignKeyConstraint(
            ["terminal"],
            ["terminal.n"],
        ),
        sa.PrimaryKeyConstraint("terminal", "name"),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("terminal", sa.Integer(), nullable=False),
        sa.Column("component", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=True),
        sa.Column("kind", sa.Text(), server_default="", nullable=False),
        sa.Column("text", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["terminal"],
            ["terminal.n"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("event_terminal", "event", ["terminal", "id"], unique=False)
    op.create_table(
        "ledger",
        sa.Column("terminal", sa.Integer(), nullable=False),
        sa.Column("component", sa.Text(), nullable=False),
        sa.Column("release", sa.Integer(), nullable=False),
        sa.Column("action", sa.Integer(), nullable=True),
        sa.Column("offered", sa.Float(), nullable=True),
        sa.Column("notified", sa.Float(), nullable=True),
        sa.Column("size", sa.Integer(), server_default="0", nullable=False),
        sa.Column("bytes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sync", sa.Integer(), server_default="0", nullable=False),
        sa.Column("phase", sa.Text(), server_default="offered", nullable=False),
        sa.Column("distributed", sa.Float(), nullable=True),
        sa.Column("installed", sa.Float(), nullable=True),
        sa.Column("verdict", sa.Text(), server_default="pending", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("ended", sa.Float(), nullable=True),
        sa.Column("updated", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["release"],
            ["release.id"],
        ),
        sa.ForeignKeyConstraint(
            ["terminal"],
            ["terminal.n"],
        ),
        sa.PrimaryKeyConstraint("terminal", "component", "release"),
    )
    op.create_table(
        "rollout",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("release", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), server_default="draft", nullable=False),
        sa.Column("everyone", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("time_limit", sa.Float(), nullable=False),
        sa.Column("created", sa.Float(), nullable=True),
        sa.Column("started", sa.Float(), nullable=True),
        sa.Column("ended", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["release"],
            ["release.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "action",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("terminal", sa.Integer(), nullable=False),
        sa.Column("component", sa.Text(), nullable=False),
        sa.Column("release", sa.Integer(), nullable=False),
        sa.Column("rollout", sa.Integer(), nullable=True),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("kind", sa.Text(), server_default="", nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), server_default="0", nullable=False),
        sa.Column("need", sa.Integer(), server_default="0", nullable=False),
        sa.Column("base", sa.Text(), server_default="", nullable=False),
        sa.Column("secured", sa.Integer(), server_default="0", nullable=False),
        sa.Column("held", sa.Boolean(), server_default="1", nullable=False),
        sa.Column("created", sa.Float(), nullable=True),
        sa.Column("fetched", sa.Float(), nullable=True),
        sa.Column("closed", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["file"],
            ["file.digest"],
        ),
        sa.ForeignKeyConstraint(
            ["release"],
            ["release.id"],
        ),
        sa.ForeignKeyConstraint(
            ["rollout"],
            ["rollout.id"],
        ),
        sa.ForeignKeyConstraint(
            ["terminal"],
            ["terminal.n"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("action_file", "action", ["file"], unique=False)
    op.create_index("action_terminal", "action", ["terminal", "component", "state"], unique=False)
    op.create_table(
        "notice",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rollout", sa.Integer(), nullable=True),
        sa.Column("terminal", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["rollout"],
            ["rollout.id"],
        ),
        sa.ForeignKeyConstraint(
            ["terminal"],
            ["terminal.n"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "rollout_terminal",
        sa.Column("rollout", sa.Integer(), nullable=False),
        sa.Column("terminal", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["rollout"],
            ["rollout.id"],
        ),
        sa.ForeignKeyConstraint(
            ["terminal"],
            ["terminal.n"],
        ),
        sa.PrimaryKeyConstraint("rollout", "terminal"),
    )


def downgrade() -> None:
    for table in ("rollout_terminal", "notice", "action", "rollout", "ledger", "event", "component", "terminal"):
        op.drop_table(table)
    for table in ("release_key", "release", "delta", "setting", "model", "file"):
        op.drop_table(table)
