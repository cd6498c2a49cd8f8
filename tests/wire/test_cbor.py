"""One form of every message: the strict reader takes what the writer writes and nothing else."""

from collections.abc import Mapping

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.wire import cbor

SCALARS = st.integers(-0xFFFF_FFFF, 0xFFFF_FFFF) | st.binary(max_size=300) | st.text(max_size=40) | st.booleans()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=5), max_leaves=10)
KEY = st.integers(-300, 300)


@given(st.dictionaries(KEY, VALUES, max_size=20))
def test_every_map_of_plain_values_reads_back_equal(value: dict[int, object]) -> None:
    assert cbor.unpack(cbor.pack(value), "test")._values == value


def ordered(value: object) -> object:
    """The same value with every map's keys in the order of their encodings."""
    if isinstance(value, Mapping):
        pairs = [(ordered(k), ordered(v)) for k, v in value.items()]
        return cbor2.frozendict(sorted(pairs, key=lambda pair: cbor2.dumps(pair[0])))
    return type(value)(ordered(v) for v in value) if isinstance(value, (list, tuple)) else value


@given(st.binary(max_size=200))
@example(b"\xa1\x01" * 400 + b"\x01")
@example(b"\x81" * 5000 + b"\x01")
@example(bytes.fromhex("a101c5821a3b9aca0001"))  # a bigfloat that would take gigabytes
@example(bytes.fromhex("a101bb0000ffffffffffff"))
@example(b"\xa1\x01\x61\xff")
@example(b"\xa1\xa1\x01\x01\x01")
def test_no_byte_string_crashes_the_reader_and_one_form_only_is_taken(data: bytes) -> None:
    try:
        found = cbor.unpack(data, "test")
    except DataError:
        return
    assert cbor2.dumps(ordered(found._values)) == data


@pytest.mark.parametrize(
    ("why", "data"),
    [
        ("not a map", "8101"),
        ("number in a longer form", "a1011800"),
        ("number in two bytes where one would do", "a1011900ff"),
        ("number in four bytes where two would do", "a1011a0000ffff"),
        ("length in two bytes where one would do", "a10159000101"),
        ("key in a longer form", "a1180100"),
        ("length in a longer form", "a101580101"),
        ("indefinite map", "bf0100ff"),
        ("indefinite string", "a1015f4101ff"),
        ("keys out of order", "a202000100"),
        ("a key twice", "a201000101"),
        ("nested keys out of order", "a101a202000100"),
        ("a tag", "a101c100"),
        ("half float", "a101f93c00"),
        ("double", "a101fb3ff0000000000000"),
        ("undefined", "a101f7"),
        ("simple value", "a101f0"),
        ("64-bit integer", "a1011b0000000100000000"),
        ("a byte follows", "a1010000"),
        ("cut", "a10141"),
        ("nothing", ""),
        ("text that is not UTF-8", "a10161ff"),
    ],
)
def test_every_second_spelling_is_refused(why: str, data: str) -> None:
    with pytest.raises(DataError, match="malformed test"):
        cbor.unpack(bytes.fromhex(data), "test")


def test_a_message_above_the_bound_is_refused() -> None:
    cbor.unpack(cbor.pack({1: bytes(cbor.MAX_MESSAGE - 10)}), "test")
    with pytest.raises(DataError):
        cbor.unpack(cbor.pack({1: bytes(cbor.MAX_MESSAGE)}), "test")


@pytest.mark.parametrize("text", ["", "-1", "+1", "01", " 1", "1_0", "٣", "4294967296", "99999999999", "0x1"])
def test_a_number_in_text_has_one_spelling(text: str) -> None:
    with pytest.raises(DataError):
        cbor.count(text, "test")


@pytest.mark.parametrize("text", ["0", "AB", "a b ", "zz", "0x"])
def test_bytes_in_text_have_one_spelling(text: str) -> None:
    with pytest.raises(DataError):
        cbor.octets(text, "test")


@given(st.dictionaries(KEY, VALUES, max_size=20))
def test_another_writer_of_the_same_form_writes_the_same_bytes(value: dict[int, object]) -> None:
    assert cbor.pack(value) == cbor2.dumps(ordered(value))


@pytest.mark.parametrize("data", ["a1a1010101", "a1820102f5", "a20100f500"])
def test_keys_that_are_no_plain_values_or_one_to_python_are_refused(data: str) -> None:
    with pytest.raises(DataError, match="malformed test"):
        cbor.unpack(bytes.fromhex(data), "test")
