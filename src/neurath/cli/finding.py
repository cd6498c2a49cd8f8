"""What a look at one thing found, as `neurath doctor` says it. It knows how a finding reads, and must never look at one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`state`: ok; limit, something this machine cannot do and the rest does without; fault, which the cure ends."""

    name: str
    state: str
    text: str
    cure: str = ""

    @property
    def line(self) -> str:
        mark = {"ok": "ok   ", "limit": "LIMIT", "fault": "FAULT"}[self.state]
        cure = f"\n{'':28} cure: {self.cure}" if self.cure else ""
        return f"{mark}  {self.name:20} {self.text}{cure}"


def limit(name: str, good: bool, text: str) -> Finding:
    """Something a machine can do, or the rest does without."""
    return Finding(name, "ok" if good else "limit", text)


def fault(name: str, good: bool, text: str, cure: str) -> Finding:
    """Something that has to be so; the cure is named where it is not."""
    return Finding(name, "ok" if good else "fault", text, "" if good else cure)
