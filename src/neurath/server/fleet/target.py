"""Which terminals a folder or a rollout is for: a small expression over tags, ids and attributes. It knows how to read one
and what it asks of the terminals' table; it must never evaluate anything else: no call, no code. Grammar:
docs/spec/waves.md."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, exists, func, not_, or_, true

from neurath.errors import UsageError
from neurath.server.store.sql import matches, named
from neurath.server.store.tables import component
from neurath.server.store.tables import terminal as terminals

MOST = 500
_DEEPEST = 16
_TOKEN = re.compile(r'\s*(\(|\)|[^\s()"]+(?:"[^"]*")?)')
_ABOUT = re.compile(r"(tag|id|tenant|channel|model):(.+)", re.DOTALL)
_LENDS = re.compile(r"lends:([0-9]{1,9})([KM]?)")
_ATTRIBUTE = re.compile(r"([A-Za-z0-9._-]{1,128})(!=|=|~)(.*)", re.DOTALL)
_HINT = "--target 'tag:field and site=osaka and not id:lab-*'"


def clause(text: str) -> ColumnElement[bool]:
    """What the expression asks of a row of the terminals' table; "" is every terminal. UsageError."""
    if not text.strip():
        return true()
    if len(text) > MOST or not text.isprintable():
        raise _wrong(text[:60], f"printable text, at most {MOST} characters")
    reading = _Reading(_tokens(text))
    made = reading.either(0)
    if reading.rest:
        raise _wrong(reading.rest[0], "nothing may follow here but `and` or `or`")
    return made


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _wrong(text[at : at + 60], "a quote is not closed, or stands alone")
        found.append(match.group(1))
        at = match.end()
    return found


@dataclass(slots=True)
class _Reading:
    """Tokens not read yet. `or` binds least, `not` most."""

    rest: list[str]

    def either(self, depth: int) -> ColumnElement[bool]:
        parts = [self.both(depth)]
        while self._take("or"):
            parts.append(self.both(depth))
        return or_(*parts)

    def both(self, depth: int) -> ColumnElement[bool]:
        parts = [self.one(depth)]
        while self._take("and"):
            parts.append(self.one(depth))
        return and_(*parts)

    def one(self, depth: int) -> ColumnElement[bool]:
        if depth > _DEEPEST:
            raise _wrong("(", f"deeper than {_DEEPEST}")
        if self._take("not"):
            return not_(self.one(depth + 1))
        if self._take("("):
            made = self.either(depth + 1)
            if not self._take(")"):
                raise _wrong(self.rest[0] if self.rest else "the end", "a parenthesis is not closed")
            return made
        if not self.rest:
            raise _wrong("the end", "something is missing")
        return _test(self.rest.pop(0))

    def _take(self, word: str) -> bool:
        if self.rest and self.rest[0] == word:
            self.rest.pop(0)
            return True
        return False


def _test(token: str) -> ColumnElement[bool]:
    if match := _ABOUT.fullmatch(token):
        value = _bare(match[2])
        if match[1] == "tag":
            return _tagged(value)
        said = (
            func.coalesce(func.nullif(terminals.c.channel, ""), "stable") if match[1] == "channel" else terminals.c[match[1]]
        )
        return matches(func.coalesce(said, ""), value)
    if match := _LENDS.fullmatch(token):
        return _lends(int(match[1]) << {"": 0, "K": 10, "M": 20}[match[2]])
    if match := _ATTRIBUTE.fullmatch(token):
        # The name has no quote in it: the path stays one name.
        said = func.coalesce(named(terminals.c.attributes, match[1]), "")
        value = _bare(match[3])
        if match[2] == "~":
            return matches(said, value)
        return said == value if match[2] == "=" else said != value
    raise _wrong(
        token,
        "tag:NAME, id:PATTERN, tenant:, channel:, model:, lends:48K, ATTRIBUTE=VALUE, ATTRIBUTE!=VALUE or ATTRIBUTE~PATTERN",
    )


def _lends(ram: int) -> ColumnElement[bool]:
    """Whether it said, for any of its components, that it lends so much RAM at least."""
    lent = component.alias("lent")  # who asks may have joined what a terminal said of another component
    return exists().where(lent.c.terminal == terminals.c.n, lent.c.ram >= ram).correlate(terminals)


def _tagged(tag: str) -> ColumnElement[bool]:
    return terminals.c.tags.icontains(f" {tag} ", autoescape=True)


def _bare(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] == '"' else value


def _wrong(where: str, why: str) -> UsageError:
    return UsageError(f"{where!r} cannot be read in a target filter", why, _HINT)
