"""The phone's half of the narrow profile (firmware/app/narrow.c, firmware/coap.c) against our codec: what it sends is right,
and of what comes it takes nothing but answers to what it asked in this life."""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from neurath.wire import coap, narrow
from neurath.wire.coap import Code, Message, Type
from tests.firmware.test_series import MILLIS, ROOT, SEND, STUB, TAKE
from tests.parts import need

RIG = (
    STUB
    + """
#include <stddef.h>
#include "services.h"
#include "narrow.h"
#include "token.h"
static const struct nrt_birth birth = {.id = "phone-1"};
const char *token_of(const struct fw_services *boot) { (void)boot; return "0123456789abcdef0123456789abcdef"; }
static void say(const char *text) { (void)text; }
static uint8_t kept[FW_KEPT];
uint8_t *rig_kept(void) { return kept; }
static const struct fw_services table = {.size = sizeof table, .kept = kept, .birth = &birth, .say = say,
    .guard = fw_coap_guard,
    .sha256_init = nrt_sha256_init, .sha256_add = nrt_sha256_add, .sha256_end = nrt_sha256_end};
void rig_start(uint32_t start) { fw_coap_open(start); narrow_start(&table); }
int rig_ask(const char *verb, const uint8_t *body, uint32_t len, uint8_t *answer, uint32_t room, uint32_t out[2])
{
    struct fw_exchange x = {.method = FW_POST, .path = {verb, "phone-1"}, .token = "t", .body = body, .body_len = len,
                            .answer = answer, .room = room};
    int rc = fw_coap_ask(&x);
    out[0] = x.code;
    out[1] = x.len;
    return rc;
}
"""
)
TOKEN = "0123456789abcdef0123456789abcdef"
KEY = narrow.derive(narrow.secret_of(TOKEN), "phone-1", "DEFAULT")
Answers = Callable[[Message], list[Message]]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("narrow")
    (here / "rig.c").write_text(RIG)
    words = [need("gcc"), "-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-DBOARD_SX1"]
    include = [f"-I{ROOT / where}" for where in ("firmware/include", "firmware/app", "core/include", "core/src")]
    sources = [str(ROOT / name) for name in ("firmware/coap.c", "firmware/app/narrow.c", "core/src/sha256.c")]
    subprocess.run([*words, *include, *sources, str(here / "rig.c"), "-o", str(here / "narrow.so")], check=True)
    return here / "narrow.so"


class Phone:
    """The firmware's code, each with RAM of its own, behind an air on which `answers` says what comes."""

    def __init__(self, library: Path, place: Path, start: int = 1) -> None:
        copy = place / f"{len(list(place.iterdir()))}.so"  # one library is loaded once
        copy.write_bytes(library.read_bytes())
        self.code = ctypes.CDLL(str(copy))
        self.now = 0
        self.sent: list[Message] = []
        self.answers: Answers = lambda request: []
        self._coming: list[bytes] = []
        self._keep = (MILLIS(lambda: self.now), SEND(self._send), TAKE(self._take))
        for name, function in zip(("rig_millis", "rig_send", "rig_take"), self._keep, strict=True):
            ctypes.c_void_p.in_dll(self.code, name).value = ctypes.cast(function, ctypes.c_void_p).value
        self.code.rig_start(start)

    def ask(self, verb: str, body: bytes, answers: Answers) -> tuple[int, int, bytes]:
        self.answers = answers
        room, out = (ctypes.c_uint8 * 2048)(), (ctypes.c_uint32 * 2)()
        given = self.code.rig_ask(verb.encode(), body, len(body), room, len(room), out)
        return given, out[0], bytes(room[: out[1]])

    def _send(self, data: ctypes._Pointer[ctypes.c_uint8], length: int) -> None:
        request = coap.decode(bytes(data[:length]))
        if request.code:
            self.sent.append(request)
            self._coming += [coap.encode(answer) for answer in self.answers(request)]

    def _take(self, data: ctypes._Pointer[ctypes.c_uint8], size: int) -> int:
        self.now += 50
        if not self._coming:
            return 0
        datagram = self._coming.pop(0)
        ctypes.memmove(data, datagram, len(datagram))
        return len(datagram)


def says(request: Message, code: Code, payload: bytes = b"", *options: tuple[int, bytes]) -> Message:
    """An answer with its tag, as a server gives it."""
    _, tag = narrow.shown(request)
    bare = Message(Type.ACK, code, request.mid, request.token, options, payload)
    return replace(bare, payload=narrow.answered(KEY, tag, bare))


def asks(request: Message, epoch: bytes, floor: int) -> Message:
    _, tag = narrow.shown(request)
    return says(request, Code.UNAUTHORIZED, b"", (narrow.ECHO, epoch + narrow.mask(KEY, tag, floor)))


def begun(phone: Phone, epoch: bytes = b"epoch--1", floor: int = 41) -> Phone:
    """It has heard what the server wants to see."""
    assert phone.ask("c", b"", lambda request: [asks(request, epoch, floor)])[:2] == (0, Code.UNAUTHORIZED)
    return phone


