"""Records sessions of today's clients for vectors/compat: our agent, a gateway, Debian's swupdate, and a phone's own C code,
each against a server of today: `python tools/sessions.py VERSION [NAME ...]`. It must never be run for a version that was
released: what that version said stays as it was (docs/spec/compat.md)."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import re
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from neurath.carriers.base import Seen  # noqa: E402  (the repository's root is put on the path first)
from neurath.carriers.heartbeat import HttpHeartbeat  # noqa: E402
from neurath.carriers.http import Place  # noqa: E402
from neurath.errors import RefusedError  # noqa: E402
from neurath.flash.geometry import model_to_toml  # noqa: E402
from neurath.gateway.cache import Cache  # noqa: E402
from neurath.gateway.session import Session, link  # noqa: E402
from neurath.ids import ModelName, digest  # noqa: E402
from neurath.server.fleet import access, actions  # noqa: E402
from neurath.wire import check, manifest, offer, report, rescue, trickle  # noqa: E402
from neurath.wire.check import Check  # noqa: E402
from neurath.wire.keys import public_pem  # noqa: E402
from neurath.wire.report import Phase, Report, Verdict  # noqa: E402
from neurath.wire.rescue import Question  # noqa: E402
from neurath.wire.trickle import Ask, State  # noqa: E402
from tests.firmware import test_series as firmware  # noqa: E402
from tests.rigs import sessions, veterans  # noqa: E402
from tests.rigs.sessions import Step  # noqa: E402
from tests.rigs.veterans import TOKEN, Site  # noqa: E402
from tests.server.world import KEY, MODEL, image  # noqa: E402

STAGE = 1 << 20
SEEDS = (1, 2)
NAMES = {"agent": "agent", "gateway": "agent", "swupdate": "dev1", "phone": "phone-1", "bootcore": "phone-1"}


def world() -> str:
    """What a server holds for these clients: signed once, for ever."""
    model = replace(MODEL, name=ModelName("veteran"), klass=b"")
    signed = [
        manifest.sign(manifest.contents_of(image(seed), model, sequence=n + 1, version=f"1.{n}"), KEY).hex()
        for n, seed in enumerate(SEEDS)
    ]
    release_key = public_pem(KEY.public).decode()
    shape = {"image_seeds": SEEDS, "image_size": len(image(1)), "name": model.name}
    kept = {"model": model_to_toml(model), "release_key": release_key, "envelopes": signed}
    return json.dumps(shape | kept, indent=1, sort_keys=True) + "\n"


@dataclass
class Recording:
    """A session as it grows."""

    site: Site
    steps: list[Step] = field(default_factory=list)

    def do(self, what: str) -> None:
        self.site.do(what)
        self.steps.append(Step(do=what))

    def said(self, sent: bytes, answers: list[sessions.Heard]) -> None:
        self.steps.append(Step(send=sent, answers=[sessions.relied_on(one) for one in answers]))

    def says(self, seed: int) -> Check:
        bank = image(seed)
        made = self.site.world.says(bank, seed, stage=STAGE)
        return replace(made, model=ModelName("veteran"))


# ---- HTTP: a relay that keeps the very bytes ------------------------------------------------------------------------------


@contextlib.contextmanager
def relayed(recording: Recording) -> Iterator[str]:
    """The address of a relay before the server."""

    class Relay(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while head := b"".join(iter(self.rfile.readline, b"\r\n")):
                told = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
                request = head + b"\r\n" + self.rfile.read(int(told[1]) if told else 0)
                answer, body = sessions.ask_http(recording.site.port, request)
                recording.said(request, [sessions.heard_http(request, answer, body)])
                fields = "".join(f"{name}: {value}\r\n" for name, value in answer.getheaders())
                self.wfile.write(f"HTTP/1.1 {answer.status} {answer.reason}\r\n{fields}\r\n".encode("latin-1") + body)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def agent(recording: Recording) -> None:
    """From the first check-in to the verdict, a heartbeat before and one with pieces."""
    with relayed(recording) as url:
        mine = HttpHeartbeat(Place(url, "agent", TOKEN))
        assert mine.check(recording.says(1)).offer is None
        mine.beat(trickle.encode_state(State(room=208, link=255)))
        recording.do("start")
        found = mine.check(recording.says(1)).offer
        assert found is not None
        mine.beat(trickle.encode_state(State(Ask.PIECES, found.file[:4], 0, 208, 255)))
        with contextlib.suppress(RefusedError):  # A6: not before room is secured
            list(mine.fetch(found.file, 0, found.size))
        told = Report(found.action, Phase.OFFERED, total=found.size, secured=found.size)
        mine.report(told)
        for start in (0, 2000):
            assert b"".join(mine.fetch(found.file, start, 2000))
        assert b"".join(mine.fetch(found.file, 4000, found.size - 4000))
        assert mine.still_wanted(found.action)
        mine.report(replace(told, phase=Phase.DOWNLOADING, done=found.size))
        mine.report(replace(told, phase=Phase.UPDATED, verdict=Verdict.CONFIRMED, bank=digest(image(2))))
        assert mine.check(recording.says(2)).offer is None
        mine.close()


def gateway(recording: Recording) -> None:
    """A terminal's check-in, then a gateway: a round, all pieces, and the words about the heartbeats it answered."""
    with relayed(recording) as url:
        mine = HttpHeartbeat(Place(url, "agent", TOKEN))
        assert mine.check(recording.says(1)).offer is None
        mine.close()
        recording.do("start")
        cache = Cache()
        session = Session(cache, link(url, TOKEN), 0.2)
        while session.step() == 0.0:
            pass
        seen = Seen("agent", "dhcp", "10.0.0.7")
        heard = cache.answer(seen, trickle.encode_state(State(room=208, link=255)), 208, time.time())
        assert heard is not None
        state = State(Ask.PIECES, trickle.decode_reply(heard).program, 1, 208, 255)
        assert cache.answer(seen, trickle.encode_state(state), 208, time.time())
        session.step()
        session.upstream.close()


