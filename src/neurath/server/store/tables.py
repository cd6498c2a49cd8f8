"""The tables as they are now. It knows names and types; it must never change without a migration beside it
(tests/server/test_store.py compares the two). Digests are lower-case hexadecimal, times are seconds since 1970."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text, text
from sqlalchemy import UniqueConstraint as Unique

metadata = MetaData()
#: The few terminals that need a station are found without a look at the others.
_TORN, _RESTORING = text("verdict = 'restoration'"), text("state = 'restoring'")


def _text(name: str, default: str | None = "") -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


def _time(name: str) -> Column[float]:
    """A moment; null: it has not come."""
    return Column(name, Float)


setting = Table("setting", metadata, Column("key", Text, primary_key=True), _text("value"))

#: `toml` is "" for a plain model: third-party clients whose memory map we do not know.
model = Table("model", metadata, Column("name", Text, primary_key=True), _text("toml"), _time("added"), _text("compatible"))

#: Release public keys a model's envelopes are checked against.
#: Lists of keys as roots signed them; every one stays: a terminal that slept for years takes them one after the other.
key_list = Table(
    "key_list",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    _time("added"),
)
release_key = Table(
    "release_key",
    metadata,
    Column("model", ForeignKey("model.name"), primary_key=True),
    Column("pem", Text, primary_key=True),
    _time("added"),
)

#: `added` null: it was here, and was pruned (software/retention.py).
file = Table(
    "file", metadata, Column("digest", Text, primary_key=True), _count("size"), _text("sha1"), _text("md5"), _time("added")
)

#: One version of one component of one model. `kind` is "image" (ours) or the type of a foreign package.
release = Table(
    "release",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", ForeignKey("model.name"), nullable=False),
    _text("component", "firmware"),
    _text("version", None),
    _text("kind", "image"),
    _text("filename"),
    Column("image", ForeignKey("file.digest"), nullable=False),
    _count("size"),
    Column("envelope", LargeBinary),
    _text("envelope_digest"),
    _text("leaves"),
    _count("sequence"),
    _count("epoch"),
    _time("added"),
    _time("revoked"),
    _count("priority"),
    _text("compatible"),
    _text("revoked_why"),
    _text("channels", " "),
    Unique("model", "component", "version", name="release_version"),
    Index("release_image", "image"),
    sqlite_autoincrement=True,
)

terminal = Table(
    "terminal",
    metadata,
    Column("n", Integer, primary_key=True),
    _text("tenant", "DEFAULT"),
    _text("id", None),
    Column("model", ForeignKey("model.name")),
    _text("token"),
    _time("registered"),
    _time("heard"),
    _text("carrier"),
    _text("address"),
    _count("link"),
    _count("serial"),
    _text("attributes", "{}"),
    _time("configured"),
    _text("tags", " "),
    _text("remind"),
    _time("reminded"),
    _count("room"),
    _text("auto_confirm"),
    _text("channel"),
    _time("decommissioned"),
    _text("replaced_by"),
    _time("twin"),
    _text("place"),
    Column("budget", BigInteger),
    _text("key"),
    _time("revoked"),
    _text("proof"),
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
    _text("epoch"),
    Column("number", BigInteger, nullable=False, server_default="0"),
    Column("held", BigInteger, nullable=False, server_default="0"),
    _text("coming"),
)

#: What a terminal last said about one of its components, and what it is pinned to.
component = Table(
    "component",
    metadata,
    Column("terminal", ForeignKey("terminal.n"), primary_key=True),
    Column("name", Text, primary_key=True),
    _text("model"),
    _text("bank"),
    _count("bank_size"),
    _text("word"),
    _count("ram"),
    _count("stage"),
    _count("spare"),
    _count("profiles"),
    _count("key_list"),
    _count("link"),
    _text("nonce"),
    _text("envelope"),
    _count("epoch"),
    _count("sequence"),
    _text("state", "idle"),
    _text("open_file"),
    _text("staged"),
    _count("staged_bytes"),
    _time("checked"),
    Column("pin", ForeignKey("release.id")),
    _text("before"),
    _count("returns"),
    _count("confirmed"),
    Index("component_torn", "terminal", sqlite_where=_RESTORING, postgresql_where=_RESTORING),
)

#: Target filters that are kept under a name.
kept_filter = Table("filter", metadata, Column("name", Text, primary_key=True), _text("text"), _time("added"))

rollout = Table(
    "rollout",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("release", ForeignKey("release.id"), nullable=False),
    _text("state", "draft"),
    Column("everyone", Boolean, nullable=False, server_default="0"),
    Column("time_limit", Float, nullable=False),
    _time("created"),
    _time("started"),
    _time("ended"),
    _text("policy", "at-once"),
    _text("target"),
    _count("step"),
    Column("gate", Integer, nullable=False, server_default="2147483648"),
    _time("stopped"),
    _count("bad"),
    _count("excused"),
    _text("why"),
    _text("pieces"),
    _text("author"),
    _text("approver"),
    Column("back", Integer),
    sqlite_autoincrement=True,
)

#: When each wave of a rollout was opened, and to which draws (server/fleet/reach.py).
rollout_wave = Table(
    "rollout_wave",
    metadata,
    Column("rollout", ForeignKey("rollout.id"), primary_key=True),
    Column("step", Integer, primary_key=True),
    _count("gate"),
    _time("opened"),
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
    _text("state", "open"),
    _text("kind"),
    Column("file", ForeignKey("file.digest"), nullable=False),
    _count("size"),
    _count("need"),
    _text("base"),
    _count("secured"),
    Column("held", Boolean, nullable=False, server_default="1"),
    _time("created"),
    _time("fetched"),
    _time("closed"),
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
    _time("at"),
    _text("status"),
    _text("text"),
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
    _time("offered"),
    _time("notified"),
    _count("size"),
    _count("bytes"),
    _count("sync"),
    _text("phase", "offered"),
    _time("distributed"),
    _time("installed"),
    _text("verdict", "pending"),
    _text("reason"),
    _count("tries"),
    _time("ended"),
    _time("updated"),
    _time("moved"),
    Index("ledger_release", "release", "terminal", "component"),
    Index("ledger_torn", "terminal", sqlite_where=_TORN, postgresql_where=_TORN),
)

event = Table(
    "event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("terminal", ForeignKey("terminal.n"), nullable=False),
    Column("component", Text, nullable=False),
    _time("at"),
    _text("kind"),
    _text("text"),
    Index("event_terminal", "terminal", "id"),
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
    _count("size"),
    _count("workspace"),
    _count("sectors"),
    Column("seconds", Float, nullable=False, server_default="0"),
    _time("built"),
)

#: An update file that could not be built (server/software/hopeless.py): by which engine, how often, when last, why.
failed_build = Table(
    "failed_build",
    metadata,
    Column("old", Text, primary_key=True),
    Column("new", Text, primary_key=True),
    Column("layout", Text, primary_key=True),
    Column("profile", Integer, primary_key=True),
    _text("engine"),
    _count("tries"),
    Column("at", Float, nullable=False),
    _text("reason"),
)

#: Whom a terminal's files are hidden for (docs/spec/veil.md), as wire/veil.py writes it down: a secret where it is derived.
veil_key = Table(
    "veil_key", metadata, Column("terminal", ForeignKey("terminal.n"), primary_key=True), _text("veil", None), _time("added")
)

#: Which file hides which update file for a terminal; the key it was hidden with is kept nowhere. `mark` is a hash of whom it
#: is hidden for.
veiled = Table(
    "veiled",
    metadata,
    Column("file", ForeignKey("file.digest"), primary_key=True),
    Column("plain", ForeignKey("file.digest"), nullable=False),
    Column("terminal", ForeignKey("terminal.n"), nullable=False),
    _text("mark", None),
    Column("made", Float, nullable=False),
    Index("veiled_terminal", "terminal", "plain"),
)

#: The size of the pieces that a file rides in; once begun it never changes (server/fleet/pieces.py).
cut = Table(
    "cut",
    metadata,
    Column("file", ForeignKey("file.digest"), primary_key=True),
    Column("piece", Integer, nullable=False),
    _time("begun"),
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

#: A watched folder and what it is bound to; `trouble` says why it cannot be read.
folder = Table(
    "folder",
    metadata,
    Column("id", Integer, primary_key=True),
    _text("path", None),
    Column("model", ForeignKey("model.name"), nullable=False),
    _text("component", "firmware"),
    Column("auto", Boolean, nullable=False, server_default="0"),
    _time("added"),
    _text("trouble"),
    _text("policy", "default"),
    _text("target"),
    _text("pieces"),
    _count("priority"),
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
    _count("size"),
    _text("digest"),
    _text("envelope"),
    _text("standing", None),
    _text("note"),
    Column("release", ForeignKey("release.id")),
)

#: A carrier server at a site, which answers in the server's place. `token` is its hash; revoked ones stay, to be named.
gateway = Table(
    "gateway",
    metadata,
    Column("id", Integer, primary_key=True),
    _text("tenant", "DEFAULT"),
    _text("name", None),
    _text("token", None),
    _time("added"),
    _time("heard"),
    _time("revoked"),
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

#: Somebody who may sign in. `password` is argon2id's word for it, "" where an identity provider vouches (`subject`).
operator = Table(
    "operator",
    metadata,
    Column("id", Integer, primary_key=True),
    _text("name", None),
    _text("role", "viewer"),
    _text("password"),
    _text("subject"),
    _time("added"),
    _time("disabled"),
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
    _text("key", None),
    _text("was"),
    _text("csrf", None),
    _text("address"),
    Column("begun", Float, nullable=False),
    Column("renewed", Float, nullable=False),
    Column("seen", Float, nullable=False),
    Index("session_key", "key"),
    Index("session_was", "was"),
    sqlite_autoincrement=True,
)

#: A script's token, by its hash; `by` who made it, whose number is `operator`.
api_token = Table(
    "api_token",
    metadata,
    Column("name", Text, primary_key=True),
    _text("hash", None),
    _text("role", "viewer"),
    _text("by"),
    Column("operator", ForeignKey("operator.id")),
    _time("added"),
    Column("expires", Float, nullable=False),
    _time("used"),
    Index("api_token_hash", "hash"),
)

#: Sign-ins that failed, by a hash of whose and from where (server/access/throttle.py).
failure = Table(
    "failure",
    metadata,
    Column("key", Text, primary_key=True),
    _count("count"),
    Column("last", Float, nullable=False),
)

#: A sign-in that is at the identity provider just now, by the hash of its state.
oidc_try = Table(
    "oidc_try",
    metadata,
    Column("state", Text, primary_key=True),
    _text("nonce", None),
    _text("verifier", None),
    _text("back"),
    Column("begun", Float, nullable=False),
)

#: The audit log (server/store/audit.py): triggers of its migration let nobody change or delete an entry.
audit = Table(
    "audit",
    metadata,
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("at", Integer, nullable=False),
    _text("who"),
    _text("role"),
    _text("way"),
    _text("address"),
    _text("what"),
    _text("subject"),
    _text("detail"),
    _text("before", None),
    _text("hash", None),
)

#: The one row that says how many entries there are, and the last one's hash.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    _count("n"),
    _text("hash", None),
)

#: Bytes of software that left for a terminal in a month (YYYY-MM, UTC).
traffic = Table(
    "traffic",
    metadata,
    Column("terminal", ForeignKey("terminal.n"), primary_key=True),
    Column("month", Text, primary_key=True),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
)

#: What people were to be told, in order (server/alerts/journal.py).
alert = Table(
    "alert",
    metadata,
    Column("id", Integer, primary_key=True),
    _text("key", None),
    _text("cause", None),
    _text("subject", None),
    _text("text", None),
    Column("at", Float, nullable=False),
    Column("over", Boolean, nullable=False),
    sqlite_autoincrement=True,
)

#: The ways they are told, and how far each has come. `to` is JSON.
alert_channel = Table(
    "alert_channel",
    metadata,
    Column("name", Text, primary_key=True),
    _text("kind", None),
    _text("url", None),
    _text("secret"),
    _text("sender"),
    _text("to", "[]"),
    _text("about"),
    _time("added"),
    _count("sent"),
    _count("tries"),
    Column("due", Float, nullable=False, server_default="0"),
    _text("trouble"),
)
