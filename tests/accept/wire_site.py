"""A real server in one network namespace and a terminal's side in another, with a cable between them that is captured: for
tests that count packets."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neurath.carriers.http import Place
from neurath.flash.geometry import model_to_toml
from neurath.wire import manifest
from neurath.wire.keys import public_pem
from tests.rigs.net import Capture, Namespace, Net, laid
from tests.rigs.verbs import verb
from tests.server.world import KEY, MODEL, image

SERVER, TERMINAL = "10.231.7.1", "10.231.7.2"
WEB, COAP = 8642, 5683


@dataclass
class WireSite:
    """`idle` has nothing waiting, `busy` a release; both are phones that run image 1."""

    place: Path
    net: Net
    near: Namespace
    far: Namespace
    tokens: dict[str, str]

    def at(self, scheme: str, name: str) -> Place:
        port = COAP if scheme == "coap" else WEB
        return Place(f"{scheme}://{SERVER}:{port}", name, self.tokens[name], message_limit=30)

    def capture(self, name: str) -> Capture:
        return self.net.capture(self.near, "t0", self.place / f"{name}.pcap")


@contextmanager
def wired(place: Path, mtu: int = 1500) -> Iterator[WireSite]:
    data = ("--data", place / "data")
    (place / "phone.toml").write_text(model_to_toml(MODEL))
    (place / "release.pub.pem").write_bytes(public_pem(KEY.public))
    verb("model", "add", place / "phone.toml", "--release-key", place / "release.pub.pem", *data)
    for number in (1, 2):
        file, envelope = place / f"{number}.bin", place / f"{number}.env"
        file.write_bytes(image(number))
        contents = manifest.contents_of(image(number), MODEL, sequence=number, version=str(number))
        envelope.write_bytes(manifest.sign(contents, KEY))
        verb("image", "add", file, "--model", "phone", "--version", str(number), "--envelope", envelope, *data)
    names = ("idle", "busy")
    tokens = {name: str(verb("terminal", "add", name, "--model", "phone", *data)[0]["token"]) for name in names}
    verb("rollout", "create", "--release", "phone/2", "--terminals", "busy", "--start", *data)
    with laid() as net:
        far, near = net.namespace("server"), net.namespace("terminal")
        net.veth(near, "t0", far, "s0")
        for one, name, address in ((near, "t0", TERMINAL), (far, "s0", SERVER)):
            one.up(name, f"{address}/24")
            one.ip("link", "set", name, "mtu", mtu)
        words = ("serve", "--host", SERVER, "--port", WEB, "--coap", COAP, *data)
        far.start(sys.executable, "-m", "neurath.cli.main", *words, log=place / "server.log")
        far.listens(COAP, "udp6", 60)
        yield WireSite(place, net, near, far, tokens)
