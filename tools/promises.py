"""Which test shows which fault to be harmless and which attack to fail. It reads tests/faults.toml and tests/attacks.toml,
writes a page of docs/assurance from each, and checks that all rows are there, that every test named exists and that the pages
are the tables'; it must never run a test."""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from rows import problems

ROOT = Path(__file__).resolve().parent.parent
REST = """`pytest TEST` runs one, `NEURATH_ASSURANCE=1 pytest TEST` at full counts where it has them. *Left* is what no test
shows yet.
"""


class Row(TypedDict, total=False):
    """One promise. `left` is there where something of it is not shown yet."""

    number: int
    what: str
    promise: str
    tests: list[str]
    left: str


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
        lines = [self.top + f"Written by `make docs` from `tests/{self.source.name}`;\n{REST}"]
        lines += [f"| # | {self.kind} | promise | tests | left |", "|---|---|---|---|---|"]
        for row in self.rows():
            tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in row["tests"]) or "none"
            lines.append(f"| {row['number']} | {row['what']} | {row['promise']} | {tests} | {row.get('left', '')} |")
        return "\n".join(lines) + "\n"

    def wrong(self) -> list[str]:
        """What is wrong with the table, in words."""
        rows = self.rows()
        found = problems({f"{self.kind} {row['number']}": row["tests"] for row in rows}, [])
        if [row["number"] for row in rows] != list(range(1, self.count + 1)):
            found.append(f"{self.source.name} does not list 1 to {self.count} in order")
        found += [
            f"{self.kind} {r['number']}: neither a test nor what is left" for r in rows if not r["tests"] and "left" not in r
        ]
        if not self.page.exists() or self.page.read_text() != self.text():
            found.append(f"{self.page.relative_to(ROOT)} is not what {self.source.name} says: run `make docs`")
        return found


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
