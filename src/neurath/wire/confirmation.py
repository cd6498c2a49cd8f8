"""What a device says before it begins: it confirms an action or denies it, confirms everything from now on, or has the
software already; as hawkBit's documents and back. It knows JSON shapes; it must never decide. Spec: docs/spec/ddi.md."""

from __future__ import annotations

from dataclasses import dataclass

from neurath.wire.cbor import malformed
from neurath.wire.documents import listing, mapping, text_of


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a device, or its user, says to an action that waits for its word."""

    confirmed: bool
    details: tuple[str, ...] = ()


def confirmation_from(document: object) -> Confirmation:
    """The word in a document, or DataError."""
    top = mapping(document, "confirmation")
    word = text_of(top, "confirmation").lower()
    if word not in ("confirmed", "denied"):
        raise malformed("confirmation", f"{word[:20]!r} is neither confirmed nor denied")
    details = listing(top.get("details") or [], "details")
    return Confirmation(word == "confirmed", tuple(str(line)[:4096] for line in details[:1000]))


@dataclass(frozen=True, slots=True)
class AutoConfirm:
    """A device that confirms whatever comes, since `at` (seconds since 1970), on whose word and why; at None: it does not."""

    at: float | None = None
    initiator: str = ""
    remark: str = ""


def auto_confirm_to(auto: AutoConfirm, base: str, waiting: str = "") -> dict[str, object]:
    """The state of automatic confirmation as a document, with what may be done about it; `waiting`: the address of an
    action that waits for the device's word."""
    active = auto.at is not None
    state: dict[str, object] = {"active": active}
    if auto.at is not None:
        state |= {"activatedAt": round(auto.at * 1000)}
        state |= {name: value for name, value in (("initiator", auto.initiator), ("remark", auto.remark)) if value}
    move = "deactivateAutoConfirm" if active else "activateAutoConfirm"
    links: dict[str, object] = {move: {"href": f"{base}/confirmationBase/{move}"}}
    links |= {"confirmationBase": {"href": waiting}} if waiting else {}
    return {"autoConfirm": state, "_links": links}


def auto_confirm_from(document: object, now: float) -> AutoConfirm:
    """What a device says when it turns automatic confirmation on; a request without a body says nothing."""
    top = mapping({} if document is None else document, "automatic confirmation")
    return AutoConfirm(now, text_of(top, "initiator", "")[:64], text_of(top, "remark", "")[:512])


def installed_from(document: object) -> tuple[str, str]:
    """(name, version) of what a device says it has installed already, or DataError."""
    top = mapping(document, "installed software")
    return text_of(top, "name"), text_of(top, "version")
