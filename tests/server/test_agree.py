"""After a fault a real terminal (core, agent, flash) and a real server (store, delivery, builder) agree within two check-ins,
on what the bank holds and on what is done. One checker; each fault that the two live through together is done to it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from neurath.errors import LinkError, NotFound, RefusedError
from neurath.flash.bank import ImageRecord
from neurath.flash.geometry import model_to_toml
from neurath.flash.native import Core, Nor, PowerCut, need, write_bank
from neurath.flash.trust import Birth
from neurath.ids import FIRMWARE, digest
from neurath.server.delivery import tickets
from neurath.server.delivery.calls import Delivery
from neurath.server.fleet import access, actions, progress, recall, rollout, standing
from neurath.server.fleet.access import Enrolment
from neurath.server.fleet.progress import Key
from neurath.server.software import catalog
from neurath.server.software.catalog import Upload
from neurath.server.software.models import add_model
from neurath.server.store import Store
from neurath.wire import check as checks
from neurath.wire import manifest, package
from neurath.wire import offer as offers
from neurath.wire import report as reports
from neurath.wire.keys import public_pem
from tests.parts import ASSURANCE
from tests.server.world import AtOnce, Here
from tests.station.device import Device
from tests.terminal.world import DEVICE, MODEL, NAME, NEW, OLD, RELEASE, World, envelope_of


class Site:
    """The server as a far end of the terminal's link, and the terminal. `bent`: what becomes of a file on its way; `twice`:
    each report arrives two times; `dies_at`: before or after which call of the terminal the server dies; `deaf_at`: from which
    on nobody answers; `offered`: what happens once, right after an offer was made."""

    def __init__(self, place: Path, **more: object) -> None:
        self.place, self.calls, self.checked = place, 0, 0
        self.deaf_at, self.twice, self.dies_at = 1 << 30, False, (0, False)
        self.bent: Callable[[bytes], bytes] = bytes
        self.offered: Callable[[], None] | None = None
        self.open()
        with self.store.write() as db:
            add_model(db, model_to_toml(MODEL), [public_pem(RELEASE.public).decode()], 0.0)
            access.register(db, Enrolment(str(NAME), str(MODEL.name)), 0.0)
        self.old, self.new = (self.add(data, n) for n, data in ((1, OLD), (2, NEW)))
        nor = Nor.memory(MODEL.layout)
        write_bank(nor, OLD)
        core = Core(MODEL.layout, nor)
        key = tickets.load_key(place).public
        core.write_birth(Birth(NAME, MODEL.name, MODEL.vendor, MODEL.klass, DEVICE, (RELEASE.public,), key))
        envelope = manifest.verify(envelope_of(OLD, 1), [RELEASE.public])
        core.provision(ImageRecord(envelope.image, envelope.image_size, envelope.digest[:16], 1, 0))
        nor.forget()
        self.world = World(nor, far=self, **more)  # type: ignore[arg-type]  # a far end as good as any
        with self.store.write() as db:
            made = rollout.create(db, rollout.Plan(self.new, None, 60.0), self.now)
            rollout.move(db, made.id, "start", self.now)

    def open(self) -> None:
        self.store = Store(self.place)
        deltas = AtOnce(self.store, pool=Here())
        self.delivery = Delivery(self.store, deltas, tickets.load_key(self.place), need)

    def again(self) -> None:
        """The server's process ends, and another begins on what is on the disk."""
        self.delivery.deltas.close()
        self.store.close()
        self.open()

    def add(self, data: bytes, n: int) -> catalog.Release:
        return catalog.add(self.store, Upload(data, MODEL.name, f"{n}.0", envelope=envelope_of(data, n)), 0.0)

    @property
    def now(self) -> float:
        return self.world.clock.at if hasattr(self, "world") else 1_700_000_000.0

    def me(self) -> access.Terminal:
        with self.store.read() as db:
            return access.find(db, str(NAME))

    # ---- the far end -------------------------------------------------------------------------------------------------

    def _called(self) -> Callable[[], None]:
        """One call of the terminal; what is to be done when its work is done."""
        if self.calls + 1 >= self.deaf_at:
            raise LinkError("no answer", "the server is away", "it is tried again")
        self.calls += 1
        number, after = self.dies_at
        if number == self.calls:
            self.again()
            if not after:
                raise LinkError("no answer", "the server died", "it is tried again")

        def end() -> None:
            if number == self.calls and after:
                raise LinkError("no answer", "the server died", "it is tried again")

        return end

    def check(self, message: bytes) -> bytes:
        end = self._called()
        offer = self.delivery.check(self.me(), checks.decode(message), self.now)
        self.checked += 1
        end()
        happens, self.offered = (self.offered, None) if offer is not None else (None, self.offered)
        if happens is not None:
            happens()
        return offers.encode(offer)

    def report(self, message: bytes) -> None:
        end = self._called()
        report = reports.decode(message)
        for _ in range(2 if self.twice else 1):
            with self.store.read() as db:
                action = actions.of_terminal(db, self.me().n, report.action)
            if action is not None:
                self.delivery.reported(action, report, self.now)
        end()

    def file(self, name: bytes) -> bytes:
        end = self._called()
        with self.store.read() as db:
            action = actions.of_file(db, self.me().n, FIRMWARE, name.hex())
        if action is None:
            raise NotFound("no such file", name.hex()[:16], "check in again")
        if len(name) == 32 and not self.delivery.may_fetch(action):
            raise RefusedError("no memory is secured for this file", "the report comes first", "report secured bytes")
        if len(name) == 32 and not self.delivery.served(action, 0, action.size, self.now):
            raise RefusedError("it is to have no more of this file", "called off", "check in again")
        data = self.store.files.verified(action.file).read_bytes()
        end()
        return self.bent(data)

    def open_actions(self) -> frozenset[str]:
        self._called()
        with self.store.read() as db:
            return frozenset(str(one.id) for one in actions.current_actions(db, self.me().n))

    # ---- what is judged ------------------------------------------------------------------------------------------------

    def holds(self) -> bytes:
        """The image in the bank, read past everybody."""
        for data in (OLD, NEW):
            if self.world.holds(data):
                return data
        return b""

    def agree(self) -> bool:
        """The server knows what the bank holds, and calls the update done where it is, and nowhere else."""
        with self.store.read() as db:
            said = standing.last_said(db, self.me(), FIRMWARE)
            entry = progress.entry(db, Key(self.me().n, FIRMWARE, self.new.id))
        held = self.holds()
        # A server that knows of no offer goes by the bank alone: whose is the release's is current.
        done = entry.verdict == "confirmed" if entry is not None else said is not None and said.bank == self.new.image
        confirmed = self.world.bank.facts.confirmed.image == digest(NEW) and held == NEW
        known = said is not None and (said.bank == digest(held).hex() if held else said.bank not in self.images())
        return known and done == confirmed

    def images(self) -> set[str]:
        return {self.old.image, self.new.image}

    def goes_on(self, *, ends_in: bytes = NEW) -> None:
        """From here on nothing is wrong any more: two check-ins, and both sides agree; in the end the bank is as it should."""
        self.deaf_at, self.twice, self.dies_at, self.bent = 1 << 30, False, (0, False), bytes
        self.world.carrier.line.mend()
        began, waits = self.checked, 0
        self.world.agent.power_up()
        while self.checked < began + 2 or not self.agree():
            before = self.checked
            assert before <= began + 2, "two check-ins, and they do not agree"
            self.world.agent.wait()
            self.world.clock.sleep(1800)
            waits += 1
            assert waits < 200, (self.checked - began, self.world.agent.machine.step)
        for _ in range(30):
            if self.holds() == ends_in and self.agree():
                break
            self.world.agent.wait()
            self.world.clock.sleep(1800)
        assert self.holds() == ends_in
        assert self.agree()
        assert self.world.nor.violations == 0

    def until(self, so: Callable[[], bool]) -> None:
        self.world.agent.power_up()
        for _ in range(60):
            if so():
                return
            self.world.agent.wait()
        raise AssertionError("it did not come to that")

    def cut_in_rewrite(self, operation: int, kind: str = "early") -> None:
        self.world.nor.cut_at(operation, kind)
        with pytest.raises(PowerCut):
            self.until(lambda: False)
        self.world.nor.power(0)
        self.world.nor.no_cut()
        self.world.power()


