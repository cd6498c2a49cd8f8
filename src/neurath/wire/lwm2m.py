"""LwM2M words: the registration's queries, and what our phases are in object 5 (Firmware Update, version 1.1). It knows the
tables of the standard; it must never know a session. Spec: docs/spec/lwm2m.md, docs/spec/report.md section 3."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from neurath.errors import DataError
from neurath.ids import checked_name
from neurath.wire import cbor
from neurath.wire.cbor import malformed
from neurath.wire.report import Phase, Verdict

#: Object 5, its one instance, and its resources that we use.
OBJECT, INSTANCE = "5", "0"
PACKAGE, STATE, RESULT = "0", "3", "5"
#: Query of an Update that carries the download state, as hexadecimal digits.
STATE_QUERY = "nrt"
#: Seconds a registration lives where it does not say, and at most (OMA-TS-LightweightM2M 6.2.1: a day).
LIFETIME, LONGEST = 86400, 0xFFFF_FFFF
ROOT = "rd"


class State(IntEnum):
    """Resource 5/0/3."""

    IDLE = 0
    DOWNLOADING = 1
    DOWNLOADED = 2
    UPDATING = 3


class Result(IntEnum):
    """Resource 5/0/5."""

    INITIAL = 0
    SUCCESS = 1
    NO_FLASH = 2
    NO_RAM = 3
    LINK_LOST = 4
    INTEGRITY = 5
    UNSUPPORTED_PACKAGE = 6
    INVALID_URI = 7
    UPDATE_FAILED = 8
    UNSUPPORTED_PROTOCOL = 9
    CANCELLED = 10
    DEFERRED = 11


_OF_PHASE: Mapping[Phase, tuple[State, Result]] = {
    Phase.IDLE: (State.IDLE, Result.INITIAL),
    Phase.OFFERED: (State.IDLE, Result.INITIAL),
    Phase.DOWNLOADING: (State.DOWNLOADING, Result.INITIAL),
    Phase.DOWNLOADED: (State.DOWNLOADED, Result.INITIAL),
    Phase.WAITING_FOR_USE_END: (State.DOWNLOADED, Result.DEFERRED),
    Phase.WAITING_FOR_USER: (State.DOWNLOADED, Result.DEFERRED),
    Phase.UPDATING: (State.UPDATING, Result.INITIAL),
    Phase.JUDGING: (State.UPDATING, Result.INITIAL),
    Phase.UPDATED: (State.IDLE, Result.SUCCESS),
    Phase.FAILED: (State.IDLE, Result.UPDATE_FAILED),
    Phase.RESTORING: (State.UPDATING, Result.UPDATE_FAILED),
}
#: The phase that a state means where the result says nothing more.
_OF_STATE: Mapping[State, Phase] = {
    State.IDLE: Phase.IDLE,
    State.DOWNLOADING: Phase.DOWNLOADING,
    State.DOWNLOADED: Phase.DOWNLOADED,
    State.UPDATING: Phase.UPDATING,
}


def object5(phase: Phase, verdict: Verdict = Verdict.PENDING) -> tuple[State, Result]:
    """What resources 3 and 5 say in a phase; a terminal that refused a file found it lacking."""
    if phase is Phase.FAILED and verdict is Verdict.REFUSED:
        return State.IDLE, Result.INTEGRITY
    return _OF_PHASE[phase]


def phase_of(state: int, result: int) -> Phase:
    """The phase that a client's resources 3 and 5 mean, or DataError. What several of ours share is the earliest of them."""
    try:
        known, outcome = State(state), Result(result)
    except ValueError:
        raise malformed("object 5", f"state {state}, result {result}") from None
    if known is State.IDLE and outcome is not Result.INITIAL:
        return Phase.UPDATED if outcome is Result.SUCCESS else Phase.FAILED
    if known is State.DOWNLOADED and outcome is Result.DEFERRED:
        return Phase.WAITING_FOR_USER
    if known is State.UPDATING and outcome is Result.UPDATE_FAILED:
        return Phase.RESTORING
    return _OF_STATE[known]


@dataclass(frozen=True, slots=True)
class Registration:
    """Who registers, for how long (seconds), and whether it has object 5. `endpoint` is `ID` or `TENANT/ID`."""

    terminal: str
    tenant: str = "DEFAULT"
    lifetime: int = LIFETIME
    firmware: bool = True


def queries(given: Iterable[str]) -> dict[str, str]:
    """The queries of a request; DataError where one is said twice."""
    found: dict[str, str] = {}
    for one in given:
        key, _, value = one.partition("=")
        if key in found:
            raise malformed("LwM2M query", f"{key[:20]!r} is said twice")
        found[key] = value
    return found


def registration(given: Mapping[str, str], objects: bytes) -> Registration:
    """The registration in a request's queries and links (RFC 6690), or DataError."""
    tenant, _, terminal = given.get("ep", "").rpartition("/")
    checked_name(terminal, "endpoint")
    checked_name(tenant or "DEFAULT", "tenant")
    try:
        links = [link.partition(";")[0].strip() for link in objects.decode("ascii").split(",")]
    except UnicodeDecodeError:
        raise malformed("LwM2M registration", "its objects are no links") from None
    firmware = any(link.strip("<>").rstrip("/").endswith(("/5", "/5/0")) for link in links)
    return Registration(terminal, tenant or "DEFAULT", lifetime(given) or LIFETIME, firmware)


def lifetime(given: Mapping[str, str]) -> int | None:
    """Seconds in the query `lt`, None where there is none."""
    if "lt" not in given:
        return None
    seconds = cbor.count(given["lt"], "LwM2M lifetime")
    if not 0 < seconds <= LONGEST:
        raise malformed("LwM2M lifetime", given["lt"])
    return seconds


def download_state(given: Mapping[str, str]) -> bytes | None:
    """The download state of an Update, None where its client has none to send."""
    if STATE_QUERY not in given:
        return None
    try:
        return cbor.octets(given[STATE_QUERY], "download state")
    except (DataError, ValueError):
        raise malformed("download state", "24 lower-case hexadecimal digits") from None
