"""What an agent is made of. It knows which parts there are; it must never use one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from neurath.carriers.base import Carrier
from neurath.terminal.gate import Gate
from neurath.terminal.ledger import Ledger
from neurath.terminal.line import Free, Line
from neurath.terminal.machine import events as ev
from neurath.terminal.machine.events import Fate
from neurath.terminal.memory.lender import Lender
from neurath.terminal.staging.transfer import Transfer
from neurath.terminal.trace import Trace

if TYPE_CHECKING:
    from neurath.terminal.heart import Heart
    from neurath.terminal.install import Installer
    from neurath.terminal.restoration import Wire


@dataclass(frozen=True, slots=True)
class Parts:
    """What an agent is made of. `arena(running)` makes the RAM of one power-up; `attach` gives the wire its responder;
    `stage_room` is how many bytes can be staged durably. With a `heart` files trickle in; `bell` is where other threads put
    what the machine is to hear (a notice, the end of a use); `line` says when a download ahead may flow, and how fast;
    `ledger` is for people. Every use of the core holds `lock`."""

    installer: Installer
    carrier: Carrier
    transfer: Transfer
    arena: Callable[[bool], Lender]
    gate: Gate
    trace: Trace
    lock: threading.RLock
    wire: Wire | None = None
    attach: Callable[[Fate], None] = lambda fate: None
    stage_room: int = 0
    heart: Heart | None = None
    bell: Bell | None = None
    line: Line = field(default_factory=Free)
    ledger: Ledger = field(default_factory=Ledger)


class Bell(Protocol):
    """What other threads put for the machine to hear."""

    def put(self, event: ev.Event) -> None: ...

    def take(self) -> ev.Event | None: ...
