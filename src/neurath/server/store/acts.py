"""Who changes something just now, so that the write that changes it can say so in the same transaction. It knows names and
words; it must never keep a secret that came with a change."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

#: Bytes of a request's body that are looked at, and characters of it that are kept.
LOOKED_AT, LONGEST = 8192, 2000
_SECRET = {"password", "old", "new", "token", "secret", "csrf", "client_secret", "veil"}


@dataclass(slots=True)
class Act:
    """One thing somebody does: `way` is local, session, token, station, command or server, `address` where from, `what` the
    route or verb, `detail` what it was given. `signed`: it is in the audit log."""

    who: str
    role: str
    way: str
    address: str
    what: str
    subject: str = ""
    detail: dict[str, object] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    signed: bool = False

    def told(self) -> str:
        """What it was given, without secrets, as one line of JSON."""
        text = json.dumps(without_secrets(self.detail | _read(bytes(self.body))), ensure_ascii=False, default=str)
        return text if len(text) <= LONGEST else text[:LONGEST] + "…"


_NOW: ContextVar[Act | None] = ContextVar("neurath_act", default=None)


def now() -> Act | None:
    """The act that is going on here."""
    return _NOW.get()


@contextmanager
def acting(act: Act) -> Iterator[Act]:
    """What is written meanwhile is this act."""
    before = _NOW.set(act)
    try:
        yield act
    finally:
        _NOW.reset(before)


def by_server(what: str, subject: str = "", **detail: object) -> Act:
    """Something the server does by itself."""
    return Act("server", "", "server", "", what, subject, dict(detail))


def note(**detail: object) -> None:
    """Adds what the request itself does not say, such as the name of what was made."""
    act = _NOW.get()
    if act is not None:
        act.detail |= detail


def without_secrets(given: Mapping[str, object]) -> dict[str, object]:
    kept: dict[str, object] = {}
    for key, value in given.items():
        if key.lower() in _SECRET and value:
            kept[key] = "…"
        else:
            kept[key] = without_secrets(value) if isinstance(value, Mapping) else value
    return kept


def _read(body: bytes) -> dict[str, object]:
    """The fields of a body that was looked at: JSON or a form."""
    if not body or len(body) > LOOKED_AT:
        return {}
    try:
        found = json.loads(body) if body[:1] in b"{[" else dict(parse_qsl(body.decode(), keep_blank_values=False))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {"given": found}
