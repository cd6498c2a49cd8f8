"""The station's software store: kept whole, trusted only as far as the envelope vouches."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError, NotFound, TrustError
from neurath.flash.geometry import Model, simple_layout
from neurath.ids import ModelName, TerminalId, Version
from neurath.station.select import Entry
from neurath.station.stock import Index, Stock, index_of, index_text
from neurath.wire import keys, manifest, package

KEY = keys.from_seed(bytes(32))
MODEL = Model(ModelName("phone"), simple_layout(8192, sector=1024, group=2048, leaf=1024), ram=65536)
IMAGE = bytes(range(256)) * 20


def entry(image: bytes = IMAGE, *, sequence: int = 1, key: keys.SigningKey = KEY) -> Entry:
    raw = manifest.sign(manifest.contents_of(image, MODEL, sequence=sequence), key)
    named = manifest.verify(raw, [key.public]).digest.hex()
    name = hashlib.sha256(image).hexdigest()
    return Entry(MODEL.name, Version(f"1.{sequence}"), name, len(image), raw, named, sequence, 0)


def index(*entries: Entry) -> Index:
    return Index(entries, ((MODEL.name, keys.public_pem(KEY.public).decode()),), ((TerminalId("t1"), Version("1.1")),), 5.0)


@pytest.fixture
def stock(tmp_path: Path) -> Stock:
    found = Stock(tmp_path / "stock")
    found.keep(index(entry()))
    found.put(entry(), IMAGE)
    return found


def test_an_index_written_down_reads_back_equal() -> None:
    assert index_of(index_text(index(entry()))) == index(entry())


@given(st.text(max_size=200))
def test_no_text_crashes_the_index_reader(text: str) -> None:
    for candidate in (text, f'{{"form": 1, "releases": [{text}], "keys": [], "assigned": [{text}]}}'):
        with contextlib.suppress(DataError):
            index_of(candidate)


def test_a_package_from_the_stock_is_verified_and_whole(stock: Stock) -> None:
    found = package.read(stock.package(entry()))
    assert found.image == IMAGE
    assert found.envelope == entry().envelope
    assert stock.assigned(TerminalId("t1")) == "1.1"
    assert stock.assigned(TerminalId("t2")) is None


def test_an_image_that_rotted_or_is_missing_is_never_packed(stock: Stock) -> None:
    path = stock.path(entry().image)
    path.write_bytes(IMAGE[:-1] + b"\0")
    with pytest.raises(DataError):
        stock.package(entry())
    path.unlink()
    with pytest.raises(NotFound):
        stock.package(entry())


def test_an_image_that_arrives_damaged_is_not_kept(stock: Stock) -> None:
    other = entry(b"other" * 100, sequence=2)
    with pytest.raises(DataError):
        stock.put(other, b"tampered")
    assert not stock.has(other)


def test_an_envelope_of_another_image_or_another_key_is_never_packed(stock: Stock) -> None:
    strange = entry(key=keys.from_seed(bytes([1]) * 32))
    with pytest.raises(TrustError):
        stock.package(strange)
    swapped = replace(entry(), envelope=entry(b"x" * 5120, sequence=1).envelope)
    with pytest.raises(TrustError):
        stock.package(swapped)
    with pytest.raises(TrustError):
        stock.package(replace(entry(), sequence=9))


def test_a_new_release_key_is_not_taken_in_silence(stock: Stock) -> None:
    taken_over = keys.public_pem(keys.from_seed(bytes([1]) * 32).public).decode()
    with pytest.raises(TrustError):
        stock.keep(replace(index(entry()), keys=((MODEL.name, taken_over),)))
    stock.forget_keys()
    stock.keep(replace(index(entry()), keys=((MODEL.name, taken_over),)))


def test_an_empty_directory_is_no_stock(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Stock(tmp_path).index()


def test_records_wait_in_order_and_are_delivered_once(stock: Stock) -> None:
    for at in (2.0, 1.0):
        stock.record({"at": at, "terminal": "t1"})
    waiting = stock.queued()
    assert [p.name[:15] for p in waiting] == ["000000000001000", "000000000002000"]
    stock.delivered(waiting[0])
    assert stock.queued() == waiting[1:]
