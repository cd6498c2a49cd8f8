"""How an agent is put together out of its setup: which part of which component meets which. What a setup does not use is not
loaded (docs/decisions/0230). It must never decide what happens next."""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.carriers.http import Place
from neurath.carriers.rides import link, rides
from neurath.errors import RefusedError
from neurath.terminal.agent import Agent
from neurath.terminal.gate import Gate, Open
from neurath.terminal.inuse import InUse, subjects
from neurath.terminal.ledger import kept
from neurath.terminal.life import Bell, Life
from neurath.terminal.line import Free, Quiet
from neurath.terminal.machine import Policy
from neurath.terminal.machine import events as ev
from neurath.terminal.machine.events import Fate
from neurath.terminal.memory import heap
from neurath.terminal.memory.lender import Budget, Lender
from neurath.terminal.parts import Parts
from neurath.terminal.setup import Component, Setup, not_a_setup
from neurath.terminal.staging.transfer import Transfer
from neurath.terminal.trace import Trace, Watch

if TYPE_CHECKING:
    from neurath.terminal.control import Control
    from neurath.terminal.dbus import Facade
    from neurath.terminal.desk import Desk
    from neurath.terminal.heart import Heart
    from neurath.terminal.install import Installer, SingleBank
    from neurath.terminal.memory.services import Services
    from neurath.terminal.people import People
    from neurath.terminal.restart import Restarts
    from neurath.terminal.restoration import Wire

#: Seconds between check-ins where heartbeats carry all there is to carry.
DAY = 86400.0
#: RAM that a component without `ram` of its own lends for unpacking a delta, bytes.
RAM = 64 << 20


@dataclass(frozen=True, slots=True)
class _Base:
    """What all components of one agent share."""

    setup: Setup
    trace: Trace
    lock: threading.RLock
    alarm: threading.Event
    people: People | None
    services: Services | None
    hearts: list[Heart]  # at most one: all components gather on the same heartbeats
    closing: list[Callable[[], None]]
    restarts: Restarts | None
    banks: list[SingleBank]  # who goes by lists of keys

    def signed_at(self) -> float:
        """When the latest list of keys was signed that any of them holds."""
        return max((bank.signed_at for bank in self.banks), default=0.0)


def _services(setup: Setup) -> Services | None:
    """Those that lend memory; whatever an earlier life asked of them is undone here."""
    if not setup.lend or setup.state is None:
        return None
    from neurath.terminal.memory.services import Services, services_of

    try:
        return Services(services_of(setup.lend), setup.state / "lent.json")
    except (KeyError, TypeError, ValueError) as fault:
        raise not_a_setup(f"lend: {fault}") from None


def compose(setup: Setup, watch: Watch) -> Agent:
    """Every part of every component, put together; the one place where they meet."""
    heap.keep_small()
    controls: list[Control | Facade] = []
    closing: list[Callable[[], None]] = []

    def seen(kind: str, fields: dict[str, object]) -> None:
        watch(kind, fields)
        for control in controls:
            control.tell({"event": kind} | fields)

    trace = Trace(setup.trace, seen)
    base = _Base(
        setup, trace, threading.RLock(), threading.Event(), _people(setup, seen), _services(setup), [], closing, None, []
    )
    base = replace(base, restarts=_restarts(base))
    lives = [_life(base, component) for component in setup.components]
    agent = Agent(lives, alarm=base.alarm)
    agent.restarts = None if setup.once else base.restarts
    if base.people is not None:
        controls += _counters(base, base.people.desk(lives, base.restarts))
        agent.closing += [one.close for one in controls]
    agent.closing += closing
    if setup.push and not setup.once and setup.trickle is None and (setup.broker or setup.server.startswith("http")):
        from neurath.carriers.ears import ear

        agent.closing.append(
            ear(setup.broker, _place(base, _id(setup, lives[0]), lives[0].parts.installer), lambda: _ring(lives)).close
        )
    return agent


def _people(setup: Setup, seen: Callable[[str, dict[str, object]], None]) -> People | None:
    """None where nobody is asked and nobody can ask."""
    if setup.state is None and setup.control is None and not setup.dbus:
        return None
    from neurath.terminal.people import People

    return People(seen, silent=not setup.notify)


