"""Roles of people and of their scripts, and who somebody is once let in. It knows the order of roles; it must never know how
somebody showed who he is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from neurath.errors import RefusedError, UsageError


class Role(IntEnum):
    """Each may do what the one before may, and more. `ANYONE` is nobody who was let in."""

    ANYONE = 0
    VIEWER = 1
    OPERATOR = 2
    RELEASER = 3
    ADMIN = 4

    @property
    def word(self) -> str:
        return self.name.lower()


#: The roles that are given to people.
GIVEN = ("viewer", "operator", "releaser", "admin")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: `way` is local (this machine, before set-up), session, token, station, command or server; `address` where
    from. `operator` is the number of the operator behind it, None where there is none."""

    name: str
    role: Role
    way: str
    address: str = ""
    operator: int | None = None

    @property
    def known(self) -> bool:
        """Whether its name was shown, and not merely said."""
        return self.way in ("session", "token")


class NoRight(RefusedError):  # noqa: N818 (what is missing)
    """Let in, and not allowed to do this; the API answers 403."""

    default_id = "NRT-361"


def role(word: str) -> Role:
    """The role of this name, or UsageError."""
    if word not in GIVEN:
        raise UsageError(f"no role {word[:20]!r}", "the roles are " + ", ".join(GIVEN), "--role viewer")
    return Role[word.upper()]


def demand(actor: Actor, needed: Role, what: str) -> None:
    """NoRight where this actor may not do that."""
    if actor.role < needed:
        who = f"{actor.name or 'whoever asks'} is {actor.role.word}"
        raise NoRight(f"{what}: not with this role", f"{who}, it takes {needed.word}", "an admin can give the role")
