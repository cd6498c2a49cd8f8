"""The tables of people: who may sign in, what they set and did, and how they are told. It knows columns; it must never know
how a row is written."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, Table, Text
from sqlalchemy import UniqueConstraint as Unique

from neurath.server.store.tables.columns import count, metadata, moment, words

setting = Table("setting", metadata, Column("key", Text, primary_key=True), words("value"))

#: Somebody who may sign in. `password` is argon2id's word for it, "" where an identity provider vouches (`subject`).
operator = Table(
    "operator",
    metadata,
    Column("id", Integer, primary_key=True),
    words("name", None),
    words("role", "viewer"),
    words("password"),
    words("subject"),
    moment("added"),
    moment("disabled"),
    Unique("name", name="operator_name"),
    Index("operator_subject", "subject"),
    sqlite_autoincrement=True,
)

#: A browser that is signed in. `key` is the hash of its cookie, `was` of the one before.
session = Table(
    "session",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("operator", ForeignKey("operator.id"), nullable=False),
    words("key", None),
    words("was"),
    words("csrf", None),
    words("address"),
    Column("begun", Float, nullable=False),
    Column("renewed", Float, nullable=False),
    Column("seen", Float, nullable=False),
    Index("session_key", "key"),
    Index("session_was", "was"),
    sqlite_autoincrement=True,
)

#: A script's token, by its hash; `by` who made it, whose number is `operator`. Or a station's certificate, in base64, by
#: the hash of its bytes.
api_token = Table(
    "api_token",
    metadata,
    Column("name", Text, primary_key=True),
    words("hash", None),
    words("role", "viewer"),
    words("by"),
    Column("operator", ForeignKey("operator.id")),
    moment("added"),
    Column("expires", Float, nullable=False),
    moment("used"),
    words("certificate"),
    Index("api_token_hash", "hash"),
)

#: Sign-ins that failed, by a hash of whose and from where (server/access/throttle.py).
failure = Table(
    "failure",
    metadata,
    Column("key", Text, primary_key=True),
    count("count"),
    Column("last", Float, nullable=False),
)

#: A sign-in that is at the identity provider just now, by the hash of its state.
oidc_try = Table(
    "oidc_try",
    metadata,
    Column("state", Text, primary_key=True),
    words("nonce", None),
    words("verifier", None),
    words("back"),
    Column("begun", Float, nullable=False),
)

#: The audit log (server/store/audit.py): triggers of its migration let nobody change or delete an entry.
audit = Table(
    "audit",
    metadata,
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("at", Integer, nullable=False),
    words("who"),
    words("role"),
    words("way"),
    words("address"),
    words("what"),
    words("subject"),
    words("detail"),
    words("before", None),
    words("hash", None),
)

#: The one row that says how many entries there are, and the last one's hash.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    count("n"),
    words("hash", None),
)

#: What people were to be told, in order (server/alerts/journal.py).
alert = Table(
    "alert",
    metadata,
    Column("id", Integer, primary_key=True),
    words("key", None),
    words("cause", None),
    words("subject", None),
    words("text", None),
    Column("at", Float, nullable=False),
    Column("over", Boolean, nullable=False),
    sqlite_autoincrement=True,
)

#: The ways they are told, and how far each has come. `to` is JSON.
alert_channel = Table(
    "alert_channel",
    metadata,
    Column("name", Text, primary_key=True),
    words("kind", None),
    words("url", None),
    words("secret"),
    words("sender"),
    words("to", "[]"),
    words("about"),
    moment("added"),
    count("sent"),
    count("tries"),
    Column("due", Float, nullable=False, server_default="0"),
    words("trouble"),
)
