"""The tables of terminals: what each is and last said, whom its files are hidden for, which gateways answer for it. It knows
columns; it must never know how a row is written."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, Table, Text, text
from sqlalchemy import UniqueConstraint as Unique

from neurath.server.store.tables.columns import count, metadata, moment, words

#: The few terminals that need a station are found without a look at the others (as in the ledger).
_RESTORING = text("state = 'restoring'")

terminal = Table(
    "terminal",
    metadata,
    Column("n", Integer, primary_key=True),
    words("tenant", "DEFAULT"),
    words("id", None),
    Column("model", ForeignKey("model.name")),
    words("token"),
    moment("registered"),
    moment("heard"),
    words("carrier"),
    words("address"),
    count("link"),
    count("serial"),
    words("attributes", "{}"),
    moment("configured"),
    words("tags", " "),
    words("remind"),
    moment("reminded"),
    count("room"),
    words("auto_confirm"),
    words("channel"),
    moment("decommissioned"),
    words("replaced_by"),
    moment("twin"),
    words("place"),
    Column("budget", BigInteger),
    words("key"),
    moment("revoked"),
    words("proof"),
    Unique("tenant", "id", name="terminal_id"),
    Index("terminal_key", "key", unique=True, sqlite_where=text("key != ''"), postgresql_where=text("key != ''")),
    sqlite_autoincrement=True,
)

#: What was signed with a terminal's device key already: the highest number under the server's word `epoch`, those below it,
#: and the word that comes after.
signing = Table(
    "signing",
    metadata,
    Column("terminal", ForeignKey("terminal.n"), primary_key=True),
    words("epoch"),
    Column("number", BigInteger, nullable=False, server_default="0"),
    Column("held", BigInteger, nullable=False, server_default="0"),
    words("coming"),
)

#: What a terminal last said about one of its components, and what it is pinned to.
component = Table(
    "component",
    metadata,
    Column("terminal", ForeignKey("terminal.n"), primary_key=True),
    Column("name", Text, primary_key=True),
    words("model"),
    words("bank"),
    count("bank_size"),
    words("word"),
    count("ram"),
    count("stage"),
    count("spare"),
    count("profiles"),
    count("key_list"),
    count("link"),
    words("nonce"),
    words("envelope"),
    count("epoch"),
    count("sequence"),
    words("state", "idle"),
    words("open_file"),
    words("staged"),
    count("staged_bytes"),
    moment("checked"),
    Column("pin", ForeignKey("release.id")),
    words("before"),
    count("returns"),
    count("confirmed"),
    Index("component_torn", "terminal", sqlite_where=_RESTORING, postgresql_where=_RESTORING),
)

#: Target filters that are kept under a name.
kept_filter = Table("filter", metadata, Column("name", Text, primary_key=True), words("text"), moment("added"))

#: Whom a terminal's files are hidden for (docs/spec/veil.md), as wire/veil.py writes it down: a secret where it is derived.
veil_key = Table(
    "veil_key", metadata, Column("terminal", ForeignKey("terminal.n"), primary_key=True), words("veil", None), moment("added")
)

#: Which file hides which update file for a terminal; the key it was hidden with is kept nowhere. `mark` is a hash of whom it
#: is hidden for.
veiled = Table(
    "veiled",
    metadata,
    Column("file", ForeignKey("file.digest"), primary_key=True),
    Column("plain", ForeignKey("file.digest"), nullable=False),
    Column("terminal", ForeignKey("terminal.n"), nullable=False),
    words("mark", None),
    Column("made", Float, nullable=False),
    Index("veiled_terminal", "terminal", "plain"),
)

#: Bytes of software that left for a terminal in a month (YYYY-MM, UTC).
traffic = Table(
    "traffic",
    metadata,
    Column("terminal", ForeignKey("terminal.n"), primary_key=True),
    Column("month", Text, primary_key=True),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
)

#: A carrier server at a site, which answers in the server's place. `token` is its hash; revoked ones stay, to be named.
gateway = Table(
    "gateway",
    metadata,
    Column("id", Integer, primary_key=True),
    words("tenant", "DEFAULT"),
    words("name", None),
    words("token", None),
    moment("added"),
    moment("heard"),
    moment("revoked"),
    Unique("name", name="gateway_name"),
    sqlite_autoincrement=True,
)

#: The terminals a gateway answers for; a terminal that moves between sites has several.
gateway_terminal = Table(
    "gateway_terminal",
    metadata,
    Column("gateway", ForeignKey("gateway.id"), primary_key=True),
    Column("terminal", ForeignKey("terminal.n"), primary_key=True),
)
