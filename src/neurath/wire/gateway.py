"""What a gateway and its server tell each other in one exchange: words of terminals one way, courses the other. It knows
bytes and bounds; it must never know who may say what. Spec: docs/spec/gateway.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from neurath.ids import checked_name
from neurath.wire import cbor, trickle
from neurath.wire.cbor import malformed
from neurath.wire.trickle import MAX_SYNC, NOTHING, SIZES

#: Words in one batch, and courses in one answer: what stays within a message of 16,384 bytes at the longest names.
MOST = 80
#: Milliseconds: a word older than a day is as old as a day.
OLDEST = 86_400_000


@dataclass(frozen=True, slots=True)
class Word:
    """A terminal was heard `age` milliseconds ago, over this carrier, from this address. `state` is its download state as it
    came (12 bytes), b"" where its carrier's requests do not vary; `sent` the bytes of pieces that were answered since the
    last word about it."""

    terminal: str
    carrier: str
    address: str = ""
    age: int = 0
    state: bytes = b""
    sent: int = 0

    def __post_init__(self) -> None:
        checked_name(self.terminal, "terminal id")
        cbor.demand_texts("word of a gateway", 32, self.carrier)
        cbor.demand_texts("word of a gateway", 64, self.address)
        cbor.demand_numbers("word of a gateway", self.age, self.sent)
        if self.age > OLDEST or not self.carrier:
            raise malformed("word of a gateway", "its age is at most a day, and its carrier has a name")
        if self.state:
            trickle.decode_state(self.state)


@dataclass(frozen=True, slots=True)
class Batch:
    """Words; and the answer is to name the courses of terminals that come after this id as well ("" from the first)."""

    words: tuple[Word, ...] = ()
    after: str = ""

    def __post_init__(self) -> None:
        if len(self.words) > MOST:
            raise malformed("batch of a gateway", f"{len(self.words)} words; the most is {MOST}")
        if self.after:
            checked_name(self.after, "terminal id")


@dataclass(frozen=True, slots=True)
class Course:
    """What rides to this terminal next: a program whose stream has `count` pieces of `size` bytes; `sent` bytes of it (names
    of symbols not counted) were sent, by all that the server knows. No program: nothing."""

    terminal: str
    program: bytes = NOTHING
    size: int = SIZES[0]
    count: int = 0
    sent: int = 0

    def __post_init__(self) -> None:
        checked_name(self.terminal, "terminal id")
        cbor.demand_numbers("course", self.sent)
        if len(self.program) != 4 or self.size not in SIZES or not 0 <= self.count <= MAX_SYNC:
            raise malformed("course", "a program of 4 bytes, a piece size that is known, a count of 24 bits")
        if (self.program == NOTHING) is not (self.count == 0) or (self.count == 0 and (self.sent or self.size != SIZES[0])):
            raise malformed("course", "a program and its stream, or neither")


@dataclass(frozen=True, slots=True)
class Courses:
    """The answer: courses of the terminals in the batch, then of those after its `after`. `after` here is where the next
    batch goes on; "" says that the round is complete."""

    courses: tuple[Course, ...] = ()
    after: str = ""

    def __post_init__(self) -> None:
        if len(self.courses) > 2 * MOST:
            raise malformed("courses", f"{len(self.courses)}; the most is {2 * MOST}")
        if self.after:
            checked_name(self.after, "terminal id")


def encode_batch(batch: Batch) -> bytes:
    words = [[w.terminal, w.carrier, w.address, w.age, w.state, w.sent] for w in batch.words]
    return cbor.pack({1: words, 2: batch.after or None})


def decode_batch(data: bytes) -> Batch:
    """The batch in the bytes, or DataError."""
    f = cbor.unpack(data, "batch of a gateway")
    f.only(frozenset({1, 2}))
    rows = _rows(f.need(1, list), (str, str, str, int, bytes, int), "batch of a gateway")
    batch = Batch(tuple(Word(*row) for row in rows), f.text(2, 64, ""))
    _demand_one_form(encode_batch(batch), data)
    return batch


def encode_courses(answer: Courses) -> bytes:
    rows = [[c.terminal, c.program, c.size, c.count, c.sent] for c in answer.courses]
    return cbor.pack({1: rows, 2: answer.after or None})


def decode_courses(data: bytes) -> Courses:
    """The courses in the bytes, or DataError."""
    f = cbor.unpack(data, "courses")
    f.only(frozenset({1, 2}))
    rows = _rows(f.need(1, list), (str, bytes, int, int, int), "courses")
    answer = Courses(tuple(Course(*row) for row in rows), f.text(2, 64, ""))
    _demand_one_form(encode_courses(answer), data)
    return answer


def _rows(found: list[Any], kinds: tuple[type, ...], what: str) -> list[list[Any]]:
    for row in found:
        if type(row) is not list or tuple(type(value) for value in row) != kinds:
            raise malformed(what, "a row has other fields than the page says")
    return found


def _demand_one_form(again: bytes, data: bytes) -> None:
    if again != data:
        raise malformed("message of a gateway", "a default value is spelled out")
