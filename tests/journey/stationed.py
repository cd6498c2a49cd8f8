"""What somebody who reads the page of restorations has beforehand, and what he looks at: terminals on lines of their own,
each an agent whose server is dead. It knows how a terminal comes to need a station; it must never restore one itself."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from neurath.flash.bank import Why
from neurath.flash.geometry import model_from_toml
from neurath.flash.native import Core, Nor
from tests.parts import need
from tests.rigs.net import until
from tests.rigs.reader import Inside, Play, Stays

VERSIONS = ("1.4.2", "1.4.3")


def _phones(reader: Inside) -> None:
    """A model with two releases that a server knows, and the files of the page in this folder."""
    folder = reader.folder
    for device in ("/dev/ttyUSB0", "/dev/ttyUSB1"):
        reader.fills[device] = str(folder / Path(device).name)
    reader.more["PATH"] = f"{Path(need('smpmgr')).parent}:{os.environ['PATH']}"
    (folder / "phone.toml").write_text((folder / "board.toml").read_text().replace('"board"', '"phone"'))
    shutil.copy(folder / "keys/release.pub.pem", folder)
    shutil.copy(folder / "neurath-data/ticket.pub.pem", folder)
    reader.types("neurath model add phone.toml --release-key release.pub.pem")
    for n, version in enumerate(VERSIONS, start=1):
        name = f"phone-{version}"
        (folder / f"app-{n}.bin").rename(folder / f"{name}.bin")
        words = f"--model phone.toml --version {version} --sequence {n} --key keys/release.pem -o {name}.env"
        reader.types(f"neurath sign {name}.bin {words}")
        reader.types(f"neurath image add {name}.bin --model phone --version {version} --envelope {name}.env")
    reader.stays("neurath serve", "serving at")


def plugs(reader: Inside, name: str, device: str = "ttyUSB0", *, beside: bool = False) -> Stays:
    """A terminal whose first release never confirmed, plugged in; without a name one that lost even its birth record."""
    bank = reader.folder / f"{name or 'nameless'}.bank"
    layout = model_from_toml((reader.folder / "phone.toml").read_text()).layout
    if name:
        words = f"--image phone-1.4.2.bin --envelope phone-1.4.2.env --id {name} --release-key release.pub.pem"
        reader.types(f"neurath agent provision --bank {bank.name} --model phone.toml {words}")
        nor = Nor.file(layout, bank)
        core = Core(layout, nor)
        core.power_up()
        core.give_up(Why.UNCONFIRMED)
    else:
        nor = Nor.file(layout, bank, create=True)
    nor.close()
    words = f"--bank {bank.name} --model phone.toml --server http://127.0.0.1:9 --token x --wire {device}"
    made = reader.stays(f"neurath agent run {words}", "wire:", beside=beside)
    until(lambda: (reader.folder / device).exists() or reader.warm.over(made.pid), f"the line of {name}", 60)
    return made


def _records(reader: Inside) -> dict[str, tuple[str, str]]:
    """Terminals of the stock's records: how each ended, and what it got."""
    files = list((reader.folder / "stock/records").rglob("*.json"))
    found = [json.loads(path.read_text()) for path in files]
    return {one["terminal"]: (one["verdict"], one["version"]) for one in found}


def _restores(*names: str, version: str = "1.4.3") -> Callable[[Inside], None]:
    """The station that was started last writes to those, and has a record of each."""

    def look(reader: Inside) -> None:
        station = next(one for one in reversed(reader.staying) if one.line.startswith("neurath station run"))
        there = lambda: set(names) <= set(_records(reader)) or reader.warm.over(station.pid)  # noqa: E731
        until(there, f"a record of {names}: {station.log.read_text()}", 100)
        said = station.log.read_text()
        assert {name: _records(reader)[name] for name in names} == dict.fromkeys(names, ("restored", version)), said

    return look


def _holds_both(_reader: Inside, said: str) -> None:
    found = re.findall(r"phone +(\S+) .*ready", said)
    assert found == list(VERSIONS), said


def _one(reader: Inside, _said: str) -> None:
    plugs(reader, "lab-01")
    _restores("lab-01")(reader)


def _two_and_a_page(reader: Inside, _said: str) -> None:
    plugs(reader, "lab-02")
    plugs(reader, "lab-03", "ttyUSB1", beside=True)
    _restores("lab-02", "lab-03")(reader)
    seen = reader.net.run("curl", "-sf", "http://127.0.0.1:8650/").stdout
    assert "ttyUSB0" in seen, seen
    assert "ttyUSB1" in seen, seen


def _a_shift(reader: Inside, said: str) -> None:
    rows = list(csv.DictReader((reader.folder / "shift.csv").read_text().splitlines()))
    assert {row["terminal"] for row in rows} == {"lab-01", "lab-02", "lab-03"}, rows
    assert "lab-03" in said, said


def _another_release(reader: Inside, _said: str) -> None:
    plugs(reader, "lab-04")
    _restores("lab-04", version="1.4.2")(reader)
    (record,) = [text for path in (reader.folder / "stock/records").rglob("*.json") if "lab-04" in (text := path.read_text())]
    assert "customer trial 7" in record, record


def _another_tool(reader: Inside, _said: str) -> None:
    """Our station is put away; what comes next on the line is a terminal that another tool restores."""
    reader.ends(next(one for one in reader.staying if one.line.startswith("neurath station run")))
    plugs(reader, "lab-05")


def _boots(reader: Inside, _said: str) -> None:
    """The terminal of the other tool runs the newer release; the next one has no name."""
    runs = lambda: "fate       boot" in reader.types("neurath station identify --port /dev/ttyUSB0", None)  # noqa: E731
    until(runs, "the restored terminal boots", 60)
    image = (reader.folder / "phone-1.4.3.bin").read_bytes()
    layout = model_from_toml((reader.folder / "phone.toml").read_text()).layout
    nor = Nor.file(layout, reader.folder / "lab-05.bank")
    assert nor.read_raw(layout.bank[0].base, len(image)) == image
    nor.close()
    plugs(reader, "")


def _has_a_name(reader: Inside, said: str) -> None:
    assert "enrolled lab-07 as phone" in said, said
    named = lambda: "terminal   lab-07" in reader.types("neurath station identify --port /dev/ttyUSB0", None)  # noqa: E731
    until(named, "the terminal calls itself by its new name", 60)


RESTORE = Play(
    _phones,
    after={
        "station list": _holds_both,
        "--web": _two_and_a_page,
        "--release 1.4.2": _another_release,
        "station run": _one,
        "station records": _a_shift,
        "station package": _another_tool,
        "os reset": _boots,
        "station enrol": _has_a_name,
    },
)
