"""A real agent, and every program that it starts, loses power ahead of a system call that changes a file system: each call of
an installation in the assurance tier, a seeded few in the others. What is there is old or new; the next start without a server
leaves old or new; the next contacts end new, and it is told once."""

from __future__ import annotations

import copy
import http.client
import json
import os
import queue
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from neurath.flash.bank import Fate, ImageRecord
from neurath.flash.geometry import Model, model_to_toml, plain_model, simple_layout
from neurath.flash.native import Core, Nor, write_bank
from neurath.flash.trust import Birth
from neurath.ids import ModelName, TerminalId
from neurath.sim.processes import COMMAND, Running, Said, free_port
from neurath.wire import keys, manifest
from neurath.wire.keys import public_pem
from tests.flash.test_device import loop
from tests.parts import ASSURANCE, need
from tests.rigs import power
from tests.rigs.verbs import verb
from tests.terminal import world
from tests.terminal.software.site import RELEASE, SoftwareSite

pytestmark = [pytest.mark.heavy, pytest.mark.xdist_group("traced")]
KINDS = ("file", "tar", "deb", "command", "bank")
#: Cuts a kind where not every one is made.
SAMPLE = 2
TERMINALS = 5000 if ASSURANCE else 60
#: How each kind is set up, beside what all of them have; paths count from the agent's own folder.
SETUP = {
    "file": 'installer = "file"\npath = "tool"',
    "tar": 'installer = "directory"\npath = "tool"',
    "deb": 'installer = "deb"\nroot = "root"',
    "command": (
        'installer = "command"\ninstall = ["cp", "{file}", "tool"]\n'
        'installed = ["sha256sum", "tool"]\nback = ["cp", "first", "tool"]'
    ),
}
#: Kinds whose software is old or new at every moment, without a start of the agent, and the rest of which is gone at the end.
AT_ONCE = ("file", "tar")
BOARD = Model(ModelName("board"), simple_layout(24 * 1024, sector=4096), ram=64 * 1024)


def seal(content: bytes, model: Model, number: int) -> bytes:
    return manifest.sign(manifest.contents_of(content, model, sequence=number, version=str(number)), RELEASE)


class Unit:
    """One terminal with one component of a kind, in a folder of its own; a bank lies on a loop device."""

    def __init__(self, yard: Yard, kind: str, number: int) -> None:
        self.yard, self.kind, self.name = yard, kind, f"t{number}"
        self.place = yard.place / self.name
        self._setup(kind)
        about = {"release": yard.releases[kind], "component": "firmware" if kind == "bank" else "tool"}
        self._api("PUT", "/pin", about)

    def _setup(self, kind: str) -> None:
        yard = self.yard
        if kind == "bank":
            self._provision()
            return
        site = yard.site(kind)
        shutil.copytree(site.place, self.place, symlinks=True)
        self.holder = copy.copy(site)
        self.holder.path, self.holder.root = self.place / "tool", self.place / "root"
        for name, server in (("agent.toml", yard.url), ("alone.toml", f"http://127.0.0.1:{yard.dead}")):
            (self.place / name).write_text(
                f'server = "{server}"\ntoken = "{yard.token}"\nid = "{self.name}"\nmodel = "box"\nstate = "state"\n'
                f'notify = false\nrelease_keys = ["release.pem"]\nticket_key = "{yard.place}/data/ticket.pub.pem"\n'
                f'[[component]]\nname = "tool"\n{SETUP[kind]}\n'
            )

    def _provision(self) -> None:
        self.place.mkdir()
        nor = Nor.file(BOARD.layout, self.place / "chip", create=True)
        write_bank(nor, world.OLD)
        core, sealed = Core(BOARD.layout, nor), manifest.verify(seal(world.OLD, BOARD, 1), [RELEASE.public])
        device = (TerminalId(self.name), BOARD.name, BOARD.vendor, BOARD.klass, bytes(32))
        core.write_birth(Birth(*device, (RELEASE.public,), self.yard.ticket))
        core.provision(ImageRecord(sealed.image, sealed.image_size, sealed.digest[:16], 1, 0))
        nor.close()

    def _words(self, device: Path | None, *, alone: bool) -> list[str]:
        if device is None:
            return [*COMMAND, "agent", "run", "--setup", "alone.toml" if alone else "agent.toml", "--once", "--json"]
        server = f"http://127.0.0.1:{self.yard.dead}" if alone else self.yard.url
        words = [
            "--bank",
            str(device),
            "--model",
            str(self.yard.place / "board.toml"),
            "--stage",
            "stage",
            "--token",
            self.yard.token,
        ]
        return [*COMMAND, "agent", "run", "--server", server, *words, "--once", "--json"]

    @contextmanager
    def _device(self) -> Iterator[Path | None]:
        if self.kind != "bank":
            yield None
            return
        with loop(self.place / "chip") as device:
            yield device

    def run(self, at: int = 0) -> power.Ran:
        with self._device() as device:
            return self.yard.power.run(self._words(device, alone=False), self.place, self._env(), at)

    def start(self, *, alone: bool = False) -> str:
        """One session that nobody disturbs; what it said."""
        with self._device() as device:
            return self.yard.starter.run(self._words(device, alone=alone)[len(COMMAND) :], self.place, self._env())

    def _env(self) -> dict[str, str]:
        (self.place / "tmp").mkdir(exist_ok=True)
        return self.yard.env | {"TMPDIR": str(self.place / "tmp")}

    def is_(self, new: bool) -> bool:
        """Whether exactly the new, or exactly the old software is there."""
        if self.kind != "bank":
            return self.holder.updated() if new else self.holder.untouched()
        shutil.copyfile(self.place / "chip", self.place / "copy")
        nor = Nor.file(BOARD.layout, self.place / "copy")
        wanted = world.NEW if new else world.OLD
        core = Core(BOARD.layout, nor)
        found = core.power_up() is Fate.BOOT and core.bank_bytes(len(wanted)) == wanted
        nor.close()
        return found

    def own(self) -> str:
        """The verdict in the terminal's own ledger; "" for a bank that has none."""
        path = self.place / "state/tool.ledger"
        return "" if self.kind == "bank" else str(json.loads(path.read_text())["verdict"] or "nothing")

    def litter(self) -> list[Path]:
        """What is left lying about beside the software."""
        return [path for path in self.place.iterdir() if ".neurath-" in path.name or path.name.endswith((".part", ".link"))]

    def _api(self, method: str, path: str, body: object = None) -> object:
        link = http.client.HTTPConnection("127.0.0.1", int(self.yard.url.rpartition(":")[2]), timeout=60)
        about = {"Content-Type": "application/json"}
        link.request(method, f"/api/v1/terminals/{self.name}{path}", json.dumps(body) if body else None, about)
        answer = link.getresponse()
        said = answer.read()
        link.close()
        assert answer.status == 200, said
        return json.loads(said)

    def told(self) -> list[str]:
        """What the server has heard of it, in order."""
        found = self._api("GET", "/timeline")
        assert isinstance(found, list)
        return [str(one["kind"]) for one in found]

    def line(self) -> dict[str, object]:
        """Its line in the server's ledger."""
        found = self._api("GET", "")
        assert isinstance(found, dict)
        return dict(found["ledger"][-1]) if found["ledger"] else {}


