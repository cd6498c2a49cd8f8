"""Which test shows which fault to be harmless and which attack to fail, from which place. It reads tests/faults.toml and
tests/attacks.toml, writes a page of docs/assurance from each and from what was last seen of its tests, and checks that all
rows and cells are there, that every test named exists and that the pages are the tables'; it must never run a test."""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from assurance_runs import Runs
from rows import problems

MATRIX = """The second table says for each attack and each place from which it may come which tests show it: numbers of the
lists behind it, of which each has the attack with what stands at that place; a letter is why there is no test. HTTP and CoAP
bring offers and files, and are attacked over real sockets; MQTT, DHCP, Mobile IP and pairs bring pieces alone, all through one
session ([trickle](../spec/trickle.md)), which is attacked itself. The places:
"""
ROOT = Path(__file__).resolve().parent.parent
REST = """`pytest TEST` runs one, `NEURATH_ASSURANCE=1 pytest TEST` at full counts where it has them. *Last seen*: how many of
the row's tests held in the last whole run that was written down (`tools/assurance.py seen`), or at full counts by `make
assurance`. *Left* is what no test shows yet.
"""


#: Where an attacker may stand, and what he then holds.
PLACES = {
    "link": "all that passes between terminal and server, to read, change and drop; no key",
    "mirror": "files and repository documents served from elsewhere",
    "station": "the cable, the stock and what is sent over the wire",
    "gateway": "the relay of a site, with what it caches",
    "server": "the server and every key that is online: tickets, the repository's timestamps and deltas",
    "root": "one root key of three",
    "release": "the release key of one model family",
    "ticket": "the ticket key, without the server",
    "device": "the key and token of one terminal",
    "stationkey": "a station's key or token",
    "gatewaykey": "a gateway's token",
}
#: How a cell without a test begins.
WHY = ("cannot arise: ", "as promised: ")


class Row(TypedDict, total=False):
    """One promise. `left` is there where something of it is not shown yet; `at`: by place, names of tests, or why there is
    none."""

    number: int
    what: str
    promise: str
    tests: list[str]
    left: str
    at: dict[str, list[str] | str]


@dataclass(frozen=True)
class Table:
    """One kind of promise, and how many of it there are."""

    kind: str
    count: int
    top: str

    @property
    def source(self) -> Path:
        return ROOT / f"tests/{self.kind}s.toml"

    @property
    def page(self) -> Path:
        return ROOT / f"docs/assurance/{self.kind}s.md"

    def rows(self) -> list[Row]:
        found: list[Row] = tomllib.loads(self.source.read_text())[self.kind]
        return found

    def text(self) -> str:
        return self._matrix() if self.kind == "attack" else self._list()

    def _list(self) -> str:
        lines = [self.top + f"Written by `make docs` from `tests/{self.source.name}`;\n{REST}"]
        lines += [f"| # | {self.kind} | promise | tests | last seen | left |", "|---|---|---|---|---|---|"]
        runs = Runs.read()
        for row in self.rows():
            tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in row["tests"]) or "none"
            last = runs.last(row["tests"])
            lines.append(f"| {row['number']} | {row['what']} | {row['promise']} | {tests} | {last} | {row.get('left', '')} |")
        return "\n".join(lines) + "\n"

    def _matrix(self) -> str:
        """What is promised, a table of all places, then what stands behind each cell."""
        rows = self.rows()
        lines = [self.top + f"Written by `make docs` from `tests/{self.source.name}`;\n{REST}", MATRIX]
        lines += [f"- **{place}**: {holds}" for place, holds in PLACES.items()]
        runs = Runs.read()
        lines += ["", f"| # | {self.kind} | promise | last seen | left |", "|---|---|---|---|---|"]
        lines += [
            f"| {row['number']} | {row['what']} | {row['promise']} | {runs.last(row['tests'])} | {row.get('left', '')} |"
            for row in rows
        ]
        lines += ["", f"| # | {' | '.join(PLACES)} |", f"|---|{'---|' * len(PLACES)}"]
        lines += [f"| {row['number']} | {' | '.join(_cell(row, place) for place in PLACES)} |" for row in rows]
        return "\n".join(lines + [line for row in rows for line in _behind(row)]) + "\n"

    def wrong(self) -> list[str]:
        """What is wrong with the table, in words."""
        rows = self.rows()
        found = problems({f"{self.kind} {row['number']}": row["tests"] for row in rows}, [])
        if [row["number"] for row in rows] != list(range(1, self.count + 1)):
            found.append(f"{self.source.name} does not list 1 to {self.count} in order")
        found += [
            f"{self.kind} {r['number']}: neither a test nor what is left" for r in rows if not r["tests"] and "left" not in r
        ]
        if self.kind == "attack":
            found += [fault for row in rows for place in PLACES for fault in _bad(row, place)]
            found += [
                f"attack {r['number']}: no such place as {place}" for r in rows for place in r["at"] if place not in PLACES
            ]
        if not self.page.exists() or self.page.read_text() != self.text():
            found.append(f"{self.page.relative_to(ROOT)} is not what {self.source.name} says: run `make docs`")
        return found


def _short(test: str) -> str:
    return test.rsplit("::", 1)[1]


def _reasons(row: Row) -> list[str]:
    """Why cells have no test, each once, in the order of the places."""
    return list(dict.fromkeys(cell for place in PLACES if isinstance(cell := row["at"].get(place), str)))


def _cell(row: Row, place: str) -> str:
    """Numbers of tests, or the letter of a reason."""
    cell = row["at"].get(place, [])
    if isinstance(cell, str):
        return "abcdefgh"[_reasons(row).index(cell)]
    names = [_short(test) for test in row["tests"]]
    return " ".join(str(names.index(name) + 1) if name in names else "?" for name in cell)


def _behind(row: Row) -> list[str]:
    tests = [f"{number}. `{test.removeprefix('tests/')}`" for number, test in enumerate(row["tests"], 1)]
    reasons = [f"- {letter}: {reason}" for letter, reason in zip("abcdefgh", _reasons(row), strict=False)]
    return ["", f"## {row['number']}. {row['what']}", "", *tests, *([""] if reasons else []), *reasons]


def _bad(row: Row, place: str) -> list[str]:
    """What is wrong with one cell."""
    cell, names = row["at"].get(place, []), [_short(test) for test in row["tests"]]
    where = f"attack {row['number']} from {place}"
    if isinstance(cell, str):
        sound = any(cell.startswith(why) and len(cell) > len(why) + 10 for why in WHY)
        return [] if sound else [f"{where}: neither a test nor why there is none"]
    missing = [f"{where}: {name} is no test of this row" for name in cell if name not in names]
    return missing if cell else [f"{where}: the cell is empty"]


FAULTS = Table(
    "fault", 36, "# Faults\n\nWhat may go wrong, what is promised then, and the tests that make it go wrong. "
)  # fmt: skip
ATTACKS = Table(
    "attack", 16, "# Attacks\n\nWhat somebody may try, what is promised then, and the tests written as the attack. "
)  # fmt: skip


def main() -> int:
    tables = (FAULTS, ATTACKS)
    if "--write" in sys.argv:
        for table in tables:
            table.page.write_text(table.text())
    found = [fault for table in tables for fault in table.wrong()]
    for fault in found:
        print(fault)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
