"""Which release a terminal on the wire gets. It knows the order of the rule: the release in the state log, else the assigned
one, else the newest of its model; never below the floor, never a revoked one while another exists. It must never read a
file or a port."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neurath.errors import NotFound, RefusedError, UsageError
from neurath.ids import FIRMWARE, ComponentName, Floor, ModelName, Version
from neurath.wire.smp import Identity


@dataclass(frozen=True, slots=True)
class Entry:
    """One release in the stock. `image` and `envelope_digest` are SHA-256 in hexadecimal, `envelope` the signed bytes."""

    model: ModelName
    version: Version
    image: str
    size: int
    envelope: bytes
    envelope_digest: str
    sequence: int
    epoch: int
    revoked: bool = False
    component: ComponentName = FIRMWARE

    @property
    def rank(self) -> tuple[int, int]:
        """What newer means: epoch first, then sequence."""
        return (self.epoch, self.sequence)


@dataclass(frozen=True, slots=True)
class Wish:
    """Another release than the rule's, chosen by the technician; `reason` goes into the record."""

    version: Version
    reason: str


@dataclass(frozen=True, slots=True)
class Selected:
    """The release and why it is this one."""

    entry: Entry
    reason: str


def select(identity: Identity, entries: Sequence[Entry], assigned: Version | None, wish: Wish | None = None) -> Selected:
    """The release for this terminal; NotFound when the stock has none it may take, RefusedError for a wish it may not."""
    of_model = [e for e in entries if e.model == identity.model and e.component == FIRMWARE]
    allowed = [e for e in of_model if not _below(e, identity.floor)]
    sound = [e for e in allowed if not e.revoked]
    if wish is not None:
        return _wished(wish, of_model, allowed, sound)
    choices = sound or allowed
    if not choices:
        why = "every release of it is below the floor of this terminal" if of_model else "the stock has no release of it"
        raise NotFound(f"no release for model {identity.model}", why, "neurath station sync --server URL", id="NRT-148")
    if identity.target is not None:
        wanted = identity.target.release.envelope.hex()
        found = [e for e in choices if e.envelope_digest.startswith(wanted)]
        if found:
            return Selected(found[0], "its state log asks for it")
    if assigned is not None:
        found = [e for e in choices if e.version == assigned]
        if found:
            return Selected(found[0], "assigned to this terminal")
    newest = max(choices, key=lambda e: e.rank)
    return Selected(newest, "newest of its model" if sound else "revoked, but there is no other")


def _below(entry: Entry, floor: Floor) -> bool:
    return entry.rank < (floor.epoch, floor.sequence)


def _wished(wish: Wish, of_model: list[Entry], allowed: list[Entry], sound: list[Entry]) -> Selected:
    if not wish.reason.strip():
        raise UsageError("another release needs a reason", "the record must say why", "add --reason TEXT")
    found = [e for e in of_model if e.version == wish.version]
    if not found:
        known = ", ".join(e.version for e in of_model) or "none"
        raise NotFound(
            f"no release {wish.version} of this model", f"the stock has: {known}", "neurath station list", id="NRT-148"
        )
    entry = found[0]
    if entry not in allowed:
        raise RefusedError(
            f"release {wish.version} is below the floor of this terminal",
            "it has confirmed a newer one, and would refuse this",
            "choose a newer release",
            id="NRT-330",
        )
    if entry.revoked and sound:
        raise RefusedError(
            f"release {wish.version} is revoked",
            f"{sound[0].version} is not, and fits",
            "choose one that is not revoked",
            id="NRT-391",
        )
    return Selected(entry, f"chosen by the technician: {wish.reason.strip()}")
