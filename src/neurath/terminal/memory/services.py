"""Memory lent by the services of a Linux machine: frozen, limited or stopped one after another, by priority, until an update
fits, and just enough of them. It knows control groups and commands; it must never touch a service that was not named to it,
nor keep one from coming back. Spec: docs/spec/lending.md."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurath.errors import RefusedError
from neurath.terminal.memory.cells import Cell, available
from neurath.terminal.memory.journal import Journal, Undo
from neurath.terminal.memory.reserve import Area, Shortfall
from neurath.terminal.setup import seconds, words
from neurath.terminal.software.hooks import run

#: Bytes that stay free besides: for the agent itself, and for whatever grows meanwhile.
MARGIN = 8 << 20
#: A stopped service's memory is back within so many seconds, or it counts as not given.
SETTLE = 5.0


@dataclass(frozen=True, slots=True)
class Service:
    """One service that may be asked. The higher its priority, the later. `how`: what may be done to it, mildest first: freeze,
    limit (to `least` bytes), stop. `stop` and `start` are commands, `time` seconds each at most."""

    name: str
    priority: int
    cgroup: str = ""
    how: tuple[str, ...] = ("stop",)
    least: int = 0
    stop: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    time: float = 60.0


@dataclass(slots=True)
class _Asked:
    """A service that gave something: how much, and what brings it back."""

    service: Service
    gave: int = 0
    undos: list[Undo] = field(default_factory=list)


class Services:
    """The lender of a machine with services."""

    def __init__(
        self, services: Sequence[Service], journal: Path, *, spare: Callable[[], int] = available, root: Path | None = None
    ) -> None:
        self._services = sorted(services, key=lambda one: (one.priority, one.name))
        self._journal = Journal(journal)
        self._spare = spare
        self._root = root
        self._asked: list[_Asked] = []
        self._memory: mmap.mmap | None = None
        self.area: Area | None = None
        self.found = self._journal.undo()  # an earlier life may have ended in the middle

    @property
    def asked(self) -> tuple[str, ...]:
        return tuple(one.service.name for one in self._asked)

    @property
    def lendable(self) -> int:
        """What is free now and what those that may stop use; an estimate, for only asking tells."""
        may = sum(self._cell(one).used for one in self._services if "stop" in one.how and one.cgroup)
        return max(0, min(self._spare() - MARGIN + may, 0xFFFF_FFFF))

    def _cell(self, service: Service) -> Cell:
        return Cell(service.cgroup) if self._root is None else Cell(service.cgroup, self._root)

    def free(self, amount: int) -> Area | Shortfall:
        """Asks them one by one until it fits, gives back whoever was not needed after all, and takes the memory."""
        if self.area is not None:
            return Shortfall(amount)  # another component's update has it
        best = self._spare() - MARGIN
        for service in self._services:
            for way in service.how:
                if best >= amount:
                    break
                self._ask(service, way)
                best = self._spare() - MARGIN
        if best < amount:
            self.give_back()
            return Shortfall(amount - best)
        self._give_back_spare(amount)
        try:
            self._take(amount)
        except (OSError, ValueError):
            self.give_back()
            return Shortfall(max(1, amount - (self._spare() - MARGIN)))
        self.area = Area(0, amount)
        return self.area

    def _take(self, amount: int) -> None:
        """Memory of exactly this size, and every page of it there: nobody else gets it meanwhile."""
        handle = os.memfd_create("neurath", os.MFD_CLOEXEC)
        try:
            os.ftruncate(handle, max(1, amount))
            self._memory = mmap.mmap(handle, max(1, amount), flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
        finally:
            os.close(handle)

    # ---- asking -------------------------------------------------------------------------------------------------------

    def _ask(self, service: Service, way: str) -> None:
        before = self._spare()
        asked = next((one for one in self._asked if one.service is service), None)
        if asked is None:
            asked = _Asked(service)
            self._asked.append(asked)
        {"freeze": self._freeze, "limit": self._limit, "stop": self._stop}[way](asked)
        asked.gave += max(0, self._spare() - before)

    def _note(self, asked: _Asked, undo: Undo) -> None:
        """Written down before it is done."""
        asked.undos.append(undo)
        self._journal.write([undo for one in self._asked for undo in one.undos])

    def _freeze(self, asked: _Asked) -> None:
        cell = self._cell(asked.service)
        switch = cell.switch()
        if switch is None:
            return
        self._note(asked, Undo(asked.service.name, str(switch[0]), switch[2]))
        if cell.freeze():
            self._limit(asked)  # what does not run needs nothing of what can be read or swapped in again

    def _limit(self, asked: _Asked) -> None:
        cell = self._cell(asked.service)
        found = cell.limit()
        if found is None:
            return
        if str(found[0]) not in [undo.file for undo in asked.undos]:
            self._note(asked, Undo(asked.service.name, str(found[0]), found[1]))
        cell.squeeze(asked.service.least)

    def _stop(self, asked: _Asked) -> None:
        service = asked.service
        for undo in [one for one in asked.undos if one.file.endswith(("cgroup.freeze", "freezer.state"))]:
            undo.do()  # what is frozen cannot end
        before = self._spare()
        uses = self._cell(service).used if service.cgroup else 0
        self._note(asked, Undo(service.name, words=service.start))
        run(service.stop, service.time)
        end = time.monotonic() + SETTLE
        while self._spare() - before < uses * 9 // 10 and time.monotonic() < end:
            time.sleep(0.02)

    # ---- giving back --------------------------------------------------------------------------------------------------

    def _give_back_spare(self, amount: int) -> None:
        """Whoever was asked and is not needed comes back at once, the one of highest priority first."""
        for one in sorted(self._asked, key=lambda asked: (-asked.service.priority, asked.service.name)):
            if self._spare() - MARGIN - one.gave >= amount:
                self._back(one)

    def _back(self, asked: _Asked) -> None:
        for undo in reversed(asked.undos):
            undo.do()
        self._asked.remove(asked)
        self._journal.write([undo for one in self._asked for undo in one.undos])

    def view(self) -> memoryview:
        if self.area is None or self._memory is None:
            raise RefusedError("no memory is secured", "", "secure it first")
        return memoryview(self._memory)[: self.area.length]

    def give_back(self) -> None:
        """The memory first, then everybody, the last asked first."""
        self.area = self._memory = None
        while self._asked:
            self._back(self._asked[-1])


def services_of(rows: Sequence[Mapping[str, Any]]) -> list[Service]:
    """The services a setup names; ValueError or TypeError where one makes no sense."""
    found = []
    for row in rows:
        given = dict(row)
        how = tuple(given.pop("how", ("stop",)))
        made = Service(
            name=str(given.pop("name")),
            priority=int(given.pop("priority")),
            cgroup=str(given.pop("cgroup", "")).strip("/"),
            how=how,
            least=int(given.pop("least", 0)),
            stop=words(given.pop("stop", "")),
            start=words(given.pop("start", "")),
            time=seconds(given.pop("time", 60)),
        )
        if given or set(how) - {"freeze", "limit", "stop"} or ("stop" in how and not (made.stop and made.start)):
            raise ValueError(f"service {made.name}: how is of freeze, limit, stop; stop needs the commands stop and start")
        if ({"freeze", "limit"} & set(how)) and not made.cgroup:
            raise ValueError(f"service {made.name}: freeze and limit need its cgroup")
        found.append(made)
    return found
