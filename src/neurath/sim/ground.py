"""The ground a story stands on: keys apart from the server, a running server, signed images, terminals on disk. Everything is
made by the public verbs; the release key never lies where the server looks."""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from neurath.errors import LinkError
from neurath.flash.geometry import model_to_toml
from neurath.flash.native import Nor
from neurath.ids import TerminalId
from neurath.sim.processes import Running, Said, failure, free_port, verb
from neurath.sim.scenario import Actor, Scenario

Say = Callable[..., None]
#: Seconds a server may take until it answers.
START_TIME = 30.0


@dataclass(slots=True)
class Ground:
    """Folders and processes of one story. `vault` is where a release engineer sits; `data` is all the server has."""

    scenario: Scenario
    root: Path
    say: Say
    heard: queue.Queue[Said] = field(default_factory=queue.Queue)
    tokens: dict[TerminalId, str] = field(default_factory=dict)
    server: Running | None = None
    url: str = ""

    @property
    def vault(self) -> Path:
        return self.root / "vault"

    @property
    def data(self) -> Path:
        return self.root / "server"

    def bank(self, terminal: TerminalId) -> Path:
        return self.root / "terminals" / f"{terminal}.bank"

    def log(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"

    def release(self, version: str) -> str:
        return f"{self.scenario.model.name}/{version}"

    def prepare(self, port: int | None) -> None:
        """Everything up to the moment before the rollout."""
        for folder in (self.vault, self.data, self.bank(TerminalId("x")).parent, self.log("x").parent):
            folder.mkdir(parents=True, exist_ok=True)
        self._sign()
        self._serve(port)
        self._fill_store()
        self._make_terminals()

    def _sign(self) -> None:
        pair, model = self.scenario.pair, self.scenario.model
        verb("key", "create", "release", "-o", self.vault)
        (self.vault / "model.toml").write_text(model_to_toml(model))
        for sequence, (version, image) in enumerate(((pair.old_version, pair.old), (pair.new_version, pair.new)), 1):
            (self.vault / f"{version}.bin").write_bytes(image)
            verb(
                "sign", self.vault / f"{version}.bin", "--model", self.vault / "model.toml", "--version", version,
                "--sequence", str(sequence), "--key", self.vault / "release.pem", "-o", self.vault / f"{version}.env",
            )  # fmt: skip
        self.say(f"both images are signed in {self.vault}; the release key stays there, the server never sees it")

    def _serve(self, port: int | None) -> None:
        words = ["serve", "--data", str(self.data), "--port", str(port or free_port()), "--sleep", "1", "--json"]
        own: queue.Queue[Said] = queue.Queue()
        self.server = Running("server", words, self.log("server"), own)
        try:
            said = own.get(timeout=START_TIME)
        except queue.Empty:
            why = f"it said nothing for {START_TIME:.0f} s"
            raise LinkError("the server did not start", why, f"see {self.server.log}", id="NRT-411") from None
        if said.ended is not None:
            raise failure("serve", said.ended, self.server.log.read_text(errors="replace"))
        self.url = str(said.record["url"])
        self.say(f"server and console: {self.url}", url=self.url)

    def _fill_store(self) -> None:
        pair, model, data = self.scenario.pair, self.scenario.model, ("--data", self.data)
        verb("model", "add", self.vault / "model.toml", "--release-key", self.vault / "release.pub.pem", *data)
        for version in (pair.old_version, pair.new_version):
            verb(
                "image", "add", self.vault / f"{version}.bin", "--model", model.name, "--version", version,
                "--envelope", self.vault / f"{version}.env", *data,
            )  # fmt: skip
        self.say(f"the software store holds {self.release(pair.old_version)} and {self.release(pair.new_version)}")

    def _make_terminals(self) -> None:
        """What a factory and an operator do: a bank file each, and a place in the server's books."""
        pair, model = self.scenario.pair, self.scenario.model
        listed = self.vault / "terminals.csv"
        listed.write_text("id,model\n" + "".join(f"{actor.id},{model.name}\n" for actor in self.scenario.actors))
        said = verb("terminal", "import", listed, "--data", self.data)
        self.tokens |= {TerminalId(str(record["id"])): str(record["token"]) for record in said}

        def provision(actor: Actor) -> None:
            verb(
                "agent", "provision", "--bank", self.bank(actor.id), "--model", self.vault / "model.toml", "--id", actor.id,
                "--image", self.vault / f"{pair.old_version}.bin", "--envelope", self.vault / f"{pair.old_version}.env",
                "--release-key", self.vault / "release.pub.pem", "--ticket-key", self.data / "ticket.pub.pem",
            )  # fmt: skip

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(provision, self.scenario.actors))
        self.say(
            f"{len(self.scenario.actors)} terminals, each ONE bank file in {self.root / 'terminals'}, run {pair.old_version}"
        )

    def runs(self, terminal: TerminalId, image: bytes) -> bool:
        """Whether the bank file itself holds this image: nobody is asked."""
        layout = self.scenario.model.layout
        nor = Nor.file(layout, self.bank(terminal))
        try:
            held = b"".join(nor.read_raw(span.base, span.length) for span in layout.bank)
        finally:
            nor.close()
        return held[: len(image)] == image

    def runs_new(self, terminal: TerminalId) -> bool:
        return self.runs(terminal, self.scenario.pair.new)
