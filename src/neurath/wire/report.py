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
        bank=f.octets(7, 32, b"") if not _absent(f, 7) else b"",
        reason=f.text(8, 512, ""),
    )
    if encode(found) != data:
        raise malformed("report", "a default value is spelled out")
    return found


def _absent(fields: cbor.Fields, key: int) -> bool:
    return fields.get(key, bytes, b"") == b""


def to_feedback(report: Report) -> dict[str, object]:
    """The report as hawkBit feedback. Details carry our own words; other readers show them as text."""
    details = [f"{_MARK}phase {report.phase.value}", f"{_MARK}verdict {report.verdict.value}"]
    if report.secured:
        details.append(f"{_MARK}secured {report.secured}")
    if report.bank:
        details.append(f"{_MARK}bank {report.bank.hex()}")
    if report.total:
        details.append(f"{_MARK}bytes {report.done} {report.total}")
    if report.reason:
        details.append(report.reason)
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
    reason = ""
    for line in details:
        if line.startswith(_MARK):
            key, _, value = line[len(_MARK) :].partition(" ")
            words[key] = value
        else:
            reason = line[:512]
    if "phase" not in words:
        return None
    try:
        done, _, total = words.get("bytes", "0 0").partition(" ")
        return Report(
            action=action,
            phase=Phase(words["phase"]),
            verdict=Verdict(words.get("verdict", "pending")),
            done=_count(done),
            total=_count(total),
            secured=_count(words.get("secured", "0")),
            bank=bytes.fromhex(words.get("bank", "")),
            reason=reason,
        )
    except ValueError as fault:
        raise malformed("report", str(fault)) from None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise ValueError(f"{text[:20]!r} is not a count")
    return int(text)
