"""Which clients' leases name the relay as their server, kept on disk, so that it can say when it may be taken out. It knows
when each was acknowledged and for how long; it must never say "none" while one may still come."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path

#: A client whose lease was handed back would have come by T2, this share of its lease, if it still named us.
T2 = 0.875
#: Lines of the file beyond what is needed before it is written anew.
SLACK = 1000


@dataclass(slots=True)
class Pointing:
    """Clients by hardware address and until when they may come to us. `path` None: in memory only."""

    path: Path | None = None
    _until: dict[str, float] = field(default_factory=dict)
    _lines: int = 0

    def __post_init__(self) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):
            for line in self.path.read_text().splitlines():
                with contextlib.suppress(ValueError, TypeError):  # half a line, left by a kill
                    mac, until = json.loads(line)
                    self._until[str(mac)] = float(until)
        self._write()

    def note(self, mac: bytes, points: bool, lease: int, now: float) -> None:
        """A lease was acknowledged that names us, or (not `points`) names its own server again."""
        self._until[mac.hex(":")] = now + (lease if points else lease * T2)
        if self.path is None:
            return
        self._lines += 1
        with contextlib.suppress(OSError):
            if self._lines > 2 * len(self._until) + SLACK:
                self._write()
            else:
                with self.path.open("a") as out:
                    out.write(json.dumps([mac.hex(":"), self._until[mac.hex(":")]]) + "\n")

    def left(self, now: float) -> list[str]:
        """Those that may still come."""
        self._until = {mac: until for mac, until in self._until.items() if until > now}
        return sorted(self._until)

    def _write(self) -> None:
        assert self.path is not None
        draft = self.path.with_name(f".{self.path.name}.draft")
        draft.write_text("".join(json.dumps([mac, until]) + "\n" for mac, until in self._until.items()))
        draft.replace(self.path)
        self._lines = len(self._until)