def swupdate(recording: Recording) -> None:
    """Debian's swupdate, from its first poll to the closing word after its restart."""
    with relayed(recording) as url, tempfile.TemporaryDirectory() as place:
        given, publish = Path(place, "given"), Path(place, "publish.sh")
        publish.write_text(f'cp "$1" {given}.new && mv {given}.new {given}\nwhile [ -e {given} ]; do sleep 0.1; done\n')
        script = ROOT / "tests/accept/accept_swupdate.sh"
        words = [script, url, "DEFAULT", "dev1", "2.0.0", f"bash {publish} %s", f"-k {TOKEN}"]
        running = subprocess.Popen(words, env=os.environ | {"SIZE": "3000", "TMPDIR": place})
        while not given.exists():
            time.sleep(0.05)
        recording.site.package(given.read_bytes())
        recording.steps.append(Step(do=f"package {given.stat().st_size}"))
        given.unlink()
        assert running.wait(200) == 0


# ---- CoAP: the phone's own C code -----------------------------------------------------------------------------------------


class Exchange(ctypes.Structure):
    """struct fw_exchange of firmware/include/coap.h."""

    _fields_ = (
        ("method", ctypes.c_int),
        ("path", ctypes.c_char_p * 3),
        ("token", ctypes.c_char_p),
        ("body", ctypes.c_char_p),
        ("body_len", ctypes.c_uint32),
        ("block", ctypes.c_uint32),
        ("answer", ctypes.POINTER(ctypes.c_uint8)),
        ("room", ctypes.c_uint32),
        ("len", ctypes.c_uint32),
        ("max_age", ctypes.c_uint32),
        ("code", ctypes.c_uint8),
        ("more", ctypes.c_uint8),
    )


class Phone:
    """The phone's CoAP on this host, its datagrams written down between it and the server."""

    def __init__(self, recording: Recording, folder: Path) -> None:
        self.recording = recording
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", recording.site.port))
        self._socket.settimeout(0.02)
        self._asked, self._heard = b"", list[sessions.Heard]()
        self._keep = (
            firmware.MILLIS(lambda: int(time.monotonic() * 1000) & 0xFFFFFFFF),
            firmware.SEND(self._send),
            firmware.TAKE(self._take),
        )
        self.code = ctypes.CDLL(str(firmware.compiled(folder)))
        for name, function in zip(("rig_millis", "rig_send", "rig_take"), self._keep, strict=True):
            ctypes.c_void_p.in_dll(self.code, name).value = ctypes.cast(function, ctypes.c_void_p).value
        self.code.fw_coap_open(1)

    def _send(self, data: ctypes._Pointer[ctypes.c_uint8], length: int) -> None:
        datagram = bytes(data[:length])
        self._socket.send(datagram)
        if sessions.read_coap(datagram).code and datagram != self._asked:
            self.write_down()
            self._asked = datagram

    def _take(self, data: ctypes._Pointer[ctypes.c_uint8], size: int) -> int:
        try:
            datagram = self._socket.recv(65535)
        except TimeoutError:
            return 0
        assert len(datagram) <= size
        ctypes.memmove(data, datagram, len(datagram))
        message = sessions.read_coap(datagram)
        if message.code:
            self._heard.append(sessions.heard_coap(message))
        return len(datagram)

    def write_down(self) -> None:
        if self._asked:
            self.recording.said(self._asked, self._heard)
        self._asked, self._heard = b"", []

    def ask(self, *path: str, body: bytes = b"", token: str = TOKEN, by: str = "fw_coap_whole") -> bytes:
        """The answer to a request by one of the functions of coap.h; a body is posted."""
        room = (ctypes.c_uint8 * 8192)()
        segments = (ctypes.c_char_p * 3)(*(one.encode() for one in path))
        asked = Exchange(2 if body else 1, segments, token.encode() or None, body or None, len(body), 0, room, len(room))
        done = getattr(self.code, by)(ctypes.byref(asked), *((20_000,) if by == "fw_coap_beat" else ()))
        assert done == 0, (path, done)
        self.write_down()
        return bytes(room[: asked.len])

    def file(self, *path: str, size: int, token: str = TOKEN) -> bytes:
        room = (ctypes.c_uint8 * size)()
        wanted = firmware.Series((ctypes.c_char_p * 3)(*(one.encode() for one in path)), token.encode() or None, room, size)
        while (done := self.code.fw_coap_series(ctypes.byref(wanted))) == firmware.MORE:
            pass
        assert done == firmware.OK, (path, done)
        self.write_down()
        return bytes(room)