def _counters(base: _Base, desk: Desk) -> list[Control | Facade]:
    """Where people and programs of this machine can ask: the control socket, and the bus where one is named."""
    setup = base.setup
    found: list[Control | Facade] = []
    if setup.control is not None:
        from neurath.terminal.control import Control

        found.append(Control(setup.control, desk.ask, desk.gone, setup.control_group))
    if setup.dbus:
        try:
            made = importlib.import_module("neurath.terminal.dbus").facade
        except ModuleNotFoundError as fault:
            base.trace.note("no bus", why=f"{fault.name} is missing: pip install 'neurath[agent]'")
            return found
        found.append(made(setup.dbus, desk.ask, desk.gone, lambda why: base.trace.note("no bus", why=why)))
    return found


def _restarts(base: _Base) -> Restarts | None:
    """The restart of the machine, where a component may need one: whatever uses any component holds it back as well."""
    setup = base.setup
    if setup.restart is None or setup.state is None or base.people is None:
        return None
    from neurath.terminal.restart import Restarts

    used = [one for uses in (setup.restart.uses, *(part.uses for part in setup.components)) for one in subjects(uses)]
    inuse = InUse(used, lambda: gate.changed()) if used else None
    gate = base.people.gate(setup.restart.asking, inuse, setup.state / "restart.consent")
    made = Restarts(setup.restart, setup.state, gate, base.trace.say)

    def changed() -> None:
        made.hasten()
        base.alarm.set()

    gate.changed = changed
    return made


def _ring(lives: Sequence[Life]) -> None:
    """The server says "check in now": it does not say about what."""
    for life in lives:
        if life.parts.bell is not None:
            life.parts.bell.put(ev.Notice())


def _place(base: _Base, name: str, installer: object) -> Place:
    setup = base.setup
    folder = str(setup.state) if setup.oscore else ""
    birth = getattr(installer, "birth", None)  # a bank's may be lost: then there is nothing to sign with
    key = birth.device_key if setup.sign and birth is not None else b""
    given = Place(setup.server, name, setup.token, setup.tenant, ca=setup.ca, proxy=setup.proxy, signed_at=base.signed_at)
    return replace(given, oscore=folder, narrow=setup.narrow, device_key=key)


def _id(setup: Setup, life: Life) -> str:
    birth = getattr(life.parts.installer, "birth", None)  # a bank's; it may be lost
    return setup.id or ("" if birth is None else str(birth.id))


@dataclass(frozen=True, slots=True)
class _Own:
    """What one kind of component has of its own; `folder` is where its file gathers durably, if it does."""

    installer: Installer
    name: str
    transfer: Transfer
    arena: Callable[[bool], Lender]
    folder: Path | None
    heart: Heart | None
    bell: Bell
    wire: Wire | None = None
    attach: Callable[[Fate], None] = lambda fate: None


def _life(base: _Base, component: Component) -> Life:
    own = _bank(base, component) if component.installer == "bank" else _software(base, component)
    parts = Parts(
        installer=own.installer,
        carrier=link(_place(base, own.name, own.installer)),
        transfer=own.transfer,
        arena=own.arena,
        gate=_gate(base, component, own.bell),
        trace=base.trace,
        lock=base.lock,
        wire=own.wire,
        attach=own.attach,
        stage_room=0 if own.folder is None else room(own.folder),
        heart=own.heart,
        bell=own.bell,
        line=_line(component),
        ledger=kept(base.setup.state, component.name),
    )
    return Life(parts, _policy(base.setup, component, trickles=own.heart is not None), time.time)


def _software(base: _Base, component: Component) -> _Own:
    """A component that is a file, a directory, a package."""
    from neurath.terminal.software.kinds import PIECE, software

    setup = base.setup
    assert setup.state is not None
    bell = Bell(base.alarm)
    installer = software(setup, component)
    heart = _heart(base, setup.id, installer, bell)
    # Where services lend memory the file gathers there, unless the component has a place of its own, or it trickles.
    folder = component.stage or (setup.state / f"{component.name}.stage" if base.services is None else None)
    if heart is not None:
        folder = _gathering(setup) or folder
    lender = base.services or Budget(component.ram if component.ram is not None else RAM)
    installer.waiting = None if base.restarts is None else base.restarts.of(component.name)
    transfer = Transfer(lender, folder, piece=PIECE, alone=heart is None, whole=True)
    return _Own(installer, setup.id, transfer, lambda running: lender, folder, heart, bell)


