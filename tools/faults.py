"""Which test shows which fault to be harmless. It reads tests/faults.toml, writes docs/assurance/faults.md from it, and checks
that all faults are there, that every test named exists and that the page is the table's; it must never run a test."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import TypedDict

from rows import problems

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "tests/faults.toml"
PAGE = ROOT / "docs/assurance/faults.md"
COUNT = 36
TOP = """# Faults

What may go wrong, what is promised then, and the tests that make it go wrong. Written by `make docs` from `tests/faults.toml`;
`pytest TEST` runs one, `NEURATH_ASSURANCE=1 pytest TEST` at full counts where it has them. *Left* is what no test shows yet.

| # | fault | promise | tests | left |
|---|---|---|---|---|
"""


class Fault(TypedDict, total=False):
    """One row. `left` is there where something of it is not shown yet."""

    number: int
    what: str
    promise: str
    tests: list[str]
    left: str


def page(faults: list[Fault]) -> str:
    rows = []
    for fault in faults:
        tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in fault["tests"]) or "none"
        rows.append(f"| {fault['number']} | {fault['what']} | {fault['promise']} | {tests} | {fault.get('left', '')} |")
    return TOP + "\n".join(rows) + "\n"


def wrong(faults: list[Fault]) -> list[str]:
    """What is wrong with the table, in words."""
    found = problems({f"fault {fault['number']}": fault["tests"] for fault in faults}, [])
    if [fault["number"] for fault in faults] != list(range(1, COUNT + 1)):
        found.append(f"{FILE.name} does not list the faults 1 to {COUNT} in order")
    return found + [
        f"fault {f['number']}: neither a test nor what is left" for f in faults if not f["tests"] and "left" not in f
    ]


def main() -> int:
    faults = tomllib.loads(FILE.read_text())["fault"]
    found = wrong(faults)
    if "--write" in sys.argv:
        PAGE.write_text(page(faults))
    elif not PAGE.exists() or PAGE.read_text() != page(faults):
        found.append(f"{PAGE.relative_to(ROOT)} is not what {FILE.name} says: run `make docs`")
    for fault in found:
        print(fault)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
