"""Who this terminal is and what it runs, read from its flash: birth record, state log, and the digest of the bank as it is
now. It knows how they become a check-in; it must never believe a version that was written down. Spec: docs/spec/check.md."""

from __future__ import annotations

from dataclasses import dataclass

from neurath.flash.bank import Facts
from neurath.flash.native import profiles
from neurath.flash.trust import Birth, nonce
from neurath.ids import FIRMWARE, ComponentName, Floor, ModelName
from neurath.wire.check import Check


@dataclass(frozen=True, slots=True)
class Lending:
    """What a terminal has for an update now: RAM it could free, room it could stage durably, speed of its link (bytes, bytes,
    bytes a second), the file it holds in part with its sync point, and RAM that no tenant wants, for files that trickle."""

    ram: int
    stage: int = 0
    link: int = 0
    staged: bytes = b""
    staged_bytes: int = 0
    spare: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """What the bank holds now: the SHA-256 of its first `size` bytes."""

    digest: bytes
    size: int


def check_of(birth: Birth, facts: Facts, held: Held, lending: Lending, state: str) -> Check:
    """The check-in of this moment."""
    known = facts.installed.size > 0
    return Check(
        model=ModelName(birth.model),
        bank=held.digest,
        bank_size=held.size,
        ram=lending.ram,
        nonce=nonce(birth.device_key, facts.installed.envelope, facts.installs),
        envelope=facts.installed.envelope if known and any(facts.installed.envelope) else b"",
        floor=Floor(facts.confirmed.epoch, facts.confirmed.sequence),
        component=ComponentName(FIRMWARE),
        stage=lending.stage,
        link=lending.link,
        state=state,
        open_file=facts.target.file if facts.target.file_size else b"",
        staged=lending.staged,
        staged_bytes=lending.staged_bytes,
        spare=lending.spare,
        profiles=profiles(),
        key_list=facts.key_list,
    )
