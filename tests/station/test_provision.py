"""The end of a factory's line, on a real line: a terminal with no name makes its key itself, is recorded, and is known at the
server; a second name, a second key and a second enrolment are refused by terminal, station and server."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from neurath.carriers.pty import Pty
from neurath.cli.main import main
from neurath.errors import NeurathError
from neurath.flash.geometry import model_to_toml, simple_layout
from neurath.flash.native import Core, Nor
from neurath.flash.trust import Birth
from neurath.flash.wire import Maker, SmpServer
from neurath.server.fleet import access
from neurath.server.store import Store
from neurath.wire import enrolment, keys
from neurath.wire.ticket import derived_token
from tests.rigs.net import until
from tests.station.bench import MODEL
from tests.station.device import KEY, Device
from tests.station.rig import Rig

OWN = Maker(lambda: os.urandom(32), lambda seed: keys.from_seed(seed).public)


class Blank(Rig):
    """A terminal as it comes from the soldering oven: a boot core, and nothing else in its flash."""

    def __init__(self, port: Path, maker: Maker | None = OWN) -> None:
        self.maker = maker
        device = Device(MODEL, buffer=1024)
        device.nor = Nor.memory(MODEL.layout)
        super().__init__(device, port)
        until(port.exists, "the terminal opens its line", 10)

    def make(self, line: Pty) -> SmpServer:
        core = Core(MODEL.layout, self.device.nor)
        fate = core.power_up()
        try:
            return SmpServer(core, core.birth(), line.write, fate, maker=self.maker)
        except NeurathError:
            return SmpServer(core, None, line.write, fate, maker=self.maker)

    @property
    def birth(self) -> Birth:
        return Core(MODEL.layout, self.device.nor).birth()


Blanks = Callable[..., Blank]


@pytest.fixture
def blank(tmp_path: Path) -> Iterator[Blanks]:
    made: list[Blank] = []

    def make(maker: Maker | None = OWN) -> Blank:
        if made:
            made[-1].close()
        made.append(Blank(tmp_path / "tty", maker))
        return made[-1]

    yield make
    for one in made:
        one.close()


class Factory:
    """A folder at the end of the line, and a server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "m.toml").write_text(model_to_toml(MODEL))
        (folder / "r.pem").write_bytes(keys.public_pem(KEY.public))
        self.records = folder / "records.jsonl"
        station = keys.create(keys.Alg.ED25519)
        keys.write_private(folder / "station.pem", station)
        (folder / "station.pub.pem").write_bytes(keys.public_pem(station.public))
        assert main(["model", "add", str(folder / "m.toml"), "--release-key", str(folder / "r.pem"), *self.data]) == 0

    @property
    def data(self) -> list[str]:
        return ["--data", str(self.folder / "data")]

    def provisions(self, name: str, *more: str, model: str = "m.toml") -> int:
        words = ["station", "provision", "--port", str(self.folder / "tty"), "--id", name, "--model", str(self.folder / model)]
        words += [
            "--release-key",
            str(self.folder / "r.pem"),
            "--records",
            str(self.records),
            "--by",
            "aya",
            "--name",
            "line-3",
        ]
        return main([*words, "--key", str(self.folder / "station.pem"), *more])

    def takes(self, *more: str, file: Path | None = None) -> int:
        return main(["terminal", "enrol", str(file or self.records), *self.data, *more])

    def read(self) -> list[enrolment.Record]:
        return list(enrolment.read(self.records.read_bytes().splitlines(keepends=True)))


@pytest.fixture
def factory(tmp_path: Path) -> Factory:
    return Factory(tmp_path)


def test_a_terminal_makes_its_own_key_and_its_first_word_is_that_of_a_known_one(factory: Factory, blank: Blanks) -> None:
    rig = blank()
    assert factory.provisions("T-1") == 0
    begun, done = factory.read()
    assert (begun.what, done.what, done.id, done.model, done.by, done.station) == (
        "begun",
        "enrolled",
        "T-1",
        "phone",
        "aya",
        "line-3",
    )
    birth = rig.birth
    assert (birth.id, birth.release) == ("T-1", (KEY.public,))
    assert done.key == enrolment.key_text(keys.from_seed(birth.device_key).public)
    assert birth.device_key.hex() not in factory.records.read_text()
    assert derived_token(birth.device_key) not in factory.records.read_text()
    assert factory.takes("--station-key", str(factory.folder / "station.pub.pem")) == 0
    with Store(factory.folder / "data").read() as db:
        found = access.admit(db, access.DEFAULT_TENANT, "T-1", f"TargetToken {derived_token(birth.device_key)}")
        assert (found.id, found.model) == ("T-1", "phone")
        with pytest.raises(access.Stranger):
            access.admit(db, access.DEFAULT_TENANT, "T-1", f"TargetToken {derived_token(bytes(32))}")


