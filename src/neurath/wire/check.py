"""The check-in: a terminal says who it is, what it runs, what it can lend. It knows two forms of the same value, CBOR and
hawkBit attributes; it must never decide what to answer. Spec: docs/spec/check.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from neurath.ids import FIRMWARE, ComponentName, Floor, ModelName, checked_name
from neurath.wire import cbor
from neurath.wire.cbor import malformed

#: Prefix of the attributes that our own agent sends in configData.
PREFIX = "neurath."
_NO_FLOOR = Floor(0, 0)
_KEYS = frozenset(range(1, 19))
#: Decoder profiles of a terminal that does not name them (docs/spec/delta.md): 0 to 2.
UNNAMED = 0b111


@dataclass(frozen=True, slots=True)
class Check:
    """Who I am, what I run, what I can lend.

    `bank` is the SHA-256 of the first `bank_size` bytes of the bank as they are now: the installed version is derived
    from it, never from `version`, which is only a word for people. `ram` is what the terminal could free, bytes;
    `stage` what it could stage durably, `spare` in RAM that no tenant wants and that a power cut empties, bytes; `link`
    its measured speed, bytes a second, 0 unknown. `open_file` is the digest of the update file a torn terminal needs
    (b"": none). `staged` and `staged_bytes` are the file it holds in part and its sync point in bytes. `profiles` has a bit
    for each profile of update files its core decodes, 0 where it does not say. `key_list` is the version of the
    key list it goes by, 0: none.
    """

    model: ModelName
    bank: bytes
    bank_size: int
    ram: int
    nonce: bytes
    envelope: bytes = b""
    floor: Floor = _NO_FLOOR
    component: ComponentName = FIRMWARE
    version: str = ""
    stage: int = 0
    link: int = 0
    state: str = "idle"
    open_file: bytes = b""
    staged: bytes = b""
    staged_bytes: int = 0
    spare: int = 0
    profiles: int = 0
    key_list: int = 0

    def decodes(self, profile: int) -> bool:
        """Whether its core has this profile."""
        return bool((self.profiles or UNNAMED) >> profile & 1)

    def __post_init__(self) -> None:
        checked_name(self.model, "model")
        checked_name(self.component, "component")
        if len(self.bank) != 32 or len(self.nonce) != 8:
            raise malformed("check", "bank is 32 bytes, nonce is 8")
        if any(len(d) not in (0, 16) for d in (self.envelope, self.open_file, self.staged)):
            raise malformed("check", "envelope, open and staged file are named by 16 bytes")
        cbor.demand_texts("check", 64, self.version)
        cbor.demand_texts("check", 32, self.state)
        numbers = (self.bank_size, self.ram, self.stage, self.link, self.staged_bytes, self.spare, self.profiles)
        cbor.demand_numbers("check", *numbers, self.key_list, self.floor.epoch, self.floor.sequence)


def encode(check: Check) -> bytes:
    return cbor.pack(
        {
            1: check.model,
            2: check.bank,
            3: check.bank_size,
            4: check.ram,
            5: check.nonce,
            6: check.envelope or None,
            7: [check.floor.epoch, check.floor.sequence],
            8: None if check.component == FIRMWARE else check.component,
            9: check.version or None,
            10: check.stage or None,
            11: check.link or None,
            12: None if check.state == "idle" else check.state,
            13: check.open_file or None,
            14: check.staged or None,
            15: check.staged_bytes or None,
            16: check.spare or None,
            17: check.profiles or None,
            18: check.key_list or None,
        }
    )


def decode(data: bytes) -> Check:
    """The check-in in the bytes, or DataError."""
    f = cbor.unpack(data, "check")
    f.only(_KEYS)
    floor = f.need(7, list)
    if len(floor) != 2 or not all(type(x) is int and 0 <= x <= 0xFFFF_FFFF for x in floor):
        raise malformed("check", "floor is [epoch, sequence]")
    found = Check(
        model=ModelName(f.text(1, 64)),
        bank=f.octets(2, 32),
        bank_size=f.uint(3),
        ram=f.uint(4),
        nonce=f.octets(5, 8),
        envelope=f.octets(6, 16, b""),
        floor=Floor(*floor),
        component=ComponentName(f.text(8, 64, str(FIRMWARE))),
        version=f.text(9, 64, ""),
        stage=f.uint(10, default=0),
        link=f.uint(11, default=0),
        state=f.text(12, 32, "idle"),
        open_file=f.octets(13, 16, b""),
        staged=f.octets(14, 16, b""),
        staged_bytes=f.uint(15, default=0),
        spare=f.uint(16, default=0),
        profiles=f.uint(17, default=0),
        key_list=f.uint(18, default=0),
    )
    if encode(found) != data:
        raise malformed("check", "a default value is spelled out")
    return found


def to_attributes(check: Check) -> dict[str, str]:
    """The same value as hawkBit attributes (configData), for terminals on DDI."""
    named: dict[str, str] = {
        "model": check.model,
        "bank": check.bank.hex(),
        "size": str(check.bank_size),
        "ram": str(check.ram),
        "nonce": check.nonce.hex(),
        "envelope": check.envelope.hex(),
        "floor": f"{check.floor.epoch}.{check.floor.sequence}",
        "component": check.component,
        "version": check.version,
        "stage": str(check.stage),
        "link": str(check.link),
        "state": check.state,
        "open": check.open_file.hex(),
        "staged": check.staged.hex(),
        "staged_bytes": str(check.staged_bytes),
    }
    if check.spare:
        named["spare"] = str(check.spare)
    if check.profiles:
        named["profiles"] = str(check.profiles)
    if check.key_list:
        named["key_list"] = str(check.key_list)
    return {PREFIX + key: value for key, value in named.items()}


def from_attributes(attributes: Mapping[str, str]) -> Check | None:
    """The check-in among hawkBit attributes; None when the client is not ours; DataError when it is malformed."""
    if PREFIX + "bank" not in attributes:
        return None

    def text(key: str, default: str = "") -> str:
        return attributes.get(PREFIX + key, default)

    def number(key: str) -> int:
        return cbor.count(text(key, "0"), f"check: {PREFIX}{key}")

    def octets(key: str) -> bytes:
        return cbor.octets(text(key), f"check: {PREFIX}{key}")

    epoch, _, sequence = text("floor", "0.0").partition(".")
    return Check(
        model=ModelName(text("model")),
        bank=octets("bank"),
        bank_size=number("size"),
        ram=number("ram"),
        nonce=octets("nonce"),
        envelope=octets("envelope"),
        floor=Floor(cbor.count(epoch, "check: neurath.floor"), cbor.count(sequence, "check: neurath.floor")),
        component=ComponentName(text("component", str(FIRMWARE))),
        version=text("version"),
        stage=number("stage"),
        link=number("link"),
        state=text("state", "idle"),
        open_file=octets("open"),
        staged=octets("staged"),
        staged_bytes=number("staged_bytes"),
        spare=number("spare"),
        profiles=number("profiles"),
        key_list=number("key_list"),
    )
