"""A phone's home: a server that speaks CoAP with two releases and a rollout, and the phone's radio."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from neurath.sim.nbd import Cut
from neurath.sim.phone import Phone
from neurath.sim.processes import Running, Said, free_port
from neurath.sim.radio import Air, Radio
from neurath.wire import coap, keys
from neurath.wire.ticket import derived_token
from tests.firmware.rig import KEY, ROOT, Kit
from tests.rigs.verbs import verb


class Unheard(Radio):
    """Carries what a boot core asks, and no check-in that tells the server a bank is whole: to the server this phone stays in
    mid-rewrite, however often it is cut and comes back."""

    def _deliver(self, upward: bool, datagram: bytes) -> None:
        if not upward or coap.decode(datagram).all(coap.URI_PATH)[:1] != (coap.CHECK.encode(),):
            super()._deliver(upward, datagram)


@dataclass
class Home:
    """The server, and a phone that runs release 1.0 of its kit."""

    kit: Kit
    place: Path
    port: int
    flash: bytes

    @contextlib.contextmanager
    def on(
        self, flash: bytes, cut: Cut | None = None, air: Air | None = None, kind: type[Radio] = Radio
    ) -> Iterator[tuple[Phone, Radio]]:
        """Power and network."""
        with self.kit.on(flash, self.place, cut) as phone:
            radio = kind(phone.air, ("127.0.0.1", self.port), air)
            try:
                yield phone, radio
            finally:
                radio.close()

    def begin(self, new: str = "1.1") -> None:
        """Everybody is to have it."""
        verb("rollout", "create", "--release", f"{self.kit.board}/{new}", "--all", "--start", "--data", self.place / "data")

    def holds(self, flash: bytes, version: str) -> bool:
        base, image = self.kit.model.layout.bank[0].base, self.kit.images[version]
        return flash[base : base + len(image)] == image

    def why(self) -> str:
        return str(verb("terminal", "why", "phone-1", "--data", self.place / "data")[0]["why"])

    def timeline(self) -> list[str]:
        found = verb("terminal", "timeline", "phone-1", "--data", self.place / "data")
        return [f"{entry['kind']}: {entry['text']}" for entry in found]


@contextlib.contextmanager
def home(kit: Kit, place: Path, new: str = "1.1", later: bool = False, sleep: int = 300, root: bytes = b"") -> Iterator[Home]:
    """A server whose rollout offers everybody `new`, one of the kit's images; `later`: once Home.begin() says so. `root`: of
    the phone's birth record, whose lists of keys it goes by."""
    data = ("--data", place / "data")
    (place / "release.pem").write_bytes(keys.public_pem(KEY.public))
    model = ROOT / "firmware" / "models" / f"{kit.board}.toml"
    verb("model", "add", model, "--release-key", place / "release.pem", *data)
    for number, version in enumerate(("1.0", new), 1):
        (place / f"{version}.bin").write_bytes(kit.images[version])
        (place / f"{version}.env").write_bytes(kit.envelope(version, number))
        words = ("--model", kit.board, "--version", version, "--envelope", place / f"{version}.env")
        verb("image", "add", place / f"{version}.bin", *words, *data)
    factory = kit.factory("1.0")
    token = derived_token(factory.birth.device_key)
    (place / "phones.csv").write_text(f"id,model,token\nphone-1,{kit.board},{token}\n")
    verb("terminal", "import", place / "phones.csv", *data)
    port = free_port()
    heard: queue.Queue[Said] = queue.Queue()
    words = ("serve", "--port", "0", "--sleep", str(sleep), "--coap", f"127.0.0.1:{port}", *map(str, data), "--json")
    server = Running("server", words, place / "server.log", heard)
    try:
        heard.get(timeout=600)
        ticket = keys.load_public(place / "data" / "ticket.pub.pem")
        flash = replace(factory, birth=replace(factory.birth, ticket=ticket, root=root)).flash(place / "flash.bin")
        found = Home(kit, place, port, flash)
        if not later:
            found.begin(new)
        yield found
    finally:
        server.end()