def test_what_the_phone_sends_is_whole_and_counts_from_the_floor(library: Path, tmp_path: Path) -> None:
    phone = begun(Phone(library, tmp_path))
    assert narrow.is_whole(KEY, narrow.NONE, phone.sent[-1])
    for _ in range(120):
        for body in (b"", b"x" * 200):
            assert phone.ask("r", body, lambda request: [says(request, Code.CHANGED, b"word")])[1:] == (Code.CHANGED, b"word")
            assert narrow.is_whole(KEY, b"epoch--1", phone.sent[-1])
            assert TOKEN.encode() not in coap.encode(phone.sent[-1])
    assert phone.ask("r", b"1", lambda request: [says(request, Code.CHANGED)]) == (0, Code.CHANGED, b"")
    counters = [narrow.shown(request)[0] for request in phone.sent[1:]]
    assert counters == list(range(42, 42 + len(counters)))


def test_a_bit_that_flips_anywhere_in_an_answer_makes_it_a_lost_one(library: Path, tmp_path: Path) -> None:
    phone = begun(Phone(library, tmp_path))

    def changed(request: Message) -> list[Message]:
        whole = coap.encode(says(request, Code.CHANGED, b"offer", (coap.MAX_AGE, b"\x3c")))
        found = []
        for at in [1, *range(6, len(whole))]:
            for bit in range(8):
                data = bytearray(whole)
                data[at] ^= 1 << bit
                phone._coming.append(bytes(data))
        return found

    heard = len(phone.sent)
    given, _, _ = phone.ask("c", b"check", changed)
    assert given < 0
    assert len(phone.sent) == heard + 5  # repeated as if nothing had come
    assert phone.ask("c", b"check", lambda request: [says(request, Code.CHANGED, b"offer")])[2] == b"offer"


def test_an_answer_to_another_request_of_this_life_or_of_one_before_is_none(library: Path, tmp_path: Path) -> None:
    phone = begun(Phone(library, tmp_path))
    recorded: list[Message] = []

    def first(request: Message) -> list[Message]:
        recorded.append(says(request, Code.CHANGED, b"old"))
        return recorded

    assert phone.ask("c", b"check", first)[2] == b"old"
    turned = lambda request: [replace(recorded[0], mid=request.mid, token=request.token)]  # noqa: E731
    assert phone.ask("c", b"check", turned)[0] < 0
    # After a power cut: the server's word about epochs, and all that came behind it.
    lives = [Phone(library, tmp_path, start) for start in (1, 2)]
    told: list[Message] = []
    lives[0].ask("c", b"", lambda request: [told.append(asks(request, b"epoch--1", 41)) or told[-1]])  # type: ignore[func-returns-value]
    again = lambda request: [replace(told[0], mid=request.mid, token=request.token)]  # noqa: E731
    assert lives[1].ask("c", b"", again)[0] < 0


def test_who_has_another_key_or_none_is_not_heard(library: Path, tmp_path: Path) -> None:
    phone = begun(Phone(library, tmp_path))
    other = narrow.derive(hashlib.sha256(b"x").digest(), "phone-1", "DEFAULT")

    def forged(request: Message) -> list[Message]:
        _, tag = narrow.shown(request)
        bare = Message(Type.ACK, Code.CHANGED, request.mid, request.token, (), b"\xa0")
        value = (narrow.ECHO, bytes(12))
        return [
            bare,
            replace(bare, payload=narrow.answered(other, tag, bare)),
            Message(Type.ACK, Code.UNAUTHORIZED, request.mid, request.token, (value,), bytes(8)),
            Message(Type.RST, Code.EMPTY, request.mid),
            replace(bare, payload=b""),
            replace(bare, payload=bytes(7)),
        ]

    assert phone.ask("c", b"check", forged)[0] < 0
    assert phone.ask("c", b"check", lambda request: [*forged(request), says(request, Code.CHANGED, b"ok")])[2] == b"ok"


def test_a_server_that_began_anew_is_followed_and_a_low_floor_lowers_no_counter(library: Path, tmp_path: Path) -> None:
    phone = begun(Phone(library, tmp_path))
    phone.ask("c", b"", lambda request: [asks(request, b"epoch--1", 5)])
    phone.ask("c", b"", lambda request: [says(request, Code.CHANGED)])
    assert [narrow.shown(request)[0] for request in phone.sent[1:]] == [42, 43]
    phone.ask("c", b"", lambda request: [asks(request, b"epoch--2", 0)])
    phone.ask("c", b"", lambda request: [says(request, Code.CHANGED)])
    assert narrow.shown(phone.sent[-1])[0] == 1
    assert narrow.is_whole(KEY, b"epoch--2", phone.sent[-1])


def test_a_restart_goes_on_where_it_stood_and_ram_that_lost_power_is_nothing(library: Path, tmp_path: Path) -> None:
    phone = begun(Phone(library, tmp_path))
    phone.ask("r", b"", lambda request: [])  # sent, and heard by nobody
    phone.code.rig_kept.restype = ctypes.POINTER(ctypes.c_uint8)
    kept = phone.code.rig_kept()
    held = bytes(kept[:20])
    lives = [Phone(library, tmp_path) for _ in range(21)]
    for number, life in enumerate(lives):
        life.code.rig_kept.restype = ctypes.POINTER(ctypes.c_uint8)
        damaged = bytearray(held)
        if number:
            damaged[number - 1] ^= 0x10
        ctypes.memmove(life.code.rig_kept(), bytes(damaged), 20)
        life.code.rig_start(2)
        life.ask("r", b"", lambda request: [says(request, Code.CHANGED)])
        counter = narrow.shown(life.sent[-1])[0]
        goes_on = narrow.is_whole(KEY, b"epoch--1", life.sent[-1])
        assert goes_on == (number == 0), number
        assert not goes_on or counter == narrow.shown(phone.sent[-1])[0] + 1
