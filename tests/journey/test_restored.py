"""A server that burns down in mid-rollout and comes back from yesterday's backup: terminals of every kind that it was in the
middle of something with end on an image they may have, and none goes back."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from neurath.carriers.http import Http
from neurath.carriers.http import Place as At
from neurath.cli.main import main
from neurath.flash.bank import ImageRecord
from neurath.flash.geometry import model_to_toml
from neurath.flash.native import Core, Nor, PowerCut, write_bank
from neurath.flash.trust import Birth
from neurath.ids import TerminalId, digest
from neurath.server.delivery import tickets
from neurath.server.fleet import access, rollout, stop
from neurath.server.fleet.access import Enrolment
from neurath.server.software import catalog
from neurath.server.software.catalog import Upload
from neurath.server.software.models import add_model
from neurath.server.store import Store
from neurath.terminal.agent import Agent
from neurath.terminal.gate import Open
from neurath.terminal.identity import Lending
from neurath.terminal.install import SingleBank
from neurath.terminal.life import Life
from neurath.terminal.machine import Policy
from neurath.terminal.machine.events import Fate, Proved, Weight
from neurath.terminal.memory.reserve import Reserve
from neurath.terminal.memory.tenants import PHONE
from neurath.terminal.parts import Parts
from neurath.terminal.staging.transfer import Transfer
from neurath.terminal.trace import Trace
from neurath.wire import manifest
from neurath.wire.keys import PublicKey, public_pem
from neurath.wire.offer import Offer
from neurath.wire.report import Phase, Report
from tests.server.served import serve
from tests.terminal.world import MODEL, NEW, OLD, RAM, RELEASE, Clock, envelope_of, image

PATIENCE = 300.0
TORN = 20
#: The release of today, whose file nobody had been offered yesterday.
TODAY = OLD[:3000] + image(7, 3000) + OLD[5000:]


@dataclass
class Phone:
    """One terminal: a chip that keeps what it holds, and a token."""

    name: str
    token: str
    nor: Nor

    @classmethod
    def made(cls, name: str, token: str, ticket_key: PublicKey) -> Phone:
        nor = Nor.memory(MODEL.layout)
        write_bank(nor, OLD)
        core = Core(MODEL.layout, nor)
        device = name.encode().ljust(32, b".")
        core.write_birth(Birth(TerminalId(name), MODEL.name, MODEL.vendor, MODEL.klass, device, (RELEASE.public,), ticket_key))
        first = manifest.verify(envelope_of(OLD, 1), [RELEASE.public])
        core.provision(ImageRecord(first.image, first.image_size, first.digest[:16], 1, 0))
        return cls(name, token, nor)

    def link(self, port: int) -> Http:
        return Http(At(f"http://127.0.0.1:{port}", self.name, self.token))

    def met(self, port: int) -> tuple[SingleBank, Http, Offer | None]:
        """One check-in, and what it led to."""
        bank, link = SingleBank(MODEL, self.nor), self.link(port)
        assert bank.start().fate is Fate.BOOT
        return bank, link, link.check(bank.check(Lending(RAM), "idle")).offer

    def rewritten(self, port: int, cut: int | None, kind: str = "early") -> int:
        """An update whose power goes at this operation of its rewrite; in RAM nothing of it is left. How many there were."""
        end, offer = time.monotonic() + PATIENCE, None
        while offer is None:
            assert time.monotonic() < end, f"{self.name} is offered nothing"
            bank, link, offer = self.met(port)
        assert bank.weigh(offer, in_ram=True).weight is Weight.ACCEPTED
        link.report(Report(offer.action, Phase.DOWNLOADING, total=offer.size, secured=offer.need))
        data = b"".join(link.fetch(offer.file, 0, offer.size))
        link.close()
        assert bank.prove(data, offer.need) == Proved()
        before = self.nor.operations
        if cut is None:
            bank.rewrite(data, offer.need)
            return self.nor.operations - before
        self.nor.cut_at(cut, kind)
        with pytest.raises(PowerCut):
            bank.rewrite(data, offer.need)
        self.nor.power()
        assert SingleBank(MODEL, self.nor).start().fate is Fate.FETCH, f"{self.name} is not torn"
        return cut

    def lives(self, port: int, goal: bytes) -> None:
        """An agent's life from power-up until its bank holds this image, confirmed."""
        clock, end = Clock(time.time()), time.monotonic() + PATIENCE

        def sleep(seconds: float) -> None:
            clock.sleep(seconds)
            time.sleep(min(seconds, 0.05))

        bank = SingleBank(MODEL, self.nor)
        parts = Parts(
            installer=bank,
            carrier=self.link(port),
            transfer=Transfer(Reserve(RAM + PHONE, (), {}), None, piece=512),
            arena=lambda _running: Reserve(RAM + PHONE, (), {}),
            gate=Open(),
            trace=Trace(None, lambda kind, fields: None),
            lock=threading.RLock(),
        )
        agent = Agent([Life(parts, Policy(), clock)], clock=clock, sleep=sleep)
        agent.power_up()
        while bank.facts.installed.image != digest(goal) or bank.facts.candidate or bank.facts.plan_open:
            assert time.monotonic() < end, f"{self.name} is left torn"
            agent.wait()
        agent.close()
        assert bank.bank_digest(len(goal)) == digest(goal)


