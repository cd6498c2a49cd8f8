"""What somebody at the end of a factory's line has: a terminal out of the oven on his port. It knows what the page names; it
must never provision one itself."""

from __future__ import annotations

import json
import shutil

from tests.journey.stationed import plugs
from tests.rigs.net import until
from tests.rigs.reader import Inside, Play


def _a_line(reader: Inside) -> None:
    folder = reader.folder
    reader.fills["/dev/ttyUSB0"] = str(folder / "ttyUSB0")
    (folder / "phone.toml").write_text((folder / "board.toml").read_text().replace('"board"', '"phone"'))
    shutil.copy(folder / "keys/release.pub.pem", folder)
    shutil.copy(folder / "neurath-data/ticket.pub.pem", folder)
    reader.types("neurath model add phone.toml --release-key release.pub.pem")
    plugs(reader, "")


def _named(reader: Inside, said: str) -> None:
    assert "enrolled T-0001 as phone" in said, said
    named = lambda: "terminal   T-0001" in reader.types("neurath station identify --port /dev/ttyUSB0", None)  # noqa: E731
    until(named, "the terminal calls itself by its name", 60)
    lines = [json.loads(line) for line in (reader.folder / "enrolments.jsonl").read_text().splitlines()]
    assert [one["what"] for one in lines] == ["begun", "enrolled"]


def _known(_reader: Inside, said: str) -> None:
    assert "1 of them new" in said, said


FACTORY = Play(_a_line, after={"station provision": _named, "terminal enrol": _known})