def phone(recording: Recording) -> None:
    """Check-in, heartbeats, a file in series of blocks, reports up to the verdict."""
    with tempfile.TemporaryDirectory() as folder:
        mine, name = Phone(recording, Path(folder)), "phone-1"
        assert offer.decode(mine.ask("c", name, body=check.encode(recording.says(1)))) is None
        mine.ask("h", name, body=trickle.encode_state(State(room=208, link=255)), by="fw_coap_beat")
        recording.do("start")
        found = offer.decode(mine.ask("c", name, body=check.encode(recording.says(1))))
        assert found is not None
        state = State(Ask.PIECES, found.file[:4], 0, 208, 255)
        assert len(mine.ask("h", name, body=trickle.encode_state(state), by="fw_coap_beat")) == 208
        told = Report(found.action, Phase.OFFERED, total=found.size, secured=found.size)
        mine.ask("r", name, body=report.encode(told))
        assert digest(mine.file("f", name, found.file[:16].hex(), size=found.size)) == found.file
        mine.ask("a", name, found.action)
        last = replace(told, phase=Phase.UPDATED, verdict=Verdict.CONFIRMED, bank=digest(image(2)))
        mine.ask("r", name, body=report.encode(last))
        assert offer.decode(mine.ask("c", name, body=check.encode(recording.says(2)))) is None


def bootcore(recording: Recording) -> None:
    """A phone whose new image did not confirm: its boot core asks, and fetches the way back by digest, without a token."""
    site = recording.site
    with tempfile.TemporaryDirectory() as folder:
        mine, name = Phone(recording, Path(folder)), "phone-1"
        mine.ask("c", name, body=check.encode(recording.says(1)))
        recording.do("start")
        found = offer.decode(mine.ask("c", name, body=check.encode(recording.says(1))))
        assert found is not None
        held = found.file[:16].hex()
        assert digest(mine.file("x", held, size=found.size, token="")) == found.file
        asked = rescue.question_to(Question(b"question", bytes.fromhex(site.target.envelope_digest)[:16], bytes(16)))
        mine.ask("q", name, body=asked, token="")
        with site.world.store.read() as db:
            terminal = access.find(db, name)
            back = [one for one in actions.current_actions(db, terminal.n) if one.file and one.file != found.file.hex()]
        (way,) = back
        mine.file("x", way.file[:32], size=way.size, token="")


WAYS: dict[str, Callable[[Recording], None]] = {
    "agent": agent, "bootcore": bootcore, "gateway": gateway, "phone": phone, "swupdate": swupdate,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="the folder in vectors/compat")
    parser.add_argument("sessions", nargs="*", default=sorted(WAYS), help=f"which of {', '.join(sorted(WAYS))} (default: all)")
    args = parser.parse_args()
    folder = veterans.ROOT / args.version
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "world.json").exists():
        (folder / "world.json").write_text(world())
    for name in args.sessions:
        way, plane = WAYS[name], "coap" if name in ("phone", "bootcore") else "http"
        about = " ".join((way.__doc__ or "").split())
        head = {"about": about, "plane": plane, "sleep": 3 if name == "swupdate" else 300, "terminal": NAMES[name]}
        with tempfile.TemporaryDirectory() as data, veterans.site(Path(data) / "data", args.version, head) as site:
            recording = Recording(site)
            way(recording)
        head["requests"] = asked = sum(1 for step in recording.steps if step.send)
        sessions.save(folder / f"{name}.jsonl", head, recording.steps)
        print(f"{name}: {asked} requests")
    return 0


if __name__ == "__main__":
    sys.exit(main())
