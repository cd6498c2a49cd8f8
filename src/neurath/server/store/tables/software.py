"""The tables of software: models, keys, files, releases, what is built of them, and the folders they come from. It knows
columns; it must never know how a row is written."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, LargeBinary, Table, Text
from sqlalchemy import UniqueConstraint as Unique

from neurath.server.store.tables.columns import count, metadata, moment, words

#: `toml` is "" for a plain model: third-party clients whose memory map we do not know.
model = Table("model", metadata, Column("name", Text, primary_key=True), words("toml"), moment("added"), words("compatible"))

#: Lists of keys as roots signed them; every one stays: a terminal that slept for years takes them one after the other.
key_list = Table(
    "key_list",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    moment("added"),
)

#: Release public keys a model's envelopes are checked against.
release_key = Table(
    "release_key",
    metadata,
    Column("model", ForeignKey("model.name"), primary_key=True),
    Column("pem", Text, primary_key=True),
    moment("added"),
)

#: `added` null: it was here, and was pruned (software/retention.py).
file = Table(
    "file", metadata, Column("digest", Text, primary_key=True), count("size"), words("sha1"), words("md5"), moment("added")
)

#: One version of one component of one model. `kind` is "image" (ours) or the type of a foreign package.
release = Table(
    "release",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", ForeignKey("model.name"), nullable=False),
    words("component", "firmware"),
    words("version", None),
    words("kind", "image"),
    words("filename"),
    Column("image", ForeignKey("file.digest"), nullable=False),
    count("size"),
    Column("envelope", LargeBinary),
    words("envelope_digest"),
    words("leaves"),
    count("sequence"),
    count("epoch"),
    moment("added"),
    moment("revoked"),
    count("priority"),
    words("compatible"),
    words("revoked_why"),
    words("channels", " "),
    Unique("model", "component", "version", name="release_version"),
    Index("release_image", "image"),
    sqlite_autoincrement=True,
)

#: An update file and what it was built from; `old` is "" for a full image in the container. Never changed.
delta = Table(
    "delta",
    metadata,
    Column("old", Text, primary_key=True),
    Column("new", Text, primary_key=True),
    Column("layout", Text, primary_key=True),
    Column("profile", Integer, primary_key=True),
    Column("file", ForeignKey("file.digest"), nullable=False),
    count("size"),
    count("workspace"),
    count("sectors"),
    Column("seconds", Float, nullable=False, server_default="0"),
    moment("built"),
)

#: An update file that could not be built (server/software/hopeless.py): by which engine, how often, when last, why.
failed_build = Table(
    "failed_build",
    metadata,
    Column("old", Text, primary_key=True),
    Column("new", Text, primary_key=True),
    Column("layout", Text, primary_key=True),
    Column("profile", Integer, primary_key=True),
    words("engine"),
    count("tries"),
    Column("at", Float, nullable=False),
    words("reason"),
)

#: The size of the pieces that a file rides in; once begun it never changes (server/fleet/pieces.py).
cut = Table(
    "cut",
    metadata,
    Column("file", ForeignKey("file.digest"), primary_key=True),
    Column("piece", Integer, nullable=False),
    moment("begun"),
)

#: A watched folder and what it is bound to; `trouble` says why it cannot be read.
folder = Table(
    "folder",
    metadata,
    Column("id", Integer, primary_key=True),
    words("path", None),
    Column("model", ForeignKey("model.name"), nullable=False),
    words("component", "firmware"),
    Column("auto", Boolean, nullable=False, server_default="0"),
    moment("added"),
    words("trouble"),
    words("policy", "default"),
    words("target"),
    words("pieces"),
    count("priority"),
    Unique("path", name="folder_path"),
    Unique("model", "component", name="folder_component"),
    sqlite_autoincrement=True,
)

#: The terminals a folder's rollouts are for; none: every terminal of the model.
folder_terminal = Table(
    "folder_terminal",
    metadata,
    Column("folder", ForeignKey("folder.id"), primary_key=True),
    Column("terminal", ForeignKey("terminal.n"), primary_key=True),
)

#: How each file in a folder stands, its digests as it lies there.
folder_file = Table(
    "folder_file",
    metadata,
    Column("folder", ForeignKey("folder.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    count("size"),
    words("digest"),
    words("envelope"),
    words("standing", None),
    words("note"),
    Column("release", ForeignKey("release.id")),
)