def test_the_key_is_made_of_the_terminals_noise_and_of_what_the_station_sent(blank: Blanks) -> None:
    """One dead source in two terminals gives two keys; a terminal whose source says that it is dead gives none."""
    birth: dict[str, object] = {
        "id": "T-1", "model": "phone", "vendor": MODEL.vendor, "klass": MODEL.klass,
        "release": enrolment.bytes_of(KEY.public), "ticket": b"",
    }  # fmt: skip
    made = []
    for salt in (bytes(32), b"\1" * 32, bytes(32)):
        device, core = _bare(Maker(lambda: bytes(32), OWN.public))
        assert device.ask(2, 64, 1, birth | {"salt": salt}) == {}
        made.append(core.birth().device_key)
    assert made[0] == made[2] != made[1]
    for maker, salt in ((Maker(lambda: b"", OWN.public), bytes(32)), (OWN, bytes(31)), (OWN, b""), (None, bytes(32))):
        device, core = _bare(maker)
        assert "err" in device.ask(2, 64, 1, birth | {"salt": salt})
        with pytest.raises(NeurathError):
            core.birth()


def _bare(maker: Maker | None) -> tuple[Device, Core]:
    device = Device(MODEL)
    device.nor = Nor.memory(MODEL.layout)
    core = Core(MODEL.layout, device.nor)
    device.server = SmpServer(core, None, device._hear, core.power_up(), maker=maker)
    return device, core


def test_roots_come_with_the_record_and_a_nameless_terminal_names_no_key(blank: Blanks) -> None:
    device, core = _bare(OWN)
    assert "err" in device.ask(0, 64, 1)
    birth: dict[str, object] = {
        "id": "T-1", "model": "phone", "vendor": MODEL.vendor, "klass": MODEL.klass, "salt": bytes(32),
        "release": enrolment.bytes_of(KEY.public), "ticket": b"", "root": b"r" * 32,
    }  # fmt: skip
    assert "err" in device.ask(2, 64, 1, birth | {"root": b"r" * 31})
    assert device.ask(2, 64, 1, birth) == {}
    assert core.birth().root == b"r" * 32
    device.server = SmpServer(core, core.birth(), device._hear, core.power_up(), maker=OWN)
    said = device.ask(0, 64, 1)
    assert said["key"] == enrolment.bytes_of(keys.from_seed(core.birth().device_key).public)
    assert said["token"] == bytes.fromhex(access.hashed(derived_token(core.birth().device_key)))


