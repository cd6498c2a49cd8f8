"""The terminal's own line about the software of one component that was last on its way: when it was offered, when its file was
here whole, when it was installed, and with what verdict. It knows a small file that is replaced whole; nothing is ever decided
by it, and a medium that is full costs a line and no update. Spec: docs/spec/control.md 4."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.terminal.software.fs import Fs

if TYPE_CHECKING:
    from neurath.wire.offer import Offer

#: No clock shows a later moment (the year 9999).
LAST = 253_402_300_800


@dataclass(frozen=True, slots=True)
class Line:
    """`size` is the file's, bytes; moments are seconds since 1970 by this terminal's clock, 0: not yet. `file` and `was` (what
    the component was before) are digests in hex."""

    file: str = ""
    was: str = ""
    version: str = ""
    size: int = 0
    offered: float = 0.0
    distributed: float = 0.0
    installed: float = 0.0
    verdict: str = ""


class Ledger:
    """Kept in a file; None: in memory, and gone with the power."""

    def __init__(self, keep: Path | None = None, fs: Fs | None = None) -> None:
        self._keep = keep
        self._fs = fs or Fs()
        self.line = _read(keep)

    def offered(self, offer: Offer, was: bytes, now: float) -> None:
        """The server has this for the terminal; hearing it again changes nothing until there was a verdict."""
        if self.line.file != offer.file.hex() or self.line.verdict:
            self._write(Line(offer.file.hex(), was.hex(), str(offer.version), offer.size, now))

    def distributed(self, now: float) -> None:
        """Its file is here, whole."""
        if self.line.file and not self.line.distributed:
            self._write(replace(self.line, distributed=now))

    def ended(self, verdict: str, now: float, *, installed: bool) -> None:
        """It is installed, or it came to nothing and the software before runs."""
        if self.line.file and not self.line.verdict:
            self._write(replace(self.line, installed=now if installed else 0.0, verdict=verdict))

    def nothing_newer(self, there: bytes, now: float) -> None:
        """The server wants nothing else than what is there. Where that is another software than before, it is what was on its
        way: the process ended before it could write that down."""
        if self.line.distributed and self.line.was != there.hex():
            self.ended("confirmed", now, installed=True)

    def shown(self) -> dict[str, object]:
        """As people see it; {} where there never was anything."""
        if not self.line.file:
            return {}
        return {name: value for name, value in asdict(self.line).items() if name not in ("file", "was")}

    def _write(self, line: Line) -> None:
        self.line = line
        if self._keep is not None:
            with suppress(OSError):
                self._fs.mkdir(self._keep.parent, 0o700)
                self._fs.put(self._keep, json.dumps(asdict(line)).encode())


def kept(state: Path | None, component: str) -> Ledger:
    """The ledger of one component in an agent's state directory."""
    return Ledger(None if state is None else state / f"{component}.ledger")


def _read(keep: Path | None) -> Line:
    """What is written there; nothing where it cannot be read."""
    if keep is None:
        return Line()
    try:
        line = Line(**json.loads(keep.read_text()))
    except (OSError, ValueError, TypeError):
        return Line()
    texts = (line.file, line.was, line.version, line.verdict)
    moments = (line.offered, line.distributed, line.installed)
    good = all(isinstance(one, str) for one in texts) and isinstance(line.size, int)
    good &= all(isinstance(one, int | float) and 0 <= one < LAST for one in moments)
    return line if good else Line()
