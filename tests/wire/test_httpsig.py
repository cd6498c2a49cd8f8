"""RFC 9421 and RFC 9530 against their own examples, and what must never pass for a signature."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from neurath.errors import DataError
from neurath.flash.trust import Alg, signature_holds
from neurath.wire import httpsig, keys
from neurath.wire.httpsig import Fresh, Message

#: RFC 9421 B.2: the example request, and the key of B.1.4.
BODY = b'{"hello": "world"}'
HEADERS = {"date": "Tue, 20 Apr 2021 02:07:55 GMT", "content-type": "application/json", "content-length": "18"}
REQUEST = Message("POST", "/foo", "param=Value&Pet=dog", BODY, HEADERS, "example.com")
SEED = base64.urlsafe_b64decode("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU=")
GIVEN = (
    'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473'
    ';keyid="test-key-ed25519"'
)
SIGNATURE = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
KEY = keys.from_seed(SEED)
FRESH = Fresh("ab" * 16, 7)


def made(message: Message = REQUEST) -> dict[str, str]:
    return httpsig.headers(message, "k", Alg.ED25519, FRESH, KEY.sign)


def holds(message: Message, given: dict[str, str]) -> bool:
    told = httpsig.read(given["Signature-Input"], given["Signature"])
    whole = replace(message, headers={**message.headers, "content-digest": given["Content-Digest"]})
    text = httpsig.base(told.covered, whole, told.text)
    return signature_holds(2, KEY.public.data, text, told.signature) and httpsig.holds_digest(
        given["Content-Digest"], message.body
    )


def test_the_rfcs_example_is_signed_as_the_rfc_signs_it() -> None:
    told = httpsig.read(GIVEN + ';tag="neurath"', f"sig-b26=:{SIGNATURE}:")
    text = GIVEN.removeprefix("sig-b26=")
    signed = httpsig.base(told.covered, REQUEST, text)
    assert KEY.sign(signed) == base64.b64decode(SIGNATURE) == told.signature
    assert signature_holds(2, KEY.public.data, signed, told.signature)


def test_the_rfcs_digest() -> None:
    assert httpsig.digest(BODY) == "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
    assert httpsig.holds_digest(f"sha-512=:AAAA:, {httpsig.digest(BODY)}", BODY)
    assert not httpsig.holds_digest("sha-512=:AAAA:", BODY)


def test_what_is_signed_is_read_and_holds() -> None:
    assert holds(REQUEST, made())
    assert holds(replace(REQUEST, query="", body=b""), made(replace(REQUEST, query="", body=b"")))
    assert httpsig.fresh(httpsig.read(made()["Signature-Input"], made()["Signature"]).parameters["nonce"]) == FRESH


@pytest.mark.parametrize("changed", [{"method": "PUT"}, {"path": "/fop"}, {"query": "param=Value"}, {"body": b"{}"}])
def test_nothing_that_is_covered_can_be_changed(changed: dict[str, object]) -> None:
    assert not holds(replace(REQUEST, **changed), made())  # type: ignore[arg-type]


def test_no_bit_of_the_parameters_can_be_changed() -> None:
    given = made()
    text = given["Signature-Input"]
    for at in range(len(text)):
        other = text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]
        try:
            assert not holds(REQUEST, given | {"Signature-Input": other}), other
        except DataError:
            continue


@pytest.mark.parametrize(
    ("given", "signatures"),
    [
        ("", ""),
        (GIVEN, f"sig-b26=:{SIGNATURE}:"),  # for another application
        ('a=("@path");tag="neurath"', "b=:AAAA:"),
        ('a=("@path");tag="neurath"', "a=:AA:"),
        ('a=("@path" "@path");tag="neurath"', "a=:AAAA:"),
        ('a=("@path");tag="neurath", b=("@path");tag="neurath"', "a=:AAAA:, b=:AAAA:"),
        ('a=("@path";tag="neurath"', "a=:AAAA:"),
        ('a=("@path");tag="neurath"' + " " * httpsig.LONGEST, "a=:AAAA:"),
    ],
)
def test_what_is_no_signature_for_us_is_refused(given: str, signatures: str) -> None:
    with pytest.raises(DataError):
        httpsig.read(given, signatures)


def test_what_it_covers_must_be_there() -> None:
    with pytest.raises(DataError) as fault:
        httpsig.base(("x-missing",), REQUEST, "()")
    assert "not there" in fault.value.why


@pytest.mark.parametrize("text", ["", "x.1", "0", "0.-1", "0.1.1", "AB" * 16 + ".1", "0." + "9" * 16])
def test_a_nonce_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        httpsig.fresh(text)


def test_the_servers_word_is_read_where_it_is_ours() -> None:
    assert httpsig.asked(httpsig.asks("cd" * 16)) == "cd" * 16
    for other in ("", "x", 'a=("@path");nonce="%s.0"' % ("cd" * 16), 'a=();tag="neurath"'):
        assert httpsig.asked(other) == ""
