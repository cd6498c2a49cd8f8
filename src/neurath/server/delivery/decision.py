"""What there is for one component of a terminal: an offer, a question, patience, or nothing and why. Values only."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neurath.server.fleet.actions import Action


@dataclass(frozen=True, slots=True)
class Offered:
    """This action is for the terminal."""

    action: Action


@dataclass(frozen=True, slots=True)
class Asking:
    """This action is for the terminal once it, its user or an operator has confirmed it."""

    action: Action


@dataclass(frozen=True, slots=True)
class Building:
    """There is something for the terminal; its file is being built: ask again in a second."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing newer, or nothing that may be offered, and why; so it is, if nobody writes, until then. `opens`: when the
    maintenance window does that it waits for."""

    reason: str
    until: float = 0.0
    opens: float | None = None


Decision = Offered | Asking | Building | Nothing


def stands(decision: Decision) -> float:
    """Until when a decision stands if nothing is written."""
    if isinstance(decision, Offered | Asking):
        return math.inf
    return decision.until if isinstance(decision, Nothing) else 0.0
