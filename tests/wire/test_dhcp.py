"""A DHCP packet comes out byte for byte as it went in; long options are split and joined; no bytes crash the decoder."""

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.carriers.dhcp.relay import Send, To
from neurath.carriers.dhcp.sockets import frame
from neurath.errors import DataError
from neurath.wire import dhcp
from neurath.wire.dhcp import COOKIE, Code, Message, Op, Type
from tests.wire.vectors import cases, refused

OPTIONS = st.lists(
    st.tuples(st.integers(1, 254).filter(lambda code: code != Code.OVERLOAD), st.binary(max_size=255)) | st.just((0, b"")),
    max_size=12,
).map(tuple)
FIXED = st.binary(min_size=236, max_size=236).map(lambda data: bytes([1 + data[0] % 2, data[1], data[2] % 17]) + data[3:])
MESSAGES = st.builds(Message, FIXED, OPTIONS, st.binary(max_size=40))
CLIENT = bytes.fromhex("525400123456")


@given(MESSAGES)
def test_a_packet_comes_out_as_it_was(message):
    data = dhcp.encode(message)
    assert dhcp.decode(data) == message
    assert dhcp.encode(dhcp.decode(data)) == data


@given(st.binary(max_size=400))
def test_no_bytes_crash_the_decoder(data):
    for given_ in (data, bytes([1, 1, 6]) + bytes(233) + COOKIE + data):
        with contextlib.suppress(DataError):
            message = dhcp.decode(given_)
            assert dhcp.encode(message) == given_
            assert message.type is None or message.type in Type


@given(st.binary(max_size=300))
def test_no_bytes_crash_what_is_inside_options(data):
    for decode, encode in ((dhcp.subs, dhcp.subs_to), (dhcp.vendors, dhcp.vendors_to)):
        with contextlib.suppress(DataError):
            assert encode(decode(data)) == data


@given(st.binary(max_size=1400), st.integers(1, 254).filter(lambda code: code != Code.OVERLOAD))
def test_a_long_option_is_split_and_joined(value, code):
    message = dhcp.message(Op.REPLY, b"abcd", CLIENT, [(Code.TYPE, b"\x05")]) if code != Code.TYPE else None
    message = (message or dhcp.message(Op.REPLY, b"abcd", CLIENT)).with_(code, value)
    again = dhcp.decode(dhcp.packed(message))
    assert again.get(code) == value
    assert all(len(data) <= 255 for _, data in again.options)
    assert again.with_(code, b"").get(code) == b""
    assert again.without(code).get(code) is None


@given(st.integers(0, 1600))
def test_what_fits_fits_and_one_more_does_not(room):
    length = dhcp.fits(room)
    taken = sum(2 + len(part) for part in dhcp.split(bytes(length)))
    assert taken <= room or length == 0
    assert sum(2 + len(part) for part in dhcp.split(bytes(length + 1))) > room


@pytest.mark.parametrize("case", cases("dhcp"), ids=lambda case: case["name"])
def test_the_packets_of_the_page_hold(case):
    data = bytes.fromhex(case["bytes"])
    message = dhcp.decode(data)
    assert dhcp.encode(message) == data
    for code, value in case["options"].items():
        found = message.get(int(code))
        assert (None if found is None else found.hex()) == value
    assert message.type == (None if case["type"] is None else Type[case["type"]])
    assert message.chaddr.hex(":") == case["mac"]


@pytest.mark.parametrize("case", refused("dhcp"), ids=lambda case: case["why"])
def test_what_is_no_dhcp_is_refused(case):
    with pytest.raises(DataError):
        dhcp.decode(bytes.fromhex(case["bytes"]))


def test_an_option_stays_where_it_stood():
    message = dhcp.message(Op.REPLY, b"abcd", CLIENT, [(53, b"\x05"), (54, b"\x01\x02\x03\x04"), (51, bytes(4))])
    changed = message.with_(54, b"\x09\x09\x09\x09")
    assert [code for code, _ in changed.options] == [53, 54, 51]
    assert changed.with_(99, b"x").options[-1] == (99, b"x")


def test_overloaded_fields_are_read_after_the_options():
    fixed = bytearray(dhcp.message(Op.REPLY, b"abcd", CLIENT).fixed)
    fixed[108:112] = bytes([12, 1, ord("b"), 255])
    fixed[44:48] = bytes([12, 1, ord("c"), 255])
    message = Message(bytes(fixed), ((12, b"a"), (Code.OVERLOAD, b"\x03")))
    assert message.get(12) == b"abc"
    assert Message(bytes(fixed), ((12, b"a"), (Code.OVERLOAD, b"\x01"))).get(12) == b"ab"
    for bad in (b"\x00", b"\x04", b"\x01\x01"):
        with pytest.raises(DataError):
            dhcp.decode(dhcp.encode(Message(bytes(fixed), ((Code.OVERLOAD, bad),))))


def test_tshark_takes_every_form_without_a_malformed_mark(tmp_path):
    from tests.parts import need
    from tests.rigs.net import tshark

    need("tshark")
    piece = bytes(range(256)) * 4
    info = dhcp.subs_to(((1, b"neurath"), (5, b"\x0a\x00\x00\x01"), (11, b"\x0a\x00\x00\x01")))
    told = dhcp.vendors_to(((32473, b"\x01\x02ab"), (9, b"")))
    every = [
        dhcp.message(Op.REPLY, b"abcd", CLIENT, [(53, b"\x05"), (54, b"\x0a\x00\x00\x01"), (225, piece[:n])])
        for n in (1, 208, 255, 256, 600, 1000)
    ]
    every.append(dhcp.message(Op.REQUEST, b"abcd", CLIENT, [(53, b"\x03"), (224, bytes(12)), (55, b"\x01\xe1"), (82, info)]))
    every.append(dhcp.message(Op.REQUEST, b"abcd", CLIENT, [(53, b"\x03"), (124, told), (125, told)]))
    path = tmp_path / "c.pcap"
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for message in every:
            data = frame(b"\xff" * 6, CLIENT, b"\x0a\x00\x00\x01", Send(dhcp.packed(message), To.BROADCAST, b"\xff" * 4))
            out.write(struct.pack("<IIII", 1, 0, len(data), len(data)) + data)
    assert tshark(path, "_ws.malformed || ip.checksum.status == 0 || udp.checksum.status == 0") == []
    rows = tshark(path, "dhcp", ["dhcp.option.type"], "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE")
    assert len(rows) == len(every)
    assert ["225" in row[0].split(",") for row in rows] == [True] * 6 + [False] * 2
    assert isinstance(path, Path)