def _gathering(setup: Setup) -> Path | None:
    """Where files gather that ride on heartbeats: one directory for all components of a terminal."""
    named = next((one.stage for one in setup.components if one.stage is not None), None)
    return setup.state / "trickle.stage" if named is None and setup.state is not None else named


def _heart(base: _Base, name: str, installer: Installer, bell: Bell) -> Heart | None:
    """The one heart of this terminal; a file that is whole is told to whom it is for."""
    setup, folder = base.setup, _gathering(base.setup)
    if setup.trickle is None or (folder is None and not setup.spare):
        return None
    if not base.hearts:
        from neurath.terminal.foreground import Tcp
        from neurath.terminal.heart import Heart
        from neurath.terminal.staging.durable import Folder
        from neurath.terminal.staging.place import Ram
        from neurath.terminal.staging.trickle import Session

        place = Ram(setup.spare) if folder is None else Folder(folder, room(folder))
        base.hearts.append(Heart(rides(setup.heartbeat, _place(base, name, installer)), Session(place), setup.trickle))
        base.hearts[0].foreground = Tcp()
        base.hearts[0].least = setup.hurry
    base.hearts[0].bells[installer.component] = bell.put
    return base.hearts[0]


def _bank(base: _Base, component: Component) -> _Own:
    """Firmware in one bank of flash."""
    from neurath.terminal.install import open_bank
    from neurath.terminal.memory import tenants

    setup = base.setup
    assert component.model is not None
    bank = open_bank(component.model, component.path)
    base.banks.append(bank)
    try:
        name = bank.name()
    except RefusedError:
        if setup.wire is None:
            raise
        name = "nameless"  # identity lost: the wire can give it a new one
    ram = bank.model.ram if component.ram is None else component.ram
    bell = Bell(base.alarm)
    heart = _heart(base, name, bank, bell)
    folder = component.stage if heart is None else _gathering(setup)
    transfer = Transfer(tenants.arena(ram, running=False), folder, alone=heart is None)
    if heart is not None and folder is None:
        transfer.beside = heart.session.whole
    base.closing.append(bank.nor.close)
    own = _Own(bank, name, transfer, lambda running: tenants.arena(ram, running=running), folder, heart, bell)
    if setup.wire is None:
        return own
    from neurath.terminal.restoration import serve

    wire, attach = serve(setup.wire, bank, base.lock)
    base.closing.append(wire.close)
    return replace(own, wire=wire, attach=attach)


def _line(component: Component) -> Free | Quiet:
    ahead = component.ahead
    return Free() if ahead is None else Quiet(ahead.interface, ahead.below, ahead.rate)


def _gate(base: _Base, component: Component, bell: Bell) -> Gate:
    """Open where nobody uses it and nobody is asked; else whoever has a say."""
    inuse = InUse(subjects(component.uses), lambda: bell.put(ev.UseEnded())) if component.uses else None
    if base.setup.state is None or base.people is None:
        return inuse or Open()
    gate = base.people.gate(component.asking, inuse, base.setup.state / f"{component.name}.consent")
    gate.changed = lambda: bell.put(ev.UseEnded())
    return gate


def _policy(setup: Setup, component: Component, *, trickles: bool) -> Policy:
    return Policy(
        poll=setup.poll or (DAY if trickles else Policy().poll),
        own_pace=setup.poll is not None or trickles,
        patient=trickles,
        ahead=component.ahead is not None,
        confirm_by_contact=setup.confirm_by_contact,
    )


def room(folder: Path) -> int:
    """Bytes that may be staged there: never more than half of what is free."""
    folder.mkdir(parents=True, exist_ok=True)
    found = os.statvfs(folder)
    return min(found.f_bavail * found.f_frsize // 2, 0xFFFF_FFFF)
