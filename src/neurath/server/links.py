"""How whoever speaks for a terminal proves it, whatever carried it: one list of proofs, what each of them is worth, and which
of them a tenant lets pass. It knows words and ranks; it must never read a message. Spec: docs/spec/links.md."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from neurath.errors import DataError


class Rule(IntEnum):
    """What a tenant wants of its terminals' messages, each more than the one before."""

    TOKEN = 0  # whatever there is
    PROTECTED = 1  # nobody on the way can change a message or send it again
    SIGNED = 2  # and nobody can speak for a terminal who has not its device key or its certificate


class Proof(StrEnum):
    """How a request showed whose it is."""

    NOTHING = "nothing"
    TOKEN = "token"
    GATEWAY = "gateway token"
    CERTIFICATE = "certificate"
    OSCORE = "oscore"
    NARROW = "narrow"
    SIGNATURE = "signature"


@dataclass(frozen=True, slots=True)
class Worth:
    """What a proof is worth: which rule it satisfies, and in words what it rests on, and whether message and order of messages
    are protected by it alone, without TLS."""

    rule: Rule
    rests_on: str
    whole: bool
    fresh: bool


#: The one table. docs/spec/links.md 1 says the same for people, word for word (tests/server/test_links.py).
WORTH = {
    Proof.NOTHING: Worth(Rule.TOKEN, "nothing", False, False),
    Proof.TOKEN: Worth(Rule.TOKEN, "a token that is sent along", False, False),
    Proof.GATEWAY: Worth(Rule.TOKEN, "one token for a tenant, sent along", False, False),
    Proof.CERTIFICATE: Worth(Rule.SIGNED, "the private key of a certificate, by TLS at a proxy", True, True),
    Proof.OSCORE: Worth(Rule.PROTECTED, "keys made from the token, which is never sent", True, True),
    Proof.NARROW: Worth(Rule.PROTECTED, "a key made from the token, which is never sent", True, True),
    Proof.SIGNATURE: Worth(Rule.SIGNED, "the device key, which never leaves the terminal", True, True),
}


def rule(name: str) -> Rule:
    """The rule of this name; DataError."""
    if name not in names():
        raise DataError(f"{name[:40]!r} is no rule for links", f"there are: {', '.join(names())}", id="NRT-209")
    return Rule[name.upper()]


def names() -> tuple[str, ...]:
    return tuple(one.name.lower() for one in Rule)


def enough(proof: Proof, wanted: Rule, *, has_key: bool) -> bool:
    """Whether this proof passes. Where no device key is known there is none to ask for: what is asked of such a terminal
    is what it can do without one."""
    if wanted is Rule.SIGNED and not has_key:
        wanted = Rule.TOKEN
    return WORTH[proof].rule >= wanted
