"""Records of a factory's enrolments: read as they were written, and any change to a line that is there is found."""

from __future__ import annotations

import json

import pytest

from neurath.errors import DataError, TrustError
from neurath.wire import enrolment, keys
from neurath.wire.enrolment import BEGINNING, BEGUN, ENROLLED, Record
from tests.wire.vectors import cases

STATION = keys.from_seed(bytes([7]) * 32)


def lines(count: int = 3, signer: keys.SigningKey | None = STATION) -> list[bytes]:
    made: list[bytes] = []
    for n in range(count):
        device = keys.from_seed(bytes([n]) * 32).public
        before = enrolment.bound(made[-1]) if made else BEGINNING
        one = Record(
            n + 1, before, 1000 * n, ENROLLED, "aya", "line-3", f"T-{n}", "phone", enrolment.key_text(device), 64 * "a"
        )
        made.append(enrolment.written(one, signer))
    return made


@pytest.mark.parametrize("signer", [STATION, keys.create(keys.Alg.ES256), None])
def test_records_read_as_they_were_written(signer: keys.SigningKey | None) -> None:
    found = list(enrolment.read(lines(3, signer)))
    assert [one.id for one in found] == ["T-0", "T-1", "T-2"]
    assert found[1].fingerprint == keys.fingerprint(keys.from_seed(bytes([1]) * 32).public)
    assert bool(found[0].signature) is (signer is not None)


def test_a_line_that_was_taken_out_changed_or_put_in_is_found() -> None:
    whole = lines()
    for changed in (
        whole[1:],
        [whole[0], whole[2]],
        [whole[0], whole[0], *whole[1:]],
        [*whole[:1], whole[1].replace(b"T-1", b"T-9"), whole[2]],
    ):
        with pytest.raises(TrustError):
            list(enrolment.read(changed))


def test_the_last_line_is_held_by_its_signature_alone() -> None:
    whole = lines()
    with pytest.raises(TrustError, match="changed"):
        list(enrolment.read([*whole[:2], whole[2].replace(b"T-2", b"T-9")]))
    forged = whole[2].replace(
        enrolment.key_text(STATION.public).encode(), enrolment.key_text(keys.from_seed(bytes(32)).public).encode()
    )
    with pytest.raises(TrustError, match="changed"):
        list(enrolment.read([*whole[:2], forged]))


def test_without_a_stations_key_the_chain_alone_finds_what_was_changed_before_the_end() -> None:
    whole = lines(3, None)
    with pytest.raises(TrustError, match="changed"):
        list(enrolment.read([whole[0].replace(b"T-0", b"T-9"), *whole[1:]]))


WRONG = {"id": "a b", "model": "", "what": "guessed", "key": "03ff", "token": "x", "n": "1", "at": True, "more": 1, "form": 2}


@pytest.mark.parametrize(("field", "value"), WRONG.items())
def test_a_record_that_is_not_one_is_refused(field: str, value: object) -> None:
    raw = json.loads(lines(1, None)[0]) | {field: value}
    with pytest.raises(DataError):
        list(enrolment.read([json.dumps(raw, sort_keys=True, separators=(",", ":")).encode() + b"\n"]))


def test_no_bytes_crash_the_reader() -> None:
    one = lines(1)[0]
    for odd in (
        b"",
        b"\n",
        b"null\n",
        b"[]\n",
        b"\xff\xfe\n",
        one[:-30],
        one + b" ",
        b'{"form":1}\n',
        b"[" * 3000,
        one.replace(b'"at":0', b'"at":1e999'),
    ):
        with pytest.raises(DataError):
            list(enrolment.read([odd]))


def test_a_begun_record_needs_no_key() -> None:
    (found,) = enrolment.read([enrolment.written(Record(1, BEGINNING, 5, BEGUN, "aya", "line-3", "T-1", "phone"))])
    assert (found.what, found.key) == (BEGUN, "")


@pytest.mark.parametrize("case", cases("enrolment"))
def test_the_vectors_of_the_enrolment_page_hold(case: dict[str, str]) -> None:
    signer = keys.from_seed(bytes.fromhex(case["station_seed"]))
    record = Record(**case["record"])  # type: ignore[arg-type]
    assert enrolment.written(record, signer).decode() == case["line"] + "\n"
    assert enrolment.bound(case["line"].encode()) == case["bound"]
