"""The simplest part of hawkBit's query language (FIQL, RSQL): FIELD==VALUE, FIELD!=VALUE, `*`, `;` for and, `,` for or. It
knows the words; it must never know what the fields are of, nor read a part of the language otherwise than hawkBit does:
parentheses and other comparisons are refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from neurath.errors import UsageError

MOST = 500
_TEST = re.compile(r"""([A-Za-z][A-Za-z0-9._-]*)(==|!=)("[^"]*"|'[^']*'|[^\s"'();,<>=!~]+)""")
_JOINT = re.compile(r"\s*(?:([;,])\s*|\s(and|or)\s+)")


class BadSyntax(UsageError):  # noqa: N818 (as hawkBit has it)
    """Nothing that is read here."""


class NoField(UsageError):  # noqa: N818 (as hawkBit has it)
    """A field that is not there, or cannot be asked so."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison; `value` may have `*` for anything."""

    field: str
    equal: bool
    value: str

    @property
    def pattern(self) -> str:
        """The value as a shell's pattern, in which `*` alone means more than itself."""
        return re.sub(r"[\[?]", lambda found: f"[{found[0]}]", self.value)


#: Any of these, each of which is all of those.
Query = tuple[tuple[Comparison, ...], ...]


def parse(text: str) -> Query:
    """What is asked; nothing is () and every one agrees. BadSyntax."""
    if not text.strip():
        return ()
    if len(text) > MOST or not text.isprintable():
        raise _wrong(text[:60])
    either: list[list[Comparison]] = [[]]
    rest = text.strip()
    while True:
        found = _TEST.match(rest)
        if found is None:
            raise _wrong(rest[:60])
        value = found[3][1:-1] if found[3][0] in "\"'" else found[3]
        either[-1].append(Comparison(found[1], found[2] == "==", value))
        rest = rest[found.end() :]
        if not rest:
            return tuple(tuple(all_of) for all_of in either)
        joint = _JOINT.match(rest)
        if joint is None:
            raise _wrong(rest[:60])
        if (joint[1] or joint[2]) in (",", "or"):
            either.append([])
        rest = rest[joint.end() :]


def written(query: Query, word: Callable[[Comparison], str]) -> str:
    """The same as a target filter of ours (docs/spec/waves.md); `word` says one comparison there."""
    return " or ".join(" and ".join(("" if one.equal else "not ") + word(one) for one in all_of) for all_of in query)


def agrees(query: Query, fields: Mapping[str, object]) -> bool:
    """Whether something with these fields is asked for; as with hawkBit, upper and lower case are the same."""
    return not query or any(all(_true(one, fields) for one in all_of) for all_of in query)


def _true(one: Comparison, fields: Mapping[str, object]) -> bool:
    said = fields[one.field]
    text = str(said).lower() if isinstance(said, bool) else str(said)
    return fnmatchcase(text.lower(), one.pattern.lower()) == one.equal


def _wrong(where: str) -> BadSyntax:
    return BadSyntax(f"{where!r} cannot be read in q", "FIELD==VALUE or FIELD!=VALUE, with ; and , between", "q=name==lab-*")
