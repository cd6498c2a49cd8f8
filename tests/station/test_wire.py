"""A real line: our station and a stock tool restore a terminal over a pseudo-terminal with the same package."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from neurath.carriers.pty import Pty
from neurath.cli.main import main
from neurath.errors import NeurathError
from neurath.flash.geometry import model_to_toml
from neurath.flash.native import Core
from neurath.flash.wire import Maker, SmpServer
from neurath.ids import TerminalId
from neurath.station import screen
from neurath.station.line import Line
from neurath.station.machine import Machine, Step, Unplug, Verdict
from neurath.station.run import Bench, Pace
from neurath.station.stock import Stock
from neurath.terminal.restoration import MAKER
from neurath.wire import enrolment, keys
from tests.parts import need
from tests.station.bench import MODEL, NEW, stocked
from tests.station.device import KEY, Device, package_of
from tests.station.rig import Rig, boots

PACKAGE = package_of(NEW, MODEL, 6)


@pytest.fixture
def port(tmp_path: Path) -> Path:
    return tmp_path / "tty"


@pytest.fixture
def stock(tmp_path: Path) -> Stock:
    return stocked(tmp_path / "stock")


Rigs = Callable[..., Rig]


@pytest.fixture
def rig(port: Path) -> Iterator[Rigs]:
    made: list[Rig] = []

    def make(*, broken: bool = True, **more: object) -> Rig:
        device = Device(MODEL, buffer=1024)
        if broken:
            device.break_it()
        made.append(Rig(device, port, **more))  # type: ignore[arg-type]
        _wait(port)
        return made[-1]

    yield make
    for one in made:
        one.close()


def _wait(port: Path) -> None:
    until = time.monotonic() + 10
    while not port.exists():
        assert time.monotonic() < until, "the terminal opened no line"
        time.sleep(0.005)


def serve_once(stock: Stock, port: Path, seen: list[tuple[Machine, str]] | None = None) -> Bench:
    def show(state: Machine, pace: Pace) -> None:
        if seen is not None:
            seen.append((state, screen.text(state, pace)))

    bench = Bench(stock, Line(str(port)), show)
    asyncio.run(asyncio.wait_for(bench.run(once=True), 60))
    return bench


def test_the_station_restores_a_terminal_and_its_record_is_true(rig: Rigs, port: Path, stock: Stock) -> None:
    wire = rig()
    seen: list[tuple[Machine, str]] = []
    bench = serve_once(stock, port, seen)
    wire.close()
    assert bench.state.verdict is Verdict.RESTORED
    assert wire.device.bank(len(NEW)) == NEW
    assert boots(wire.device)
    steps = [state.step.value for state, _ in seen]
    assert steps == sorted(steps)
    assert set(steps) == {s.value for s in Step}
    assert all("Safe to unplug now?" in text for _, text in seen)
    assert all("100 %" not in text for state, text in seen if state.verdict is Verdict.NONE)
    held = [state.held for state, _ in seen]
    assert held == sorted(held)
    record = json.loads(stock.queued()[0].read_text())
    assert (record["terminal"], record["verdict"], record["version"]) == ("lab-07", "restored", "1.6")
    assert record["bytes"] > 30000
    assert bench.pace.rate > 1000


@pytest.mark.parametrize("where", [1, 400, 4500, 20000, 30000, len(PACKAGE) - 1, len(PACKAGE)])
def test_a_pulled_cable_is_plugged_in_again_and_the_station_goes_on(rig: Rigs, port: Path, stock: Stock, where: int) -> None:
    wire = rig()
    wire.pull_at(where)
    bench = Bench(stock, Line(str(port)), lambda _state, _pace: None)

    async def twice() -> None:
        while bench.state.verdict is Verdict.NONE:
            await asyncio.wait_for(bench.run(once=True), 60)

    asyncio.run(twice())
    wire.close()
    assert bench.state.verdict is Verdict.RESTORED
    assert wire.cuts == 1
    assert bench.pace.sent < len(PACKAGE) + 8192  # what was DONE is not sent again
    assert wire.device.bank(len(NEW)) == NEW
    assert boots(wire.device)


@pytest.mark.parametrize("n", [3, 40, 120])
def test_a_power_cut_in_the_restoration_is_gone_on_with(rig: Rigs, port: Path, stock: Stock, n: int, seed: int) -> None:
    wire = rig()
    wire.device.nor.cut_at(n, "random", seed)
    bench = Bench(stock, Line(str(port)), lambda _state, _pace: None)

    async def until_done() -> None:
        while bench.state.verdict is Verdict.NONE:
            await asyncio.wait_for(bench.run(once=True), 60)

    asyncio.run(until_done())
    wire.close()
    assert wire.cuts == 1
    assert bench.state.verdict is Verdict.RESTORED
    assert boots(wire.device)


def test_a_healthy_terminal_is_left_alone(rig: Rigs, port: Path, stock: Stock) -> None:
    wire = rig(broken=False)
    bench = serve_once(stock, port)
    wire.close()
    assert (bench.state.verdict, bench.state.unplug) == (Verdict.HEALTHY, Unplug.YES)
    assert wire.device.nor.operations == 0
    assert stock.queued() == []


@pytest.mark.parametrize("rate", [1e-5, pytest.param(1e-4, marks=pytest.mark.heavy)])
def test_noise_on_the_line_is_outlasted(
    rig: Rigs, port: Path, stock: Stock, rate: float, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurath.station.line.ANSWER", 0.2)
    monkeypatch.setattr("neurath.station.line.QUICK", 0.1)
    monkeypatch.setattr("neurath.station.line.SLOW", 0.3)
    monkeypatch.setattr("neurath.station.line.VERDICT", 0.5)
    rng = random.Random(seed)

    def noise(data: bytes) -> bytes:
        out = bytearray(data)
        for at in range(len(out)):
            if rng.random() < 8 * rate:
                out[at] ^= 1 << rng.randrange(8)
        return bytes(out)

    wire = rig(mangle=noise)
    bench = serve_once(stock, port)
    wire.close()
    assert bench.state.verdict is Verdict.RESTORED
    assert wire.device.bank(len(NEW)) == NEW


def test_a_stock_without_a_fitting_release_says_so(rig: Rigs, port: Path, stock: Stock) -> None:
    wire = rig()
    found = stock.index()
    stock.keep(replace(found, entries=(replace(found.entries[0], sequence=4),)))
    bench = serve_once(stock, port)
    wire.close()
    assert (bench.state.verdict, bench.state.unplug) == (Verdict.NO_RELEASE, Unplug.NO)
    assert "floor" in bench.state.reason


def test_the_verbs_identify_run_and_exit_as_promised(
    rig: Rigs, port: Path, stock: Stock, capsys: pytest.CaptureFixture[str]
) -> None:
    wire = rig()
    line = ["--port", str(port)]
    assert main(["station", "identify", *line, "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    assert main(["station", "run", *line, "--stock", str(stock.root), "--dry-run"]) == 0
    assert main(["station", "run", *line, "--stock", str(stock.root), "--once", "--json"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["verdict"], last["safe_to_unplug"], last["version"]) == ("restored", "yes", "1.6")
    assert main(["station", "identify", *line, "--json"]) == 0
    after = json.loads(capsys.readouterr().out)
    assert [before[k] for k in ("terminal", "model")] == [after[k] for k in ("terminal", "model")]
    assert (before["fate"], after["fate"], after["sequence"]) == ("restore", "boot", 6)
    assert main(["station", "run", *line, "--stock", str(stock.root), "--once"]) == 3
    wire.close()


def smpmgr(port: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [need("smpmgr"), "--port", str(port), "--timeout", "5", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.heavy
def test_stock_smpmgr_restores_a_terminal_with_the_same_package(rig: Rigs, port: Path, tmp_path: Path) -> None:
    wire = rig()
    file = tmp_path / "phone-1.6.nrp"
    file.write_bytes(PACKAGE)
    assert smpmgr(port, "image", "state-read").returncode == 0
    done = smpmgr(port, "image", "upload", "--format", "any", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    seen = smpmgr(port, "image", "state-read")
    assert "sequence 6" in seen.stdout
    assert smpmgr(port, "os", "reset").returncode == 0
    wire.close()
    assert boots(wire.device)
    assert wire.device.bank(len(NEW)) == NEW


@pytest.mark.heavy
def test_stock_smpmgr_resumes_after_a_pulled_cable_and_fails_where_it_is_refused(
    rig: Rigs, port: Path, tmp_path: Path
) -> None:
    wire = rig()
    wire.pull_at(20000)
    file = tmp_path / "phone-1.6.nrp"
    file.write_bytes(PACKAGE)
    assert smpmgr(port, "image", "upload", "--format", "any", str(file)).returncode != 0
    _wait(port)
    assert wire.device.core.facts.done > 0
    again = smpmgr(port, "image", "upload", "--format", "any", str(file))
    assert again.returncode == 0, again.stdout + again.stderr
    # it runs now: the wire takes nothing more
    refused = smpmgr(port, "os", "reset")
    assert refused.returncode == 0
    time.sleep(0.2)
    assert smpmgr(port, "image", "upload", "--format", "any", str(file)).returncode != 0
    wire.close()
    assert boots(wire.device)


def test_a_key_is_sent_over_the_wire_only_where_a_person_says_so_and_the_terminal_makes_none(
    tmp_path: Path, port: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device = Device(MODEL, buffer=1024)
    device.nor.write_raw(MODEL.layout.birth.base, b"\xff" * MODEL.layout.birth.length)
    wire = _Nameless(device, port, None)
    _wait(port)
    (tmp_path / "m.toml").write_text(model_to_toml(MODEL))
    (tmp_path / "r.pem").write_bytes(keys.public_pem(KEY.public))
    words = ["station", "enrol", "--port", str(port), "--id", "lab-08", "--model", str(tmp_path / "m.toml")]
    words += ["--release-key", str(tmp_path / "r.pem")]
    assert main(words) == 5
    assert "--send-key" in capsys.readouterr().err
    assert main([*words, "--send-key"]) == 0
    wire.close()


def test_a_terminal_that_lost_its_identity_is_enrolled_again_and_restored(
    tmp_path: Path, port: Path, stock: Stock, capsys: pytest.CaptureFixture[str]
) -> None:
    device = Device(MODEL, buffer=1024)
    device.break_it()
    device.nor.write_raw(MODEL.layout.birth.base, b"\xff" * MODEL.layout.birth.length)
    wire = _Nameless(device, port)
    _wait(port)
    bench = serve_once(stock, port)
    assert bench.state.verdict is Verdict.NO_IDENTITY
    assert "neurath station enrol" in screen.text(bench.state, bench.pace)
    (tmp_path / "m.toml").write_text(model_to_toml(MODEL))
    (tmp_path / "r.pem").write_bytes(keys.public_pem(KEY.public))
    words = ["station", "enrol", "--port", str(port), "--id", "lab-08", "--model", str(tmp_path / "m.toml")]
    capsys.readouterr()
    assert main([*words, "--release-key", str(tmp_path / "r.pem"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    own = Core(MODEL.layout, device.nor)
    own.power_up()
    assert told["key"] == enrolment.key_text(keys.from_seed(own.birth().device_key).public)  # made on the terminal
    bench = serve_once(stock, port)
    assert bench.state.verdict is Verdict.RESTORED
    assert bench.state.identity is not None
    assert bench.state.identity.id == TerminalId("lab-08")
    assert main([*words, "--release-key", str(tmp_path / "r.pem")]) == 5
    wire.close()


class _Nameless(Rig):
    """A terminal whose birth record may not read: the responder then runs without it."""

    def __init__(self, device: Device, port: Path, maker: Maker | None = MAKER) -> None:
        self.maker = maker
        super().__init__(device, port)

    def make(self, line: Pty) -> SmpServer:
        core = Core(MODEL.layout, self.device.nor)
        fate = core.power_up()
        try:
            birth = core.birth()
        except NeurathError:
            return SmpServer(core, None, line.write, fate, maker=self.maker)
        return SmpServer(core, birth, line.write, fate, maker=self.maker)


def test_one_terminal_after_the_other_is_served_without_a_hand_on_the_keyboard(rig: Rigs, port: Path, stock: Stock) -> None:
    ended: list[tuple[str, Verdict]] = []

    def show(state: Machine, _pace: Pace) -> None:
        if state.step is Step.UNPLUG and state.identity is not None:
            ended.append((state.identity.id, state.verdict))

    async def work() -> None:
        bench = Bench(stock, Line(str(port)), show)
        running = asyncio.create_task(bench.run())
        for n in (1, 2, 3):
            wire = rig(broken=n != 2)
            while len(ended) < n:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(wire.close)
            while bench.state.step is not Step.CONNECT:
                await asyncio.sleep(0.01)
        running.cancel()

    asyncio.run(asyncio.wait_for(work(), 60))
    assert [verdict for _, verdict in ended] == [Verdict.RESTORED, Verdict.HEALTHY, Verdict.RESTORED]
    assert len(stock.queued()) == 2