def test_a_second_enrolment_and_a_second_owner_of_a_name_are_refused_at_the_line(
    factory: Factory, blank: Blanks, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = blank()
    assert factory.provisions("T-1") == 0
    before, wrote = rig.birth, rig.device.nor.operations
    capsys.readouterr()
    assert factory.provisions("T-2") == 5
    assert "this terminal is T-1 already" in capsys.readouterr().err
    assert factory.provisions("T-1") == 5
    assert "T-1 is another terminal's name" in capsys.readouterr().err
    assert (rig.birth, rig.device.nor.operations) == (before, wrote)
    rig = blank()
    assert factory.provisions("T-1") == 5
    assert rig.device.nor.operations == 0
    assert len(factory.read()) == 2


def test_two_terminals_that_make_the_same_key_are_found_and_only_the_first_is_recorded(
    factory: Factory, blank: Blanks, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a copied flash, or a terminal's noise that comes back, would be: the second says the key of the first."""
    same = Maker(lambda: bytes(32), lambda _seed: keys.from_seed(bytes(32)).public)
    blank(same)
    assert factory.provisions("T-1") == 0
    blank(same)
    assert factory.provisions("T-2") == 5
    assert "the key of T-2 is not its own" in capsys.readouterr().err
    assert [one.id for one in factory.read() if one.what == "enrolled"] == ["T-1"]


@pytest.mark.parametrize("where", ["before", "early", "late", "after", "station"])
def test_power_that_fails_in_between_is_taken_up_by_the_same_command(factory: Factory, blank: Blanks, where: str) -> None:
    rig = blank()
    if where == "station":  # the terminal was written, and the station lost its power before it heard of a key
        assert factory.provisions("T-1") == 0
        factory.records.write_bytes(factory.records.read_bytes().splitlines(keepends=True)[0] + b'{"at":17')
    else:
        rig.device.nor.cut_at(0, where, 1)
        assert factory.provisions("T-1") == 6
        assert [one.what for one in factory.read()] == ["begun"]
    assert factory.provisions("T-1") == 0
    assert [one.what for one in factory.read()] == ["begun", "enrolled"]
    assert factory.read()[1].key == enrolment.key_text(keys.from_seed(rig.birth.device_key).public)


def test_a_terminal_of_another_memory_and_one_whose_name_rotted_are_not_written_to(
    factory: Factory, blank: Blanks, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = blank()
    other = dataclasses.replace(MODEL, layout=simple_layout(36864, sector=4096, group=4096, leaf=4096))
    (factory.folder / "other.toml").write_text(model_to_toml(other))
    assert factory.provisions("T-1", model="other.toml") == 5
    assert "this terminal is no phone" in capsys.readouterr().err
    rig.device.nor.write_raw(MODEL.layout.birth.base, b"NRB1rotten")
    assert factory.provisions("T-1") == 5
    assert "this terminal had a name" in capsys.readouterr().err
    assert rig.device.nor.operations == 0
    assert not factory.records.exists()


def test_a_dry_run_and_a_terminal_that_cannot_make_keys_leave_nothing_behind(factory: Factory, blank: Blanks) -> None:
    rig = blank()
    assert factory.provisions("T-1", "--dry-run") == 0
    assert not factory.records.exists()
    assert rig.device.nor.operations == 0
    rig = blank(None)
    assert factory.provisions("T-1") == 5
    assert rig.device.nor.operations == 0


def test_the_server_takes_a_file_again_and_again_and_refuses_it_whole_where_it_contradicts(
    factory: Factory, blank: Blanks, capsys: pytest.CaptureFixture[str]
) -> None:
    blank()
    assert factory.provisions("T-1") == 0
    assert factory.takes("--dry-run") == 0
    assert factory.takes() == 0
    assert "1 of them new" in capsys.readouterr().out
    assert factory.takes() == 0
    assert "0 of them new" in capsys.readouterr().out
    done = factory.read()[1]
    made = {
        "T-1 is known with another key": _file(factory, done, ("T-3", "11"), ("T-1", "22")),
        "the key of T-2 is not its own": _file(factory, done, ("T-3", "11"), ("T-2", "")),
        "the key of T-4 is not its own": _file(factory, done, ("T-3", "11"), ("T-4", "11")),
        "T-5 is known without a key": _file(factory, done, ("T-3", "11"), ("T-5", "55")),
        "no model 'lamp'": _file(factory, dataclasses.replace(done, model="lamp"), ("T-3", "11")),
    }
    assert main(["terminal", "add", "T-5", "--model", "phone", *factory.data]) == 0
    for said, file in made.items():
        capsys.readouterr()
        assert factory.takes(file=file) != 0
        assert said in capsys.readouterr().err
    assert _known(factory) == ["T-1", "T-5"]


def test_what_another_station_signed_or_nobody_is_refused_where_a_station_is_named(
    factory: Factory, blank: Blanks, capsys: pytest.CaptureFixture[str]
) -> None:
    blank()
    assert factory.provisions("T-1") == 0
    unsigned = _file(factory, factory.read()[1], ("T-3", "11"))
    stranger = factory.folder / "stranger.pem"
    stranger.write_bytes(keys.public_pem(keys.create(keys.Alg.ES256).public))
    assert factory.takes("--station-key", str(stranger)) == 7
    assert factory.takes("--station-key", str(factory.folder / "station.pub.pem"), file=unsigned) == 7
    assert "signed by nobody" in capsys.readouterr().err
    factory.records.write_bytes(factory.records.read_bytes().replace(b'"T-1"', b'"T-9"'))
    assert factory.takes() == 7
    assert _known(factory) == []


def _file(factory: Factory, like: enrolment.Record, *named: tuple[str, str]) -> Path:
    """Records of a station without a key: names, and the seed of each key ("": that of the record they are like)."""
    lines: list[bytes] = []
    for name, seed in named:
        key = enrolment.key_text(keys.from_seed(bytes.fromhex(seed) * 32).public) if seed else like.key
        before = enrolment.bound(lines[-1]) if lines else enrolment.BEGINNING
        one = dataclasses.replace(like, n=len(lines) + 1, before=before, id=name, key=key, signer="", signature="")
        lines.append(enrolment.written(one))
    path = factory.folder / f"{'-'.join(name for name, _ in named)}.jsonl"
    path.write_bytes(b"".join(lines))
    return path


def _known(factory: Factory) -> list[str]:
    with sqlite3.connect(factory.folder / "data/neurath.db") as db:
        return [row[0] for row in db.execute("SELECT id FROM terminal ORDER BY id")]


def test_the_store_itself_keeps_a_key_from_two_terminals(factory: Factory, blank: Blanks) -> None:
    blank()
    assert factory.provisions("T-1") == 0
    assert factory.takes() == 0
    with sqlite3.connect(factory.folder / "data/neurath.db") as db, pytest.raises(sqlite3.IntegrityError):
        db.execute("INSERT INTO terminal (id, key) SELECT 'T-2', key FROM terminal")
