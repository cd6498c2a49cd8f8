"""What a terminal that cannot boot asks its server, and the answer (docs/spec/rescue.md 3): bytes to values. It knows lengths;
it must never judge what a description describes."""

from __future__ import annotations

from dataclasses import dataclass

from neurath.errors import DataError

QUESTION, ANSWER = b"NRH\x01", b"NRA\x01"
FIXED = 44
#: The longest description: 12 bytes and 4 for each leaf of 256 MiB.
MOST = FIXED + 12 + 4 * 65536


@dataclass(frozen=True, slots=True)
class Question:
    """`envelope` and `file` are those of the open plan; where none is open (`description` empty) the envelope is that of the
    image that was given up, and the file zeros."""

    nonce: bytes
    envelope: bytes
    file: bytes
    description: bytes = b""


def question_to(question: Question) -> bytes:
    return QUESTION + question.nonce + question.envelope + question.file + question.description


def question_from(data: bytes) -> Question:
    """DataError where these bytes ask nothing."""
    short = FIXED <= len(data) < FIXED + 12 and len(data) != FIXED
    if data[:4] != QUESTION or len(data) < FIXED or len(data) > MOST or short or (len(data) - FIXED) % 4:
        raise DataError("this is not a question", f"{len(data)} B", "see docs/spec/rescue.md", id="NRT-218")
    return Question(data[4:12], data[12:28], data[28:44], data[44:])


def answer_to(ticket: bytes, envelope: bytes) -> bytes:
    """The answer: a ticket, and the envelope of what the terminal is to become where that is not its open plan's."""
    return ANSWER + b"".join(len(part).to_bytes(2, "little") + part for part in (ticket, envelope))
