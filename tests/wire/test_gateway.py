"""Gateway and server: each message has one form, and nothing crashes the decoders."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.wire import cbor, gateway, trickle
from neurath.wire.gateway import MOST, OLDEST, Batch, Course, Courses, Word
from neurath.wire.trickle import NOTHING, SIZES
from tests.wire.test_trickle import PROGRAMS, STATES
from tests.wire.vectors import LINE, cases, refused

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", fullmatch=True)
WORDS = st.builds(
    Word,
    NAMES,
    LINE(32).filter(bool),
    LINE(64),
    st.integers(0, OLDEST),
    st.just(b"") | STATES.map(trickle.encode_state),
    st.integers(0, cbor.MAX_NUMBER),
)
COURSES = st.builds(Course, NAMES) | st.builds(
    Course, NAMES, PROGRAMS, st.sampled_from(SIZES), st.integers(1, 0xFF_FFFF), st.integers(0, cbor.MAX_NUMBER)
)
BATCHES = st.builds(Batch, st.lists(WORDS, max_size=8).map(tuple), st.just("") | NAMES)
ANSWERS = st.builds(Courses, st.lists(COURSES, max_size=8).map(tuple), st.just("") | NAMES)


def value_of(case):
    fields = case["fields"]
    if case["what"] == "batch":
        return Batch(tuple(Word(*w[:4], bytes.fromhex(w[4]), w[5]) for w in fields["words"]), fields["after"])
    return Courses(tuple(Course(c[0], bytes.fromhex(c[1]), *c[2:]) for c in fields["courses"]), fields["after"])


CODECS = {
    "batch": (gateway.encode_batch, gateway.decode_batch),
    "courses": (gateway.encode_courses, gateway.decode_courses),
}


@pytest.mark.parametrize("case", cases("gateway"), ids=lambda case: case["name"])
def test_the_messages_of_the_page_hold(case):
    encode, decode = CODECS[case["what"]]
    assert encode(value_of(case)).hex() == case["bytes"]
    assert decode(bytes.fromhex(case["bytes"])) == value_of(case)


@pytest.mark.parametrize("case", refused("gateway"), ids=lambda case: case["why"])
def test_other_forms_are_refused(case):
    with pytest.raises(DataError):
        CODECS[case["what"]][1](bytes.fromhex(case["bytes"]))


@given(BATCHES)
def test_a_batch_comes_back(batch):
    assert gateway.decode_batch(gateway.encode_batch(batch)) == batch


@given(ANSWERS)
def test_courses_come_back(answer):
    assert gateway.decode_courses(gateway.encode_courses(answer)) == answer


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_decoders(data):
    for _, decode in CODECS.values():
        with contextlib.suppress(DataError):
            decode(data)


@given(st.dictionaries(st.integers(0, 4), st.lists(st.lists(st.integers() | st.text() | st.binary(), max_size=7)) | st.text()))
def test_no_map_crashes_the_decoders(fields):
    for _, decode in CODECS.values():
        with contextlib.suppress(DataError):
            decode(cbor.pack(fields))


def test_the_longest_messages_fit():
    state = trickle.encode_state(trickle.State(trickle.Ask.PIECES, b"abcd", 0xFF_FFFF))
    word = Word("T" * 64, "c" * 32, "a" * 64, OLDEST, state, cbor.MAX_NUMBER)
    batch = Batch((word,) * MOST, "T" * 64)
    assert gateway.decode_batch(gateway.encode_batch(batch)) == batch
    answer = Courses((Course("T" * 64, b"abcd", 4096, 0xFF_FFFF, cbor.MAX_NUMBER),) * (2 * MOST), "T" * 64)
    assert gateway.decode_courses(gateway.encode_courses(answer)) == answer
    assert Course("T").program == NOTHING
