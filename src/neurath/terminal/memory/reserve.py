"""The RAM arena of a terminal: who uses which part, and who leaves when a file needs room. It knows addresses, priorities and
what *just enough* means; it must never take memory from a tenant that was not asked, nor keep any when it is short.
Spec: docs/spec/terminal.md 3."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from neurath.errors import DataError, RefusedError


@dataclass(frozen=True, slots=True)
class Tenant:
    """One piece of software and the memory it uses: `length` bytes of the arena from `base` up.

    The higher `priority`, the later it is asked to leave. It can go on with its first `least` bytes: then only the rest
    is asked for at first. A `vital` tenant never gives up those. `least` 0 means that it cannot shrink, only stop.
    """

    name: str
    priority: int
    base: int
    length: int
    least: int = 0
    vital: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What a tenant can give up in one step: its tail, or what is left of it (`whole`)."""

    tenant: str
    base: int
    length: int
    whole: bool
    rank: tuple[int, bool, str]  # the higher, the later it is asked

    @property
    def end(self) -> int:
        return self.base + self.length


@dataclass(frozen=True, slots=True)
class Area:
    """A contiguous secured area."""

    base: int
    length: int


@dataclass(frozen=True, slots=True)
class Choice:
    """Who is asked to leave, in the order of asking, and the area that this frees."""

    leaving: tuple[Part, ...]
    area: Area


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Even with everyone gone who may go, `by` bytes are missing."""

    by: int


def parts(tenants: Iterable[Tenant]) -> tuple[Part, ...]:
    """Everything that may be asked for, the cheapest first."""
    found: list[Part] = []
    for t in tenants:
        tail = t.length - t.least
        if t.least and tail:
            found.append(Part(t.name, t.base + t.least, tail, False, (t.priority, False, t.name)))
        if not t.vital:
            body = t.least or t.length
            found.append(Part(t.name, t.base, body, True, (t.priority, True, t.name)))
    return tuple(sorted(found, key=lambda part: part.rank))


def runs(size: int, taken: Iterable[tuple[int, int]]) -> list[Area]:
    """The free contiguous areas of an arena of `size` bytes, given (base, end) of what is taken."""
    free: list[Area] = []
    at = 0
    for base, end in sorted(taken):
        if base > at:
            free.append(Area(at, base - at))
        at = max(at, end)
    if size > at:
        free.append(Area(at, size - at))
    return free


def _taken(tenants: Iterable[Tenant], leaving: Iterable[Part]) -> list[tuple[int, int]]:
    """(base, end) of the memory that stays in use."""
    gone: dict[str, int] = {}
    for part in leaving:
        gone[part.tenant] = min(part.base, gone.get(part.tenant, part.base))
    spans = ((t.base, gone.get(t.name, t.base + t.length)) for t in tenants)
    return [(base, end) for base, end in spans if end > base]


def largest(size: int, tenants: Iterable[Tenant], leaving: Iterable[Part]) -> int:
    """Bytes of the longest free run once these parts are gone."""
    return max((area.length for area in runs(size, _taken(tenants, leaving))), default=0)


def lendable(size: int, tenants: tuple[Tenant, ...]) -> int:
    """Bytes that could be secured at most: what the check-in says about RAM."""
    return largest(size, tenants, parts(tenants))


def choose(size: int, tenants: tuple[Tenant, ...], amount: int, deny: frozenset[str] = frozenset()) -> Choice | Shortfall:
    """The smallest set of parts, by priority, whose leaving makes `amount` contiguous bytes free.

    Written as a binary number whose highest digit is the part of highest rank, the set is the least of all sets that fit;
    hence giving back any one of those asked makes the file not fit. `deny` names tenants that cannot leave just now.
    """
    leaving = [part for part in parts(tenants) if part.tenant not in deny]
    most = largest(size, tenants, leaving)
    if most < amount:
        return Shortfall(amount - most)
    for part in reversed(tuple(leaving)):
        if not part.whole and any(p.tenant == part.tenant for p in leaving if p.whole):
            continue  # a tenant that stops altogether keeps no tail
        without = [p for p in leaving if p is not part]
        if largest(size, tenants, without) >= amount:
            leaving = without
    fitting = [a for a in runs(size, _taken(tenants, leaving)) if a.length >= amount]
    tightest = min(fitting, key=lambda a: (a.length, a.base))
    return Choice(tuple(leaving), Area(tightest.base, amount))


class Software(Protocol):
    """How a tenant is asked. `leave` frees the part (whole: it stops) and says whether it did; `back` gives everything
    back to it and lets it go on."""

    def leave(self, part: Part) -> bool: ...

    def back(self) -> None: ...


class Reserve:
    """The arena at work: asks tenants to leave, holds the secured area, gives everything back."""

    def __init__(self, size: int, tenants: tuple[Tenant, ...], software: Mapping[str, Software]) -> None:
        _sound(size, tenants)
        self.memory = bytearray(size)
        self.tenants = tenants
        self._software = software
        self._asked: list[str] = []
        self.area: Area | None = None

    @property
    def lendable(self) -> int:
        """Bytes that could be secured at most."""
        return lendable(len(self.memory), self.tenants)

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of the tenants that have left, wholly or in part, in the order of asking."""
        return tuple(self._asked)

    def free(self, amount: int) -> Area | Shortfall:
        """Secures `amount` bytes. A tenant that does not leave is taken as fixed and the choice is made anew; when it
        cannot be done, everything is put back first."""
        if self.area is not None:
            raise RefusedError("memory is secured already", f"{self.area.length} bytes", "give it back first")
        deny: set[str] = set()
        while True:
            choice = choose(len(self.memory), self.tenants, amount, frozenset(deny))
            if isinstance(choice, Shortfall):
                return choice
            stubborn = self._ask(choice.leaving)
            if not stubborn:
                self.area = choice.area
                return choice.area
            self.give_back()
            deny.add(stubborn)

    def _ask(self, leaving: tuple[Part, ...]) -> str:
        """Asks them in order; the name of the first that does not leave, or ""."""
        for part in leaving:
            if not self._software[part.tenant].leave(part):
                return part.tenant
            if part.tenant not in self._asked:
                self._asked.append(part.tenant)
        return ""

    def view(self) -> memoryview:
        """The secured area itself."""
        if self.area is None:
            raise RefusedError("no memory is secured", "", "secure it first")
        return memoryview(self.memory)[self.area.base : self.area.base + self.area.length]

    def give_back(self) -> None:
        """Everyone who left comes back, the last asked first. Harmless when nobody left."""
        while self._asked:
            self._software[self._asked.pop()].back()
        self.area = None


def _sound(size: int, tenants: tuple[Tenant, ...]) -> None:
    end = 0
    names = {t.name for t in tenants}
    for t in sorted(tenants, key=lambda t: t.base):
        if t.base < end or t.length <= 0 or not 0 <= t.least <= t.length:
            raise DataError(f"tenant {t.name!r} does not fit the arena", "tenants lie side by side", id="NRT-270")
        end = t.base + t.length
    if end > size or len(names) != len(tenants):
        raise DataError("the arena is too small for its tenants", f"{end} of {size} bytes, names unique", id="NRT-270")
