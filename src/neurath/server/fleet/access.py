"""Who a terminal is and whether it may speak: registration, a token each, stored as its hash. It knows terminals by
(tenant, id); it must never keep a token, and never tell a stranger whether a terminal exists."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, insert, select, tuple_, update

from neurath.errors import DataError, NotFound, RefusedError
from neurath.ids import ModelName, TerminalId, checked_name
from neurath.server.fleet import target
from neurath.server.store.tables import model as models
from neurath.server.store.tables import terminal as terminals
from neurath.wire.confirmation import AutoConfirm

DEFAULT_TENANT = "DEFAULT"
#: Characters of the name of a place, at the most.
MOST_PLACE = 200


#: Made once: to put a question together takes longer than to ask it.
_NAMED = select(terminals).where(terminals.c.tenant == bindparam("whose"), terminals.c.id == bindparam("name"))


class Stranger(RefusedError):  # noqa: N818 (who, not what went wrong)
    """Unknown terminal or wrong token; the device plane answers 401."""

    default_id = "NRT-320"


@dataclass(frozen=True, slots=True)
class Terminal:
    """A registered terminal. `n` is its number in this store; `link` its declared speed in bytes a second, 0 unknown;
    `configured` is None until it has sent attributes; `twin`: when it was seen that two devices use its id; `place`: where it
    stands, in an operator's words; `key`: its device key's public half (docs/spec/enrolment.md), `revoked`: since when that
    counts no more; `proof`: how it showed who it is when it was last heard (docs/spec/links.md)."""

    n: int
    tenant: str
    id: TerminalId
    model: ModelName | None
    link: int
    attributes: dict[str, str]
    configured: float | None
    heard: float | None
    carrier: str
    address: str
    registered: float
    auto_confirm: AutoConfirm = AutoConfirm()  # noqa: RUF009 (frozen)
    channel: str = ""
    decommissioned: float | None = None
    replaced_by: str = ""
    twin: float | None = None
    tags: tuple[str, ...] = ()
    place: str = ""
    key: str = ""
    revoked: float | None = None
    proof: str = ""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What is needed to register one terminal; `token` "" asks for a new one. What else is known of it already, where it comes
    from another server: tags, what it said about itself, its last address."""

    id: str
    model: str | None = None
    tenant: str = DEFAULT_TENANT
    token: str = ""
    link: int = 0
    place: str = ""
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    address: str = ""


def checked(one: Enrolment) -> Enrolment:
    """One whose words can all be kept; DataError."""
    checked_place(one.place)
    checked_name(one.id, "terminal id")
    checked_name(one.tenant, "tenant")
    for word in one.tags:
        checked_name(word, "tag")
    return one


def new_row(one: Enrolment) -> dict[str, object]:
    """Its row of the terminals' table, but for token and moment."""
    return {
        "tenant": one.tenant,
        "id": one.id,
        "model": one.model,
        "link": one.link,
        "place": one.place.strip(),
        "tags": _tag_words(one.tags),
        "attributes": _attribute_text(one.attributes),
        "address": one.address,
    }


def register(db: Connection, enrolment: Enrolment, now: float) -> str:
    """Registers a terminal and gives its token, the only time it is seen; RefusedError when the id is taken."""
    checked(enrolment)
    if enrolment.model is not None and db.scalar(select(models.c.name).where(models.c.name == enrolment.model)) is None:
        raise NotFound(
            f"no model {enrolment.model!r}", "a terminal needs one that is known", "neurath model add FILE.toml", id="NRT-132"
        )
    if _row(db, enrolment.tenant, enrolment.id) is not None:
        raise RefusedError(f"terminal {enrolment.id} is registered already", "", f"neurath terminal show {enrolment.id}")
    token = enrolment.token or secrets.token_hex(24)
    if not is_token(token):
        raise DataError("this is not a token", "32 to 128 letters and digits", "leave it out to get one made", id="NRT-262")
    db.execute(insert(terminals).values(**new_row(enrolment), token=hashed(token), registered=now))
    return token


def checked_place(text: str) -> str:
    """Where a terminal stands: one line for people."""
    if len(text) > MOST_PLACE or not (text.isprintable() or not text):
        why = f"one line of at most {MOST_PLACE} characters"
        raise DataError("this is no place", why, "'Osaka, hall 3, row 12'", id="NRT-262")
    return text.strip()