#: Starts agents as processes of their own that need not load what they are made of again: one line in and one out for each.
STARTER = """
import json, os, sys
import neurath.cli.main, neurath.cli.agent, neurath.terminal.compose, neurath.terminal.install, neurath.terminal.setup
for line in sys.stdin:
    words, place, env = json.loads(line)
    ear, mouth = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(mouth, 1), os.dup2(mouth, 2)
        os.chdir(place)
        os.environ.update(env)
        code = 99
        try:
            code = neurath.cli.main.main(words)
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)
    os.close(mouth)
    with open(ear, errors="replace") as said:
        text = said.read()
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text]), flush=True)
"""


class Starter:
    """Agents that nobody disturbs."""

    def __init__(self, env: dict[str, str]) -> None:
        words = [sys.executable, "-c", STARTER]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def run(self, words: list[str], place: Path, env: dict[str, str]) -> str:
        """One of them to its end: its code, and what it said."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([words, str(place), env]) + "\n")
        self.process.stdin.flush()
        code, said = json.loads(self.process.stdout.readline())
        return f"{code} {said}"

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)


class Yard:
    """A server with a release for every kind of component, terminals that are used once each, and a switch for their power."""

    def __init__(self, place: Path) -> None:
        self.place, self.dead = place, free_port()
        self.power = power.build(place)
        self.token = "t" * 40
        self._number = 0
        self._sites: dict[str, SoftwareSite] = {}
        data = ("--data", place / "data")
        (place / "release.pub.pem").write_bytes(public_pem(RELEASE.public))
        (place / "board.toml").write_text(model_to_toml(BOARD))
        verb("model", "add", "--plain", "box", "--release-key", place / "release.pub.pem", *data)
        verb("model", "add", place / "board.toml", "--release-key", place / "release.pub.pem", *data)
        rows = [f"t{n},{'board' if n % 2 else 'box'},{self.token}" for n in range(TERMINALS)]
        (place / "all.csv").write_text("\n".join(["id,model,token", *rows]) + "\n")
        verb("terminal", "import", place / "all.csv", *data)
        self.releases = {kind: self._release(kind, number, data) for number, kind in enumerate(KINDS, 2)}
        self.server = Running(
            "server",
            ("serve", "--port", str(free_port()), *data, "--json"),
            place / "server.log",
            heard := queue.Queue[Said](),
        )
        self.url = str(heard.get(timeout=120).record["url"])
        self.ticket = keys.load_public(place / "data/ticket.pub.pem")
        self.env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self.env |= {"PYTHONPYCACHEPREFIX": str(place / "code")}
        self.starter = Starter(self.env)
        for kind in ("deb", "bank"):  # byte code is written here, and not in what is counted
            assert self.unit(kind).run().code == 0
        self.env |= {"PYTHONDONTWRITEBYTECODE": "1"}

    def site(self, kind: str) -> SoftwareSite:
        """A folder in which release 1 is installed."""
        if kind not in self._sites:
            (self.place / kind).mkdir()
            self._sites[kind] = SoftwareSite(self.place / kind, kind)
        return self._sites[kind]

    def _release(self, kind: str, number: int, data: tuple[str, Path]) -> str:
        bank = kind == "bank"
        content = world.NEW if bank else self.site(kind).new
        model = BOARD if bank else plain_model("box").of_component("tool")
        file, sealed = self.place / f"{kind}.new", self.place / f"{kind}.env"
        file.write_bytes(content)
        sealed.write_bytes(seal(content, model, number))
        about = ("--model", "board") if bank else ("--model", "box", "--component", "tool")
        verb("image", "add", file, *about, "--version", str(number), "--envelope", sealed, *data)
        return f"board/{number}" if bank else f"box/{number}/tool"

    def unit(self, kind: str) -> Unit:
        """Another terminal."""
        self._number += 2
        assert self._number < TERMINALS
        return Unit(self, kind, self._number - (kind == "bank"))


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    made = Yard(tmp_path_factory.mktemp("yard"))
    yield made
    made.starter.end()
    made.server.end()


def ends_new(unit: Unit, where: str) -> str:
    """After a cut: old or new without a server, then new, told once; what was there when it was alone."""
    alone = unit.start(alone=True)
    new = unit.is_(new=True)
    assert new or unit.is_(new=False), f"{where}: neither old nor new; alone it said {alone}"
    said = []
    while len(said) < 4 and not (unit.is_(new=True) and unit.line().get("verdict") == "confirmed"):
        said.append(unit.start())
    assert unit.is_(new=True), f"{where}: {said}"
    assert unit.told().count("confirmed") == 1, f"{where}: {unit.told()} {said}"
    assert unit.own() in ("", "confirmed"), f"{where}: the terminal's own ledger says {unit.own()!r}"
    assert unit.kind not in AT_ONCE or not unit.litter(), f"{where}: {unit.litter()}"
    return "new" if new else "old"


@pytest.mark.timeout(14400)
@pytest.mark.parametrize("kind", KINDS)
def test_without_power_from_any_system_call_on_it_is_old_or_new(
    yard: Yard, kind: str, seed: int, figures: Callable[[str, str], None]
) -> None:
    if kind == "bank":
        need("loop")
    whole = yard.unit(kind)
    ran = whole.run()
    assert ran.code == 0, whole.start()
    assert whole.is_(new=True)
    assert whole.told().count("confirmed") == 1
    calls = len(ran.calls)
    assert calls > 30, "an installation that changes so little was not seen"
    # Some more than were counted: what is written while pieces come may be written in more steps.
    at = range(1, calls + 6) if ASSURANCE else sorted(random.Random(f"{kind}{seed}").sample(range(1, calls + 1), SAMPLE))
    ended: Counter[str] = Counter()
    about: Counter[str] = Counter()
    bad = [problem for number in at if (problem := cut(yard.unit(kind), number, ended, about))]
    assert not bad, "\n".join(bad)
    names = ", ".join(f"{name} {count}" for name, count in about.most_common())
    figures(
        f"agent-cuts-{kind}",
        "One installation by a real agent, cut ahead of each of its system calls, and of those of all it starts, that change "
        f"a file system:\n{sum(about.values())} cuts ({names}). The next start, without a server, left the software "
        f"{dict(ended)}; neither: 0.\nEvery one ended new at the next contacts, and the server was told so once.",
    )


def cut(unit: Unit, number: int, ended: Counter[str], about: Counter[str]) -> str:
    """Power goes ahead of this call; what is wrong afterwards, "" for nothing."""
    ran = unit.run(number)
    where = f"{unit.kind}, {number}: {ran.calls[-1]}"
    try:
        if ran.cut:
            about[ran.calls[-1].split()[0]] += 1
            assert unit.kind not in AT_ONCE or unit.is_(new=False) or unit.is_(new=True), f"{where}: neither old nor new"
            ended[ends_new(unit, where)] += 1
        else:
            assert ran.code == 0, where
    except (AssertionError, OSError) as fault:
        return f"{where}: {fault!r}"
    shutil.rmtree(unit.place)
    return ""
