"""What `neurath agent run` and `status` say of what happens: a line for people, every word for machines. It knows words and
how often; it must never know what an agent is made of."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from neurath.cli.output import Output

#: Seconds between two lines about the same phase.
LINE_EVERY = 5.0


class Progress:
    """Lines for people at each phase and every few seconds between; every word for machines."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._phase = ""
        self._at = 0.0

    def __call__(self, kind: str, fields: dict[str, object]) -> None:
        if self._out.json:
            self._out.event(kind, **fields)
            return
        phase = str(fields.get("phase", ""))
        spoken = fields.get("reason") or fields.get("verdict")
        if phase == self._phase and not spoken and time.monotonic() - self._at < LINE_EVERY:
            return
        self._phase, self._at = phase, time.monotonic()
        self._out.talk(_line(phase, fields))


def _line(phase: str, fields: dict[str, object]) -> str:
    words = [phase]
    if "done" in fields:
        words.append(f"{fields['done']:,} of {fields['total']:,} bytes")
    if "rate" in fields:
        words.append(f"{fields['rate']:,} bytes/s, {fields['left_s']} s left")
    words += [str(fields[key]) for key in ("verdict", "reason", "try") if fields.get(key)]
    return "  ".join(words)


def history(last: Mapping[str, Any]) -> str:
    """A second line about a component: what came to it last, and when (local time)."""
    words = [f"{last['version']}, {last['size']:,} bytes"]
    for name in ("offered", "distributed", "installed"):
        if last[name]:
            words.append(f"{name} {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(last[name]))}")
    return f"\n{'':16} {'  '.join([*words, last['verdict']])}".rstrip()