def put_at(db: Connection, terminal: Terminal, place: str) -> None:
    """Where a terminal stands, for who goes there; "": not known."""
    db.execute(update(terminals).where(terminals.c.n == terminal.n).values(place=checked_place(place)))


def is_token(text: str) -> bool:
    """Whether it is long enough to be one."""
    return text.isascii() and text.isalnum() and 32 <= len(text) <= 128


def renew_token(db: Connection, terminal: Terminal) -> str:
    """A new token in place of the old one."""
    token = secrets.token_hex(24)
    db.execute(update(terminals).where(terminals.c.n == terminal.n).values(token=hashed(token)))
    return token


def admit(db: Connection, tenant: str, name: str, authorization: str) -> Terminal:
    """The terminal that this `Authorization` header belongs to, or Stranger."""
    row = _row(db, tenant, name)
    scheme, _, token = authorization.partition(" ")
    # A missing terminal costs the same comparison as a wrong token.
    expected = "" if row is None or row.decommissioned is not None else str(row.token)
    given = hashed(token.strip()) if scheme.lower() == "targettoken" else "-"
    if row is None or not expected or not hmac.compare_digest(expected, given):
        raise Stranger("this terminal is not known here", "unknown id or wrong token", "neurath terminal add ID --model M")
    return _terminal(row)


def proven(db: Connection, tenant: str, name: str, proof: str) -> Terminal:
    """The terminal of this name, if it is the one that proved itself: tenant, id and the hash of its token; or Stranger."""
    row = _row(db, tenant, name)
    if row is None or row.decommissioned is not None or proof != f"{tenant}/{name}/{row.token}" or not row.token:
        raise Stranger("this terminal is not known here", "unknown id or wrong token", "neurath terminal add ID --model M")
    return _terminal(row)


def is_known(db: Connection, tenant: str, name: str) -> bool:
    return _row(db, tenant, name) is not None


def admit_anyone(db: Connection, tenant: str, name: str, authorization: str, now: float) -> Terminal:
    """Plug and play: an unknown terminal is registered without a token. One that has a token still needs it."""
    row = _row(db, tenant, name)
    if row is not None and (row.token or row.decommissioned is not None):
        return admit(db, tenant, name, authorization)
    if row is None:
        checked_name(name, "terminal id")
        checked_name(tenant, "tenant")
        db.execute(insert(terminals).values(tenant=tenant, id=name, registered=now))
    return find(db, name, tenant)


def find(db: Connection, name: str, tenant: str = DEFAULT_TENANT) -> Terminal:
    """The registered terminal, or NotFound."""
    row = _row(db, tenant, name)
    if row is None:
        raise NotFound(f"no terminal {name!r}", f"none is registered in {tenant}", "neurath terminal list", id="NRT-133")
    return _terminal(row)


