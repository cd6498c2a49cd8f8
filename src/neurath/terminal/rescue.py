"""Software that cannot start asks its server for the file that helps it (docs/spec/rescue.md 3). It knows an installer and a
carrier that can do so; it must never ask twice for one answer, nor fetch anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from neurath.carriers.base import Rescues
from neurath.errors import LinkError, NeurathError
from neurath.terminal.machine import events as ev

if TYPE_CHECKING:
    from neurath.terminal.parts import Parts


@runtime_checkable
class Helpless(Protocol):
    """An installer whose software may be unable to start, and what it then asks the server (docs/spec/rescue.md)."""

    def question(self, *, lost: bool = False) -> bytes:
        """What to ask before a file is fetched; b"": nothing. `lost`: the open plan's own file is nowhere to be had."""
        ...

    def answered(self, answer: bytes) -> ev.OtherFile:
        """Takes the answer, once all its gates are passed; NeurathError."""
        ...


def ask(parts: Parts, *, lost: bool = False) -> ev.OtherFile | LinkError | None:
    """The file that helps, the link's failure, or None: nothing is to be asked, or nothing came of it. `lost`: the file that
    was fetched until now is nowhere to be had."""
    installer, carrier = parts.installer, parts.carrier
    if not isinstance(installer, Helpless) or not isinstance(carrier, Rescues):
        return None
    with parts.lock:
        question = installer.question(lost=lost)
    if not question:
        return None
    try:
        answer = carrier.rescue(question)
        if answer is None:
            return LinkError("the file that helps is being built", "the server said so", "it is asked again", id="NRT-429")
        with parts.lock:
            other = installer.answered(answer)
    except LinkError as fault:
        return fault
    except NeurathError as fault:
        parts.trace.note("no help", what=fault.what, why=fault.why)
        return None
    parts.trace.note("asked for help", file=other.plan.file, size=other.plan.size)
    return other
