"""The ways in which people are told, as the store keeps them: a webhook, e-mail, an Alertmanager. It knows addresses and
secrets; it must never show a secret again, nor send anything."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from neurath.errors import DataError, NotFound, RefusedError
from neurath.ids import checked_name
from neurath.server.store.tables import alert as events
from neurath.server.store.tables import alert_channel as channels

#: What people are told about.
CAUSES = ("halt", "restoration", "silence")
#: kind -> schemes of its address.
KINDS = {"webhook": ("https", "http"), "mail": ("smtp", "smtps"), "alertmanager": ("https", "http")}
#: After a failure a channel waits, twice as long each time, from this to that many seconds.
BACK_OFF, LONGEST = 5.0, 3600.0


@dataclass(frozen=True, slots=True)
class Channel:
    """`secret` is what a webhook's messages are signed with, or the password for a mail server, whose `url` names the user;
    `sent` is the last event that arrived; `trouble` says why the next one did not, after `tries`, and `due` when it is tried
    again."""

    name: str
    kind: str
    url: str
    secret: str
    sender: str
    to: tuple[str, ...]
    about: tuple[str, ...]
    added: float
    sent: int = 0
    tries: int = 0
    due: float = 0.0
    trouble: str = ""

    @property
    def shown(self) -> str:
        """The address without what opens it."""
        found = urlsplit(self.url)
        return found._replace(netloc=found.netloc.rpartition("@")[2], query="").geturl()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a channel is added with. `about` (): everything; `secret` "": a webhook gets one made."""

    name: str
    kind: str
    url: str
    sender: str = ""
    to: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    secret: str = ""


def add(db: Connection, wanted: Wanted, now: float) -> Channel:
    """Keeps a channel, with a secret of its own where it is a webhook; what was told before is not told to it."""
    checked_name(wanted.name, "channel")
    _checked(wanted)
    if _row(db, wanted.name) is not None:
        hint = f"neurath alert remove {wanted.name}"
        raise RefusedError(f"there is a channel {wanted.name} already", "names are one's own", hint, id="NRT-392")
    values = {"name": wanted.name, "kind": wanted.kind, "url": wanted.url, "sender": wanted.sender, "added": now}
    values |= {"to": json.dumps(wanted.to), "about": " ".join(wanted.about or CAUSES)}
    values |= {"secret": wanted.secret or (secrets.token_hex(24) if wanted.kind == "webhook" else "")}
    values |= {"sent": db.scalar(select(func.max(events.c.id))) or 0}
    db.execute(insert(channels).values(**values))
    return find(db, wanted.name)


def _checked(wanted: Wanted) -> None:
    schemes = KINDS.get(wanted.kind, ())
    try:
        address = urlsplit(wanted.url)
        there = address.scheme in schemes and bool(address.hostname) and (address.port or 1) > 0
        if address.password is not None:
            raise DataError("an address is shown, a password is not", "it holds one", "--secret-file FILE", id="NRT-225")
    except ValueError:
        there = False
    if not there or not wanted.url.isprintable() or " " in wanted.url:
        hint = "webhook https://…, mail smtp://[USER@]HOST[:PORT], alertmanager http://HOST:9093"
        raise DataError(f"this is no address of a {wanted.kind}", wanted.url[:80] or "none was given", hint, id="NRT-225")
    people = (*wanted.to, wanted.sender) if wanted.kind == "mail" else ()
    if (wanted.kind == "mail") != bool(wanted.to) or not all(_is_mail(one) for one in people):
        why = "mail names who it is from and to, nothing else does; one @ each, no spaces"
        raise DataError("these are no addresses for mail", why, "--from ADDRESS --to ADDRESS", id="NRT-225")
    if not set(wanted.about) <= set(CAUSES):
        why = " ".join(wanted.about)[:80]
        raise DataError("this is nothing people are told about", why, f"--about {' '.join(CAUSES)}", id="NRT-225")


def _is_mail(text: str) -> bool:
    name, _, host = text.partition("@")
    return bool(name and host) and text.isascii() and text.isprintable() and not set(text) & set(' <>,;"') and "@" not in host


def find(db: Connection, name: str) -> Channel:
    row = _row(db, name)
    if row is None:
        raise NotFound(f"no channel {name[:64]!r}", "nobody is told that way", "neurath alert list", id="NRT-166")
    return _channel(row)


def everyone(db: Connection) -> list[Channel]:
    return [_channel(row) for row in db.execute(select(channels).order_by(channels.c.name))]


def remove(db: Connection, name: str) -> None:
    find(db, name)
    db.execute(delete(channels).where(channels.c.name == name))


def arrived(db: Connection, channel: Channel, last: int) -> None:
    """Everything up to this event is there."""
    mine = channels.c.name == channel.name
    db.execute(update(channels).where(mine).values(sent=last, tries=0, due=0.0, trouble=""))


def failed(db: Connection, channel: Channel, why: str, now: float) -> None:
    """It is tried again later, and later each time."""
    due = now + min(BACK_OFF * 2.0 ** min(channel.tries, 16), LONGEST)
    values = {"tries": channel.tries + 1, "due": due, "trouble": why[:500]}
    db.execute(update(channels).where(channels.c.name == channel.name).values(**values))


def least_sent(found: Sequence[Channel]) -> int | None:
    """Up to which event everybody was told; None where there is nobody."""
    return min((one.sent for one in found), default=None)


def _row(db: Connection, name: str) -> Row[tuple[object, ...]] | None:
    return db.execute(select(channels).where(channels.c.name == name)).one_or_none()


def _channel(row: Row[tuple[object, ...]]) -> Channel:
    values = row._asdict()
    return Channel(**values | {"to": tuple(json.loads(values["to"])), "about": tuple(values["about"].split())})