def verb(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


@dataclass
class Site:
    """A server's data, three releases, and terminals."""

    store: Store
    phones: list[Phone]

    @classmethod
    def made(cls, folder: Path) -> Site:
        store = Store(folder)
        key = tickets.load_key(folder).public
        with store.write() as db:
            add_model(db, model_to_toml(MODEL), [public_pem(RELEASE.public).decode()], 0.0)
            tokens = {f"T{n:02}": access.register(db, Enrolment(f"T{n:02}", MODEL.name), 0.0) for n in range(TORN + 1)}
        for sequence, data in enumerate((OLD, NEW, TODAY), 1):
            envelope = envelope_of(data, sequence)
            catalog.add(store, Upload(data, MODEL.name, f"{sequence}.0", envelope=envelope), 0.0)
        return cls(store, [Phone.made(name, token, key) for name, token in tokens.items()])

    def start(self, version: str, phones: list[Phone]) -> None:
        with self.store.write() as db:
            chosen = [access.find(db, one.name) for one in phones]
            plan = rollout.Plan(catalog.find_release(db, f"{MODEL.name}/{version}"), chosen)
            rollout.move(db, rollout.create(db, plan, time.time()).id, "start", time.time())


def test_torn_terminals_end_on_an_allowed_image_after_the_server_came_back_from_yesterdays_backup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site.made(tmp_path / "first")
    probe, *phones = site.phones
    before, after = phones[: TORN // 2], phones[TORN // 2 :]
    with serve(tmp_path / "first") as served:
        for one in phones:
            assert one.met(served.port)[2] is None
        site.start("2.0", [probe, *before])
        operations = probe.rewritten(served.port, None)
        kinds = ("early", "late", "after", "before")
        places = {one.name: (operations * (n + 5) // (TORN + 12), kinds[n % 4]) for n, one in enumerate(phones)}
        for one in before:
            one.rewritten(served.port, *places[one.name])
        verb("backup", "create", "-o", tmp_path / "yesterday", "--data", tmp_path / "first")
        # Of these the backup knows that they checked in, and nothing else.
        site.start("3.0", after)
        for one in after:
            one.rewritten(served.port, *places[one.name])
        assert served.end() == 0
    site.store.close()
    (tmp_path / "first").rename(tmp_path / "burnt")

    verb("backup", "restore", tmp_path / "yesterday", "--data", tmp_path / "second")
    capsys.readouterr()
    with serve(tmp_path / "second") as served:
        for one in phones:
            one.lives(served.port, NEW if one in before else TODAY)
        # Everything is stopped meanwhile, and nobody who was well is given anything.
        store = Store(tmp_path / "second")
        with store.read() as db:
            assert stop.stopped(db) is not None
        store.close()
