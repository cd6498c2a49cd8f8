"""B1, T8, T17 from captures: as many packets with a waiting update as without, fragments counted, and every one of them well
formed to an independent dissector. Real server, real cable."""

from __future__ import annotations

import contextlib
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from neurath.carriers.coap import Coap
from neurath.carriers.heartbeat import HttpHeartbeat
from neurath.errors import RefusedError
from neurath.ids import digest
from neurath.wire import trickle
from neurath.wire.trickle import Ask, Reply, State
from tests.accept.wire_site import WireSite, wired
from tests.contracts.carrier import secured
from tests.parts import ASSURANCE
from tests.rigs.net import frames, tshark
from tests.server.world import World, image

BEATS = 1000 if ASSURANCE else 100
#: Over TCP longer than a delayed acknowledgement, so that each side's bare ones do not depend on who is quicker.
PERIOD = {"coap": 0.005, "http": 0.05}
CARRIERS = {"coap": Coap, "http": HttpHeartbeat}
_SYN_FIN = 0x03


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WireSite]:
    with wired(tmp_path_factory.mktemp("packets")) as made:
        yield made


@dataclass(frozen=True)
class Counted:
    """What one capture holds, of the carrier's own packets: those that say something, those that only acknowledge, fragments,
    and bytes."""

    saying: int
    bare: int
    fragments: int
    size: int


def count(path: Path) -> Counted:
    """Reads IPv4 headers itself; tshark is asked only whether anything is malformed."""
    found: Counter[str] = Counter()
    said: set[bytes] = set()
    for frame in frames(path):
        if frame[12:14] != b"\x08\x00":
            continue
        found["size"] += len(frame)
        start = 14 + (frame[14] & 15) * 4
        found["fragments"] += bool(int.from_bytes(frame[20:22], "big") & 0x3FFF)
        if frame[23] == 6:
            length = struct.unpack_from(">H", frame, 16)[0] - (frame[14] & 15) * 4 - (frame[start + 12] >> 4) * 4
            bare = not length and not frame[start + 13] & _SYN_FIN
            # Sent again by a kernel that waited too long for a busy machine: addresses, ports and sequence are as they were.
            again = frame[26:34] + frame[start : start + 8]
            if bare or again not in said:
                found["bare" if bare else "saying"] += 1
            said |= set() if bare else {again}
        else:
            found["saying"] += 1
    return Counted(found["saying"], found["bare"], found["fragments"], found["size"])


def carrier(site: WireSite, kind: str, name: str) -> tuple[Coap | HttpHeartbeat, bytes]:
    """The terminal's side, checked in; and the program that waits for it, nothing for the idle one."""
    made = CARRIERS[kind](site.at(kind, name))
    says = World.says(None, image(1), 1, stage=1 << 20)  # type: ignore[arg-type]
    end = time.monotonic() + 60
    while time.monotonic() < end:
        offer = made.check(says).offer
        if offer is not None or name == "idle":
            return made, b"" if offer is None else offer.file[:4]
        time.sleep(0.1)
    raise AssertionError("the server built no file")


