"""Where a reference phone lives: keys apart from the server, a server that speaks CoAP with releases of its application, the
phone's flash as a factory leaves it. The server is filled by the public verbs alone; the release key never lies there."""

from __future__ import annotations

import hashlib
import queue
import random
from dataclasses import dataclass, field
from pathlib import Path

from neurath.errors import LinkError, NotFound
from neurath.flash.bank import ImageRecord
from neurath.flash.geometry import Model
from neurath.flash.trust import Birth
from neurath.sim.phone import BOARDS, Board, Factory, model_of
from neurath.sim.processes import Running, Said, failure, free_port, verb
from neurath.wire import keys, manifest
from neurath.wire.ticket import derived_token

NAME = "phone-1"
#: Bytes of ring tones, pictures and words that lie behind the application's code in every image.
STORE = 300_000
#: Seconds a server may take until it answers.
START_TIME = 60.0


def image_of(code: bytes, number: int) -> bytes:
    """A release: the application, what grew since the one before, a store of data that did not change and lies elsewhere."""
    return code + bytes(-len(code) % 4096) + random.Random(number).randbytes(3000 * number) + random.Random(7).randbytes(STORE)


@dataclass(slots=True)
class PhoneHome:
    """`releases` are images by version, oldest first: the phone comes with the first of them."""

    board: str
    firmware: Path
    built: Path
    root: Path
    releases: dict[str, bytes]
    heard: queue.Queue[Said] = field(default_factory=queue.Queue)
    server: Running | None = None
    url: str = ""
    coap: int = 0

    @property
    def model(self) -> Model:
        return model_of(self.firmware / "models", self.board)

    @property
    def machine(self) -> Board:
        return BOARDS[self.board]

    @property
    def data(self) -> Path:
        return self.root / "server"

    def prepare(self, port: int | None) -> bytes:
        """Signs, serves, registers; the flash of the new phone."""
        vault = self.root / "vault"
        for folder in (vault, self.data):
            folder.mkdir(parents=True, exist_ok=True)
        toml = self.firmware / "models" / f"{self.board}.toml"
        verb("key", "create", "release", "--alg", "es256", "-o", vault)
        verb("model", "add", toml, "--release-key", vault / "release.pub.pem", "--data", self.data)
        for sequence, (version, image) in enumerate(self.releases.items(), 1):
            binary, envelope = vault / f"{version}.bin", vault / f"{version}.env"
            binary.write_bytes(image)
            words = ("--version", version, "--sequence", str(sequence), "--key", vault / "release.pem", "-o", envelope)
            verb("sign", binary, "--model", toml, *words)
            more = ("--version", version, "--envelope", envelope, "--data", self.data)
            verb("image", "add", binary, "--model", self.board, *more)
        self._serve(port)
        return self._make(vault)

    def roll_out(self, version: str) -> None:
        verb("rollout", "create", "--release", f"{self.board}/{version}", "--all", "--start", "--data", self.data)

    def why(self) -> str:
        return str(verb("terminal", "why", NAME, "--data", self.data)[0].get("why", ""))

    def holds(self, flash: bytes, version: str) -> bool:
        """Whether the bank itself holds this release: nobody is asked."""
        base, image = self.model.layout.bank[0].base, self.releases[version]
        return flash[base : base + len(image)] == image

    def close(self) -> None:
        if self.server is not None:
            self.server.end()

    def _serve(self, port: int | None) -> None:
        self.coap = free_port()
        places = ["--port", str(port or free_port()), "--coap", f"127.0.0.1:{self.coap}"]
        words = ["serve", "--data", str(self.data), *places, "--sleep", "5", "--json"]
        self.server = Running("server", words, self.root / "server.log", self.heard)
        try:
            said = self.heard.get(timeout=START_TIME)
        except queue.Empty:
            why = f"it said nothing for {START_TIME:.0f} s"
            raise LinkError("the server did not start", why, f"see {self.server.log}", id="NRT-411") from None
        if said.ended is not None:
            raise failure("serve", said.ended, self.server.log.read_text(errors="replace"))
        self.url = str(said.record["url"])

    def _make(self, vault: Path) -> bytes:
        """What a factory does: a birth record, the first release, and a line in the server's books."""
        version, image = next(iter(self.releases.items()))
        release = keys.load_public(vault / "release.pub.pem")
        ticket = keys.load_public(self.data / "ticket.pub.pem")
        device = random.Random(self.root.name).randbytes(32)
        model = self.model
        birth = Birth(NAME, model.name, model.vendor, model.klass, device, (release,), ticket)
        envelope = manifest.verify((vault / f"{version}.env").read_bytes(), [release])
        record = ImageRecord(hashlib.sha256(image).digest(), len(image), envelope.digest[:16], 1, 0)
        (vault / "phones.csv").write_text(f"id,model,token\n{NAME},{self.board},{derived_token(device)}\n")
        verb("terminal", "import", vault / "phones.csv", "--data", self.data)
        boot = self.built / self.board / "boot.bin"
        return Factory(model, boot.read_bytes(), birth, image, record).flash(self.root / "flash.bin")


def application(built: Path, board: str, name: str) -> bytes:
    """The code of an application as `make firmware` leaves it."""
    file = built / board / f"{name}.bin"
    if not file.exists():
        raise NotFound("the phone's firmware is not built", str(file), "make firmware", id="NRT-155")
    return file.read_bytes()
