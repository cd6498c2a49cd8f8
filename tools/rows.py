"""Which test shows which acceptance row. It reads tests/rows.toml, prints it, and checks that every test named there exists
and that every finished row has one; it must never run a test."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "tests/rows.toml"


def names_in(path: Path) -> set[str]:
    """Test functions of a file, those in classes as Class::test; those of the assurance tier stand below an `if`."""
    found: set[str] = set()
    tops = ast.parse(path.read_text()).body
    for node in (inner for top in tops for inner in (top.body if isinstance(top, ast.If) else [top])):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{f.name}" for f in node.body if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef)}
    return found


def problems(rows: dict[str, list[str]], finished: list[str]) -> list[str]:
    """What is wrong with the table, in words."""
    found = []
    for row, tests in rows.items():
        for test in tests:
            file, _, name = test.partition("::")
            path = ROOT / file
            if not path.exists():
                found.append(f"{row}: {file} does not exist")
            elif name and path.suffix == ".py" and name.partition("[")[0] not in names_in(path):
                found.append(f"{row}: {file} has no {name}")
    return found + [f"{row} is finished, but no test shows it" for row in finished if not rows.get(row)]


def main() -> int:
    table = tomllib.loads(FILE.read_text())
    finished = table.pop("finished", [])
    faults = problems(table, finished)
    if "--check" not in sys.argv:
        for row in sorted(table, key=lambda name: (name[0], int(name[1:]) if name[1:].isdigit() else 0)):
            print(f"{row:4}{'finished' if row in finished else ''}")
            for test in table[row]:
                print(f"      {test}")
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