def beats(site: WireSite, kind: str, name: str, much: int = BEATS, kept: bool = True) -> tuple[Counted, list[Reply]]:
    with site.near.entered():
        made, program = carrier(site, kind, name)
        made.close()
        capture = site.capture(f"{kind}-{name}-{kept}")
        replies = []
        for index in range(much):
            wanted = State(Ask.PIECES, program, index % 150, 1024, 255) if program else State(room=1024, link=255)
            replies.append(trickle.decode_reply(made.beat(trickle.encode_state(wanted))))
            if not kept:
                made.close()
            time.sleep(PERIOD[kind])
        made.close()
        time.sleep(0.3)
    capture.close()
    assert tshark(capture.path, "_ws.malformed") == []
    return count(capture.path), replies


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["coap", "http"])
def test_a_waiting_update_adds_no_packet_to_heartbeats(site: WireSite, kind: str, figures: Callable[[str, str], None]) -> None:
    idle, nothing = beats(site, kind, "idle")
    busy, pieces = beats(site, kind, "busy")
    assert not any(reply.pieces for reply in nothing)
    assert sum(len(reply.pieces) == 5 for reply in pieces) > 0.9 * BEATS, "answers were full"
    assert busy.saying == idle.saying
    assert busy.fragments == idle.fragments == 0
    # A heartbeat over CoAP is two datagrams; over a kept connection two segments and one acknowledgement, and a second one
    # where a busy machine answers later than TCP waits.
    assert idle.saying == 2 * BEATS + (0 if kind == "coap" else 4)
    assert abs(busy.bare - idle.bare) <= (0 if kind == "coap" else max(6, BEATS // 10))
    rows = "".join(
        f"| {name} | {c.saying} | {c.bare} | {c.fragments} | {c.size} |\n" for name, c in (("without", idle), ("with", busy))
    )
    head = f"{BEATS} heartbeats\n\n| update | packets that say something | bare TCP acknowledgements | fragments | bytes |\n"
    figures(f"packets-{kind}", f"{head}|---|---|---|---|---|\n{rows}")


@pytest.mark.heavy
def test_nor_does_it_where_each_heartbeat_opens_its_own_connection(site: WireSite) -> None:
    much = BEATS // 4
    idle, _ = beats(site, "http", "idle", much, kept=False)
    busy, _ = beats(site, "http", "busy", much, kept=False)
    assert busy.saying == idle.saying == 6 * much  # SYN, SYN, request, answer, FIN, FIN
    assert busy.fragments == idle.fragments == 0


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["coap", "http"])
def test_the_first_heartbeat_asks_and_only_an_answer_that_names_a_program_makes_the_next_ask_for_it(
    site: WireSite, kind: str
) -> None:
    """T8, with the carrier's own dissector as the witness of the bodies."""
    from neurath.terminal.heart import Heart
    from neurath.terminal.staging.trickle import Ram, Session

    for name in ("idle", "busy"):
        with site.near.entered():
            made, program = carrier(site, kind, name)
            capture = site.capture(f"first-{kind}-{name}")
            heart = Heart(made, Session(Ram(1 << 20)), 60.0)
            for beat in range(4):
                heart.beat(60.0 * beat)
            made.close()
            time.sleep(0.2)
        capture.close()
        where, field = ("coap.code==2", "data.data") if kind == "coap" else ("http.request", "tcp.payload")
        bodies = [
            bytes.fromhex(row[0].replace(":", "")).split(b"\r\n\r\n")[-1] for row in tshark(capture.path, where, [field])
        ]
        asked = [trickle.decode_state(body) for body in bodies]
        assert asked[0].ask is Ask.NEWS
        assert all((state.ask is Ask.PIECES) == (name == "busy") for state in asked[1:])
        assert all(state.program == program for state in asked[1:] if state.ask is Ask.PIECES)


@pytest.mark.heavy
def test_every_packet_of_a_whole_coap_session_is_well_formed_to_an_independent_dissector(site: WireSite) -> None:
    """Check-in, refusal, report, each block of a file, the last word: what tshark makes of them is what was said."""
    with site.near.entered():
        made, _ = carrier(site, "coap", "busy")
        assert isinstance(made, Coap)
        offer = made.check(World.says(None, image(1), 1, stage=1 << 20)).offer  # type: ignore[arg-type]
        assert offer is not None
        capture = site.capture("session")
        with contextlib.suppress(RefusedError):
            next(iter(made.fetch(offer.file, 0, 10)))
        made.report(replace(secured(offer), secured=offer.size))  # it stages durably
        assert digest(b"".join(made.fetch(offer.file, 0, offer.size))) == offer.file
        assert made.still_wanted(offer.action)
        made.close()
        time.sleep(0.2)
    capture.close()
    assert tshark(capture.path, "_ws.malformed || _ws.expert.severity == error") == []
    rows = tshark(capture.path, "coap", ["coap.code", "coap.mid", "ip.src"])
    assert len(rows) == capture.count == len(frames(capture.path))
    blocks = -(-offer.size // 1024)
    # What a busy machine repeats, or acknowledges first, is counted once. GET 1, POST 2, 2.04 68, 2.05 69, 4.09 137.
    codes = Counter(code for code, _, _ in {tuple(row) for row in rows} if code != "0")
    assert codes == {"1": blocks + 2, "137": 1, "2": 1, "68": 1, "69": blocks + 1}