def test_without_a_fault_they_agree(tmp_path: Path) -> None:
    Site(tmp_path).goes_on()


@pytest.mark.parametrize("operation", range(0, 100, 4) if ASSURANCE else (2, 60))
def test_faults_1_to_4_the_power_fails_in_the_rewrite_and_again(operation: int, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.cut_in_rewrite(operation)
    if operation == 60:
        site.cut_in_rewrite(5, "random")
    site.goes_on()


def test_faults_6_and_11_what_comes_is_another_file(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.bent = lambda data: data[:-1] + bytes([data[-1] ^ 1])
    site.until(lambda: site.calls > 6)
    assert site.holds() == OLD
    site.goes_on()


def test_fault_7_a_bit_of_the_bank_has_flipped(tmp_path: Path) -> None:
    """Nobody knows this bank: the server says so, and nothing of it is called an image of ours."""
    site = Site(tmp_path)
    at = MODEL.layout.bank[0].base + 5000
    site.world.nor.write_raw(at, bytes([site.world.nor.read_raw(at, 1)[0] ^ 1]))
    site.world.power()
    site.until(lambda: site.checked >= 2)
    assert site.agree()


def test_fault_8_there_is_too_little_memory(tmp_path: Path) -> None:
    site = Site(tmp_path, ram=6000)
    site.until(lambda: site.checked >= 2)
    assert site.holds() == OLD
    assert site.agree()


@pytest.mark.parametrize("byte", range(100, 3000, 100) if ASSURANCE else (200, 1500))
def test_fault_10_the_transfer_breaks_off(byte: int, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.world.carrier.line.left = byte
    site.world.agent.power_up()
    for _ in range(6):
        site.world.agent.wait()
    assert site.holds() == OLD
    site.goes_on()


@pytest.mark.parametrize("clock", [0.0, 4_294_967_290.0])
def test_fault_12_its_clock_is_wrong(clock: float, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.world.clock.at = clock
    site.goes_on()


def test_fault_13_every_report_arrives_twice(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.twice = True
    site.until(lambda: site.holds() == NEW)
    site.goes_on()


def test_faults_19_to_21_it_is_restored_over_the_wire_meanwhile(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.cut_in_rewrite(60)
    device = Device.__new__(Device)  # the same chip, as the station sees it
    device.model, device.nor, device.buffer, device.heard = MODEL, site.world.nor, 512, []
    device.power_up()
    device.restore(package.build(envelope_of(NEW, 2), NEW, MODEL.layout.leaf))
    site.world.power()
    site.goes_on()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", range(1, 11) if ASSURANCE else (2, 4, 6, 9))
def test_fault_22_the_server_is_killed_at_any_call(call: int, after: bool, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.dies_at = (call, after)
    site.world.agent.power_up()
    for _ in range(4):
        site.world.agent.wait()
    assert site.calls >= min(call, 2)
    site.goes_on()


@pytest.mark.parametrize("call", range(1, 11) if ASSURANCE else (1, 3, 6))
def test_faults_24_and_33_nobody_answers_for_a_while(call: int, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.deaf_at = call
    site.world.agent.power_up()
    for _ in range(6):
        site.world.agent.wait()
    assert site.calls == call - 1
    site.goes_on()


def test_fault_26_the_file_rots_on_the_servers_disk(tmp_path: Path) -> None:
    site = Site(tmp_path)
    rotten = []

    def rot() -> None:
        with site.store.read() as db:
            (action,) = actions.current_actions(db, site.me().n)
        path = site.store.files.verified(action.file)
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        rotten.append(path)

    site.offered = rot
    site.until(lambda: bool(rotten))
    site.goes_on()


@pytest.mark.parametrize("torn", [False, True])
def test_fault_32_the_release_is_revoked_when_it_was_offered(torn: bool, tmp_path: Path) -> None:
    """Who has not erased anything keeps what it runs; who was torn is served to the end, for there is nothing else."""
    site = Site(tmp_path)

    def revoke() -> None:
        with site.store.write() as db:
            recall.revoke(db, site.new, site.now)

    if torn:
        site.cut_in_rewrite(60)
        revoke()
        site.goes_on()
        return
    site.offered = revoke
    site.until(lambda: site.offered is None)
    site.goes_on(ends_in=OLD)


def test_fault_36_the_server_comes_back_from_a_backup_of_before(tmp_path: Path) -> None:
    site = Site(tmp_path / "data")
    site.delivery.deltas.close()
    site.store.close()
    shutil.copytree(tmp_path / "data", tmp_path / "yesterday")
    site.open()
    site.until(lambda: site.holds() == NEW)
    site.delivery.deltas.close()
    site.store.close()
    shutil.rmtree(tmp_path / "data")
    shutil.copytree(tmp_path / "yesterday", tmp_path / "data")
    site.open()
    site.goes_on()
