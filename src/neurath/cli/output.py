"""What a verb says: data on stdout, talk on stderr, or one JSON object a line with --json. It must never decide what is
said."""

from __future__ import annotations

import json
import sys
import time

from neurath.cli.meter import Meter
from neurath.errors import NeurathError


class Output:
    """Two voices of one verb. `data` is the result, `talk` is for the person watching, `event` is progress."""

    def __init__(self, json_lines: bool) -> None:
        self.json = json_lines
        self._meter: Meter | None = None

    def data(self, text: str, /, **fields: object) -> None:
        """A result: the text for people, the fields for machines."""
        if not self.json:
            print(text, flush=True)
        elif fields:
            print(json.dumps(fields, default=_plain), flush=True)

    def talk(self, text: str) -> None:
        """A remark on stderr; silent with --json."""
        if not self.json:
            print(text, file=sys.stderr, flush=True)

    def event(self, kind: str, /, **fields: object) -> None:
        """task_begin, task_progress, task_end or info: only with --json."""
        if self.json:
            print(json.dumps({"event": kind, **fields}, default=_plain), flush=True)

    def progress(self, task: str, done: int, total: int) -> None:
        """How far a long task is, on stderr: drawn anew in place for a person, a line now and then elsewhere; an event with
        --json."""
        if self._meter is None or self._meter.task != task:
            self._meter = Meter(task, done, time.monotonic())
        seen = self._meter.at(done, total, time.monotonic())
        self.event("task_progress", task=task, done=done, total=total, rate=seen.rate, left_s=seen.left)
        if self.json:
            return
        live = sys.stderr.isatty()
        if live or done >= total or self._meter.due(time.monotonic()):
            print(
                f"\r\x1b[2K{seen.bar}" if live else seen.line,
                end="\n" if not live or done >= total else "",
                file=sys.stderr,
                flush=True,
            )

    def error(self, error: NeurathError) -> None:
        """Three lines on stderr, or one object: what, why, try."""
        if self.json:
            record = {"error": error.id, "what": error.what, "why": error.why, "try": error.hint}
            print(json.dumps(record), file=sys.stderr, flush=True)
            return
        print(f"error {error.id}: {error.what}", file=sys.stderr)
        print(f"  why   {error.why or 'no further detail is known'}", file=sys.stderr)
        print(f"  try   {error.hint or 'neurath --help'}", file=sys.stderr, flush=True)


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
