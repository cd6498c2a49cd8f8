"""What a server's log looks like: lines for people, or one JSON object a line for what collects them. It knows records; it
must never decide what is worth one."""

from __future__ import annotations

import json
import logging
import time


class Lines(logging.Formatter):
    """One JSON object a line: time (UTC), level, who, what, and the trace of a fault."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        said: dict[str, object] = {
            "time": f"{moment}.{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        if record.exc_info:
            said["trace"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False, default=str)


def begin(form: str) -> None:
    """From now on warnings of anybody, and what our own parts find worth telling, go to stderr."""
    handler = logging.StreamHandler()
    words = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(Lines() if form == "json" else words)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("neurath").setLevel(logging.INFO)
