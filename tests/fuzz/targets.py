"""The parsers in Python that read what strangers send, each as a function that a fuzzer gives bytes: what is not refused as
malformed has to come out as the same bytes again. It knows promises of parsers; it must never catch more than the one error
they may raise."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from neurath.errors import DataError
from neurath.wire import (
    cbor,
    check,
    coap,
    dhcp,
    enrolment,
    gateway,
    keylist,
    mobileip,
    narrow,
    offer,
    pair,
    piece,
    report,
    smp,
    trickle,
)

VECTORS = Path(__file__).resolve().parents[2] / "vectors"
Target = Callable[[bytes], None]
#: A cookie behind a plausible head: most of a DHCP packet is a fixed form that no chance finds.
_DHCP = bytes([1, 1, 6]) + bytes(233) + bytes([99, 130, 83, 99])


#: What else is a message of ours in CBOR, or between a gateway and its server.
_READERS: tuple[Callable[[bytes], object], ...] = (
    check.decode, offer.decode, report.decode, piece.decode, gateway.decode_batch, gateway.decode_courses,
    trickle.decode_state, trickle.decode_reply,
)  # fmt: skip


def _dhcp(data: bytes) -> None:
    for packet in (data, _DHCP + data):
        with contextlib.suppress(DataError):
            assert dhcp.encode(dhcp.decode(packet)) == packet
    for read, write in ((dhcp.subs, dhcp.subs_to), (dhcp.vendors, dhcp.vendors_to)):
        with contextlib.suppress(DataError):
            assert write(read(data)) == data


def _mobileip(data: bytes) -> None:
    for packet in (data, b"\1" + data, b"\3" + data):
        with contextlib.suppress(DataError):
            mobileip.decode(packet)


def _coap(data: bytes) -> None:
    for datagram in (data, b"\x44\x01" + data):
        with contextlib.suppress(DataError):
            message = coap.decode(datagram)
            assert coap.decode(coap.encode(message)) == message
            with contextlib.suppress(DataError):
                narrow.shown(message)
                narrow.is_whole(bytes(32), narrow.NONE, message)
            for number in (coap.BLOCK1, coap.BLOCK2, coap.MAX_AGE):
                with contextlib.suppress(DataError):
                    message.block(number)


def _cbor(data: bytes) -> None:
    with contextlib.suppress(DataError):
        cbor.unpack(data, "input")
    for read in _READERS:
        with contextlib.suppress(DataError):
            read(data)
    with contextlib.suppress(DataError):
        pair.decode(data, bytes(32))


def _smp(data: bytes) -> None:
    with contextlib.suppress(DataError):
        assert smp.encode(smp.decode(data)) == data
    with contextlib.suppress(DataError):
        smp.identity_of(b"\xa1\x61r" + data)
    with contextlib.suppress(DataError):
        smp.message_of(data)
    reader = smp.Deframer()
    reader.feed(data)
    message = smp.Message(2, 1, 1, b"\xa0", 5)
    assert message in reader.feed(b"\n" + smp.frame(message)), "noise made it deaf"


def _cose(data: bytes) -> None:
    """Lists that roots sign, and the records of a factory's stations."""
    signed = keylist.SignedList(data, ((data[:8], data[:64]),))
    for raw in (data, cbor.pack({1: data, 2: []}), keylist.pack(signed)):
        with contextlib.suppress(DataError):
            keylist.unpack(raw)
    with contextlib.suppress(DataError):
        list(enrolment.read(data.splitlines(keepends=True)))


TARGETS: dict[str, Target] = {
    "cbor": _cbor, "coap": _coap, "cose": _cose, "dhcp": _dhcp, "mobileip": _mobileip, "smp": _smp,
}  # fmt: skip
#: Vectors whose bytes each begins from.
_FROM = {
    "cbor": ("check", "offer", "report", "piece", "pair", "gateway", "trickle"), "coap": ("coap", "narrow"),
    "cose": ("keylist",),    "dhcp": ("dhcp",), "mobileip": ("mobileip",), "smp": ("identify",),
}  # fmt: skip


def seeds(name: str) -> Iterator[bytes]:
    """Every run of hexadecimal digits in its vectors, as bytes."""
    if name == "cose":
        yield from (str(one["line"]).encode() + b"\n" for one in json.loads((VECTORS / "enrolment.json").read_text())["cases"])
    for vector in _FROM[name]:
        yield from _hex(json.loads((VECTORS / f"{vector}.json").read_text()))


def _hex(value: object) -> Iterator[bytes]:
    if isinstance(value, str) and len(value) >= 8:
        with contextlib.suppress(ValueError):
            yield bytes.fromhex(value)
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _hex(one)
