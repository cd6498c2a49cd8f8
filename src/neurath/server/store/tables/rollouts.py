"""The tables of rollouts: whom they reach, what was offered, and what came of it. It knows columns; it must never know how a
row is written."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, Table, Text, text

from neurath.server.store.tables.columns import count, metadata, moment, words

#: The few terminals that need a station are found without a look at the others (as among components).
_TORN = text("verdict = 'restoration'")

rollout = Table(
    "rollout",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("release", ForeignKey("release.id"), nullable=False),
    words("state", "draft"),
    Column("everyone", Boolean, nullable=False, server_default="0"),
    Column("time_limit", Float, nullable=False),
    moment("created"),
    moment("started"),
    moment("ended"),
    words("policy", "at-once"),
    words("target"),
    count("step"),
    Column("gate", Integer, nullable=False, server_default="2147483648"),
    moment("stopped"),
    count("bad"),
    count("excused"),
    words("why"),
    words("pieces"),
    words("author"),
    words("approver"),
    Column("back", Integer),
    sqlite_autoincrement=True,
)

#: When each wave of a rollout was opened, and to which draws (server/fleet/reach.py).
rollout_wave = Table(
    "rollout_wave",
    metadata,
    Column("rollout", ForeignKey("rollout.id"), primary_key=True),
    Column("step", Integer, primary_key=True),
    count("gate"),
    moment("opened"),
)

rollout_terminal = Table(
    "rollout_terminal",
    metadata,
    Column("rollout", ForeignKey("rollout.id"), primary_key=True),
    Column("terminal", ForeignKey("terminal.n"), primary_key=True),
)

#: One update file offered to one terminal; its number is the DDI action id. `held`: the terminal may hold a ticket for
#: the file and has given no verdict, so the file stays.
action = Table(
    "action",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("terminal", ForeignKey("terminal.n"), nullable=False),
    Column("component", Text, nullable=False),
    Column("release", ForeignKey("release.id"), nullable=False),
    Column("rollout", ForeignKey("rollout.id")),
    words("state", "open"),
    words("kind"),
    Column("file", ForeignKey("file.digest"), nullable=False),
    count("size"),
    count("need"),
    words("base"),
    count("secured"),
    Column("held", Boolean, nullable=False, server_default="1"),
    moment("created"),
    moment("fetched"),
    moment("closed"),
    Column("insists", Boolean, nullable=False, server_default="0"),
    Index("action_terminal", "terminal", "component", "state"),
    Index("action_file", "file"),
    sqlite_autoincrement=True,
)

#: What a third-party client said about an action, in hawkBit's statuses.
word = Table(
    "word",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("action", ForeignKey("action.id"), nullable=False),
    moment("at"),
    words("status"),
    words("text"),
    Index("word_action", "action", "id"),
    sqlite_autoincrement=True,
)

ledger = Table(
    "ledger",
    metadata,
    Column("terminal", ForeignKey("terminal.n"), primary_key=True),
    Column("component", Text, primary_key=True),
    Column("release", ForeignKey("release.id"), primary_key=True),
    Column("action", Integer),
    moment("offered"),
    moment("notified"),
    count("size"),
    count("bytes"),
    count("sync"),
    words("phase", "offered"),
    moment("distributed"),
    moment("installed"),
    words("verdict", "pending"),
    words("reason"),
    count("tries"),
    moment("ended"),
    moment("updated"),
    moment("moved"),
    Index("ledger_release", "release", "terminal", "component"),
    Index("ledger_torn", "terminal", sqlite_where=_TORN, postgresql_where=_TORN),
)

event = Table(
    "event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("terminal", ForeignKey("terminal.n"), nullable=False),
    Column("component", Text, nullable=False),
    moment("at"),
    words("kind"),
    words("text"),
    Index("event_terminal", "terminal", "id"),
    sqlite_autoincrement=True,
)

#: What a running server has to tell terminals, whoever wrote it: all of a rollout, or one terminal.
notice = Table(
    "notice",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rollout", ForeignKey("rollout.id")),
    Column("terminal", ForeignKey("terminal.n")),
    sqlite_autoincrement=True,
)
