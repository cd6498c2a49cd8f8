"""What became of an offer: phases, progress, and at the end a verdict. It knows two forms of the same value, CBOR and
hawkBit feedback; it must never judge. Spec: docs/spec/report.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from neurath.wire import cbor
from neurath.wire.cbor import malformed

_KEYS = frozenset(range(1, 9))
_MARK = "neurath "
#: A reason is cut here.
MAX_REASON = 512


class Phase(Enum):
    """Where a terminal is. The names follow LwM2M object 5 and OMA FUMO (docs/spec/report.md has the table)."""

    IDLE = "idle"
    OFFERED = "offered"
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    WAITING_FOR_USE_END = "waiting-for-use-end"
    WAITING_FOR_USER = "waiting-for-user"
    UPDATING = "updating"
    JUDGING = "judging"
    UPDATED = "updated"
    FAILED = "failed"
    RESTORING = "restoring"


class Verdict(Enum):
    """How it ended; PENDING until it has."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    FAILED = "failed"
    RESTORATION = "restoration"


@dataclass(frozen=True, slots=True)
class Report:
    """One terminal's word about one action.

    `done` of `total` bytes are at a sync point; `secured` is the RAM in bytes set aside for the file (A6: without it no
    transfer); `bank` is the SHA-256 of the image as it lies in the bank, b"" when it was not read.
    """

    action: str
    phase: Phase
    verdict: Verdict = Verdict.PENDING
    done: int = 0
    total: int = 0
    secured: int = 0
    bank: bytes = b""
    reason: str = ""

    def __post_init__(self) -> None:
        if len(self.bank) not in (0, 32):
            raise malformed("report", "bank is 32 bytes or absent")
        cbor.demand_texts("report", 64, self.action)
        cbor.demand_numbers("report", self.done, self.total, self.secured)
        # One line of bounded length: whatever a failure says, the report of it can be sent.
        line = " ".join("".join(c if c.isprintable() else " " for c in self.reason).split())
        object.__setattr__(self, "reason", line[:MAX_REASON].strip())


def encode(report: Report) -> bytes:
    return cbor.pack(
        {
            1: report.action,
            2: report.phase.value,
            3: None if report.verdict is Verdict.PENDING else report.verdict.value,
            4: report.done or None,
            5: report.total or None,
            6: report.secured or None,
            7: report.bank or None,
            8: report.reason or None,
        }
    )


def decode(data: bytes) -> Report:
    """The report in the bytes, or DataError."""
    f = cbor.unpack(data, "report")
    f.only(_KEYS)
    try:
        phase = Phase(f.text(2, 32))
        verdict = Verdict(f.text(3, 32, "pending"))
    except ValueError as fault:
        raise malformed("report", str(fault)) from None
    found = Report(
        action=f.text(1, 64),
        phase=phase,
        verdict=verdict,
        done=f.uint(4, default=0),
        total=f.uint(5, default=0),
        secured=f.uint(6, default=0),
        bank=f.octets(7, 32, b""),
        reason=f.text(8, MAX_REASON, ""),
    )
    if encode(found) != data:
        raise malformed("report", "a default value is spelled out")
    return found


def to_feedback(report: Report) -> dict[str, object]:
    """The report as hawkBit feedback. Details carry our own words; other readers show them as text."""
    details = [f"{_MARK}phase {report.phase.value}", f"{_MARK}verdict {report.verdict.value}"]
    if report.secured:
        details.append(f"{_MARK}secured {report.secured}")
    if report.bank:
        details.append(f"{_MARK}bank {report.bank.hex()}")
    if report.done or report.total:
        details.append(f"{_MARK}bytes {report.done} {report.total}")
    if report.reason:
        details.append(f"{_MARK}reason {report.reason}")
    ended = report.verdict is not Verdict.PENDING
    finished = "none" if not ended else "success" if report.verdict is Verdict.CONFIRMED else "failure"
    return {
        "id": report.action,
        "status": {
            "execution": "closed" if ended else "proceeding",
            "result": {"finished": finished, "progress": {"cnt": report.done, "of": report.total}},
            "details": details,
        },
    }


def from_feedback(action: str, details: Sequence[str]) -> Report | None:
    """The report among a feedback's details; None when the client is not ours; DataError when it is malformed."""
    words: dict[str, str] = {}
    for line in details:
        if line.startswith(_MARK):
            key, _, value = line[len(_MARK) :].partition(" ")
            if key in words:
                raise malformed("report", f"{key[:20]!r} is said twice")
            words[key] = value
    if "phase" not in words:
        return None
    done, _, total = words.get("bytes", "0 0").partition(" ")
    try:
        phase, verdict = Phase(words["phase"]), Verdict(words.get("verdict", "pending"))
    except ValueError as fault:
        raise malformed("report", str(fault)[:80]) from None
    return Report(
        action=action,
        phase=phase,
        verdict=verdict,
        done=cbor.count(done, "report"),
        total=cbor.count(total, "report"),
        secured=cbor.count(words.get("secured", "0"), "report"),
        bank=cbor.octets(words.get("bank", ""), "report"),
        reason=words.get("reason", ""),
    )