def by_number(db: Connection, n: int) -> Terminal:
    return _terminal(db.execute(select(terminals).where(terminals.c.n == n)).one())


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which terminals are wanted: of a tenant, such as a filter asks for, so many of them after this (tenant, id), or after
    the first `offset`; those out of service only where they are asked for. `order`: ORDERS, a minus before it turns it."""

    tenant: str | None = None
    target: str = ""
    after: tuple[str, str] = ("", "")
    limit: int | None = None
    retired: bool = False
    offset: int = 0
    order: str = "id"


ORDERS = {"id": terminals.c.id, "registered": terminals.c.registered, "heard": terminals.c.heard}


def all_terminals(db: Connection, tenant: str | None = None) -> list[Terminal]:
    """Every registered terminal in service, in order of id."""
    return page(db, Wanted(tenant))


def page(db: Connection, wanted: Wanted) -> list[Terminal]:
    """The terminals that are wanted, in order of tenant and id if nothing else is said; a page takes as long wherever it lies,
    unless it is asked for by `offset`."""
    query = _such(select(terminals), wanted).limit(wanted.limit).offset(wanted.offset or None)
    if wanted.order != "id":
        first = ORDERS[wanted.order.removeprefix("-")]
        query = query.order_by(first.desc() if wanted.order.startswith("-") else first.asc())
    return [_terminal(row) for row in db.execute(query.order_by(terminals.c.tenant, terminals.c.id))]


def count(db: Connection, wanted: Wanted) -> int:
    """How many terminals are wanted, on all pages."""
    return db.scalar(_such(select(func.count()).select_from(terminals), wanted)) or 0


def _such(query: Select[Any], wanted: Wanted) -> Select[Any]:
    if wanted.tenant is not None:
        query = query.where(terminals.c.tenant == wanted.tenant)
    if wanted.after != ("", ""):
        query = query.where(tuple_(terminals.c.tenant, terminals.c.id) > tuple_(*wanted.after))
    if wanted.target:
        query = query.where(target.clause(wanted.target))
    if not wanted.retired:
        query = query.where(terminals.c.decommissioned.is_(None))
    return query


def configure(db: Connection, terminal: Terminal, attributes: dict[str, str], now: float) -> None:
    """Keeps what a terminal says about itself; a model it was never given is taken from there if it is a known one."""
    values: dict[str, object] = {"attributes": _attribute_text(attributes), "configured": now}
    said = attributes.get("neurath.model", "")
    if terminal.model is None and said and db.scalar(select(models.c.name).where(models.c.name == said)):
        values["model"] = said
    db.execute(update(terminals).where(terminals.c.n == terminal.n).values(**values))


def _attribute_text(attributes: Mapping[str, str]) -> str:
    return json.dumps({_sound(name): _sound(value) for name, value in attributes.items()}, sort_keys=True)


def _sound(text: str) -> str:
    """Text that every database can read again; a device may send half a character, or NUL."""
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def tag(db: Connection, terminal: Terminal, on: set[str], off: set[str]) -> list[str]:
    """Puts words of the operator's on a terminal and takes others off; gives those it has now."""
    for word in on:
        checked_name(word, "tag")
    row = db.execute(select(terminals.c.tags).where(terminals.c.n == terminal.n)).one()
    kept = sorted((set(str(row.tags).split()) | on) - off)
    db.execute(update(terminals).where(terminals.c.n == terminal.n).values(tags=_tag_words(kept)))
    return kept


def _tag_words(tags: Iterable[str]) -> str:
    """Tags as they are kept, each between blanks, which is how a filter finds one."""
    return f" {' '.join(sorted(set(tags)))} "


def tags(db: Connection, terminal: Terminal) -> list[str]:
    """The operator's words on a terminal."""
    return str(db.scalar(select(terminals.c.tags).where(terminals.c.n == terminal.n)) or "").split()


def confirm_all(db: Connection, terminal: Terminal, auto: AutoConfirm) -> None:
    """From now on a terminal confirms whatever comes, or (at None) no longer does."""
    text = "" if auto.at is None else json.dumps(dataclasses.asdict(auto))
    db.execute(update(terminals).where(terminals.c.n == terminal.n).values(auto_confirm=text))


def next_serial(db: Connection, terminal: Terminal, now: float) -> int:
    """A ticket serial above every earlier one of this terminal, even after the store came back from an old backup."""
    last = db.scalar(select(terminals.c.serial).where(terminals.c.n == terminal.n)) or 0
    serial = min(max(int(last) + 1, int(now)), 0xFFFF_FFFF)
    db.execute(update(terminals).where(terminals.c.n == terminal.n).values(serial=serial))
    return serial


def _row(db: Connection, tenant: str, name: str) -> Row[tuple[object, ...]] | None:
    return db.execute(_NAMED, {"whose": tenant, "name": name}).one_or_none()


def _terminal(row: Row[tuple[object, ...]]) -> Terminal:
    return Terminal(
        n=row.n,
        tenant=row.tenant,
        id=TerminalId(row.id),
        model=None if row.model is None else ModelName(row.model),
        link=row.link,
        attributes=json.loads(row.attributes),
        configured=row.configured,
        heard=row.heard,
        carrier=row.carrier,
        address=row.address,
        registered=row.registered,
        auto_confirm=AutoConfirm(**json.loads(row.auto_confirm)) if row.auto_confirm else AutoConfirm(),
        channel=row.channel,
        decommissioned=row.decommissioned,
        replaced_by=row.replaced_by,
        twin=row.twin,
        tags=tuple(row.tags.split()),
        place=row.place,
        key=row.key,
        revoked=row.revoked,
        proof=row.proof,
    )


def hashed(token: str) -> str:
    """What is kept of a token. Tokens are random and long, so one round of SHA-256 is enough."""
    return hashlib.sha256(token.encode()).hexdigest()
