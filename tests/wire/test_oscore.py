"""OSCORE against the vectors of RFC 8613, appendix C, and against its own changed bytes."""

from __future__ import annotations

import pytest

from neurath.errors import DataError, TrustError
from neurath.wire import coap, oscore
from neurath.wire.coap import Message

SECRET, SALT = bytes(range(1, 17)), bytes.fromhex("9e7ca92223786340")
CONTEXT = bytes.fromhex("37cbf3210017a2d3")
ONE, TWO = "f0910ed7295e6ad4b54fc793154302ff", "ffb14e093c94c9cac9471648b4f98710"
THREE, FOUR = "321b26943253c7ffb6003b0b64d74041", "af2a1300a5e95788b356336eeecd2b92"
#: Appendix C.1 to C.3: salt, sender, recipient, id context -> sender key, recipient key, common IV.
DERIVED = [
    (SALT, "", "01", None, ONE, TWO, "4622d4dd6d944168eefb54987c"),
    (SALT, "01", "", None, TWO, ONE, "4622d4dd6d944168eefb54987c"),
    (b"", "00", "01", None, THREE, "e57b5635815177cd679ab4bcec9d7dda", "be35ae297d2dace910c52e99f9"),
    (SALT, "", "01", CONTEXT, FOUR, "e39a0c7c77b43f03b4b39ab9a268699f", "2ca58fb85ff1b81c0b7181b85e"),
]
REQUEST = coap.decode(bytes.fromhex("44015d1f00003974396c6f63616c686f737483747631"))
#: C.4 to C.6: which keys, sequence number -> ciphertext, option.
PROTECTED = [
    (0, 20, "612f1092f1776f1c1668b3825e", "0914"),
    (2, 20, "4ed339a5a379b0b8bc731fffb0", "091400"),
    (3, 20, "72cd7273fd331ac45cffbe55c3", "19140837cbf3210017a2d3"),
]


def keys(which: int) -> oscore.Keys:
    salt, sender, recipient, context = DERIVED[which][:4]
    return oscore.derive(SECRET, salt, bytes.fromhex(sender), bytes.fromhex(recipient), context)


def asked(which: int = 0) -> tuple[Message, oscore.Asked]:
    inner = tuple(option for option in REQUEST.options if option[0] != 3)  # Uri-Host is for proxies: it stays outside
    return oscore.protect(keys(which), REQUEST.code, inner, b"", 20)


@pytest.mark.parametrize("which", range(len(DERIVED)))
def test_keys_are_derived_as_printed(which: int) -> None:
    found = keys(which)
    assert (found.sender_key.hex(), found.recipient_key.hex(), found.common_iv.hex()) == DERIVED[which][4:]
    assert found.sender_key.hex() not in repr(found)


@pytest.mark.parametrize(("which", "number", "cipher", "option"), PROTECTED)
def test_a_request_is_protected_as_printed(which: int, number: int, cipher: str, option: str) -> None:
    outer, _ = asked(which)
    assert outer.payload.hex() == cipher
    assert outer.options == ((oscore.OSCORE, bytes.fromhex(option)),)
    assert outer.code == coap.Code.POST


@pytest.mark.parametrize(
    ("option", "cipher"),
    [
        ("", "dbaad1e9a7e7b2a813d3c31524378303cdafae119106"),  # C.7
        ("0100", "4d4c13669384b67354b2b6175ff4b8658c666a6cf88e"),  # C.8: with a number of the server's own
    ],
)
def test_an_answer_is_opened_as_printed(option: str, cipher: str) -> None:
    _, bound = asked()
    answer = Message(coap.Type.ACK, 0x44, 1, b"", ((oscore.OSCORE, bytes.fromhex(option)),), bytes.fromhex(cipher))
    found = oscore.unprotect(keys(0), answer, bound)
    assert (found.code, found.options, found.payload) == (coap.Code.CONTENT, (), b"Hello World!")
    for bit in range(8 * len(answer.payload)):
        changed = bytearray(answer.payload)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(TrustError):
            oscore.unprotect(keys(0), Message(answer.type, answer.code, 1, b"", answer.options, bytes(changed)), bound)
    other = oscore.protect(keys(0), 1, (), b"", 21)[1]
    with pytest.raises(TrustError):
        oscore.unprotect(keys(0), answer, other)


@pytest.mark.parametrize("option", ["10", "08", "06", "020001", "0114ff", "e100"])
def test_an_option_that_no_answer_has_is_refused(option: str) -> None:
    _, bound = asked()
    answer = Message(coap.Type.ACK, 0x44, 1, b"", ((oscore.OSCORE, bytes.fromhex(option)),), bytes(22))
    with pytest.raises((DataError, TrustError)):
        oscore.unprotect(keys(0), answer, bound)


def test_an_answer_that_nobody_protected_is_none() -> None:
    _, bound = asked()
    with pytest.raises(TrustError, match="nobody protected"):
        oscore.unprotect(keys(0), Message(coap.Type.ACK, 0x45, 1, b"", (), b"Hello World!"), bound)


def test_numbers_end_and_no_nonce_comes_twice() -> None:
    with pytest.raises(DataError, match="used up"):
        oscore.protect(keys(0), 1, (), b"", oscore.MOST + 1)
    seen = {oscore.protect(keys(0), 1, (), b"same", number)[0].payload for number in (0, 1, 255, 256, 65536, oscore.MOST)}
    assert len(seen) == 6
