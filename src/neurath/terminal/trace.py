"""What the agent did, in order: one JSON object a line in a file, and true progress for whoever watches. It knows names of
moments; it must never decide, and never be in the way (a trace that cannot be written is left)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

#: watch(kind, fields): progress for people and machines.
Watch = Callable[[str, dict[str, object]], None]


class Trace:
    """Moments with the time since the start, seconds. The names: power up, check, offer, nothing newer, weighed, secured,
    request, pieces, link lost, link closed, file good, proven, refused, first erase (written the moment before the core is
    told to begin), verdict, restart, confirmed, told, wire."""

    def __init__(self, path: Path | None = None, watch: Watch = lambda kind, fields: None) -> None:
        self._file = None if path is None else path.open("a", encoding="utf-8")
        self._watch = watch
        self._began = time.monotonic()

    def note(self, moment: str, **fields: object) -> None:
        """One moment; the file is flushed, so that a process that is killed leaves it behind."""
        if self._file is None:
            return
        record = {"at": round(time.monotonic() - self._began, 6), "event": moment} | fields
        try:
            self._file.write(json.dumps(record, default=_plain) + "\n")
            self._file.flush()
        except OSError:
            self._file = None

    def say(self, moment: str, **fields: object) -> None:
        """One moment, for the trace and for whoever watches."""
        self.note(moment, **fields)
        self._watch(moment, fields)

    def show(self, kind: str, **fields: object) -> None:
        """Progress, at once."""
        self._watch(kind, fields)


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
