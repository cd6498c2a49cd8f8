"""What the state log of a terminal says, as values: images, the target of an open plan, facts, fate. It mirrors structs of
nrt.h; it must never decide anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum


class Fate(IntEnum):
    """What a power-up ends in (enum nrt_fate)."""

    BOOT = 1
    FETCH = 2
    RESTORE = 3


class Reset(IntEnum):
    """Why the terminal starts (enum nrt_reset). FAULT: watchdog, fault, or ran too long without confirming."""

    POWER = 0
    FAULT = 1


class Why(IntEnum):
    """Why restoration is needed (enum nrt_why)."""

    NONE = 0
    REWRITE = 1
    UNCONFIRMED = 2
    DIGEST = 3
    FLASH = 4
    BLANK = 5
    RESTORE = 6


#: Counted boots before an unconfirmed image is given up (NRT_MAX_BOOTS).
MAX_BOOTS = 3


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image as the state log names it. `envelope` is the first 16 bytes of the envelope's digest, `image` the SHA-256
    of the image. Size 0: nothing is known."""

    image: bytes = bytes(32)
    size: int = 0
    envelope: bytes = bytes(16)
    sequence: int = 0
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """What the terminal is to become: from a verified envelope and, except on the wire, a ticket. `leaves` is the digest of
    the leaf list, `file` the first 16 bytes of the SHA-256 of the update file."""

    image: bytes = bytes(32)
    image_size: int = 0
    leaves: bytes = bytes(32)
    file: bytes = bytes(16)
    file_size: int = 0
    envelope: bytes = bytes(16)
    sequence: int = 0
    epoch: int = 0
    serial: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What the state log says, as of the last append (struct nrt_facts). `commit` and `done` are positions in plan order
    plus 1; `candidate`: the installed image has not been confirmed; `resume`: the open plan keeps no scratch;
    `hybrid`: it began on what a cut had left."""

    installed: ImageRecord = field(default_factory=ImageRecord)
    confirmed: ImageRecord = field(default_factory=ImageRecord)
    target: Target = field(default_factory=Target)
    installs: int = 0
    serial: int = 0
    key_list: int = 0
    commit: int = 0
    done: int = 0
    failed_proofs: int = 0
    failed: bytes = bytes(16)
    boots: int = 0
    candidate: bool = False
    restoring: bool = False
    broken: Why = Why.NONE
    resume: bool = False
    hybrid: bool = False

    @property
    def plan_open(self) -> bool:
        """A rewrite or a restoration was begun and is not finished."""
        return self.target.file_size != 0 or self.restoring
