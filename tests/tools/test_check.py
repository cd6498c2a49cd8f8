"""The house's own checks can fail: each is shown something wrong."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"house_{name}", ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_row_without_a_test_and_a_test_that_does_not_exist_are_found() -> None:
    rows = tool("rows")
    here = "tests/tools/test_check.py"
    good = {"A1": [f"{here}::test_a_row_without_a_test_and_a_test_that_does_not_exist_are_found"]}
    assert rows.problems(good, ["A1"]) == []
    assert rows.problems(good, ["A2"]) == ["A2 is finished, but no test shows it"]
    assert rows.problems({"A1": [f"{here}::test_never_written"]}, []) == [f"A1: {here} has no test_never_written"]
    assert rows.problems({"A1": ["tests/never.py::test_it"]}, []) == ["A1: tests/never.py does not exist"]


def test_directives_inside_functions_and_long_files_of_the_core_are_found(tmp_path: Path) -> None:
    check = tool("check")
    source = tmp_path / "noun.c"
    source.write_text("#if 1\nint a(void);\n#endif\nint a(void)\n{\n#if X\n    return 1;\n#endif\n}\n")
    assert check.shape(source) == ["noun.c:6: #if inside a function"]
    source.write_text("\n" * 501)
    assert check.shape(source) == ["noun.c: 501 lines (500 at most)"]


def test_a_core_that_calls_the_outside_or_keeps_state_is_found(tmp_path: Path) -> None:
    check = tool("check")
    source = tmp_path / "noun.c"
    source.write_text("#include <stdlib.h>\nint count;\nint nrt_a(void);\nint nrt_a(void) { count++; return abs(rand()); }\n")
    subprocess.run(["gcc", "-ffreestanding", "-c", str(source), "-o", str(tmp_path / "noun.o")], check=True)
    problems = check.symbols([str(tmp_path / "noun.o")])
    assert "the core calls rand" in problems
    assert "static data that can change: count" in problems


@pytest.mark.parametrize(
    "line", ["see /" + "tmp/somewhere", "from https://pypi" + ".org/x", "[a](../" + "../../elsewhere.md)", "/" + "root/x"]
)
def test_a_page_that_does_not_stand_alone_is_found(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    check = tool("check")
    page = ROOT / "docs" / "journey.md"
    monkeypatch.setattr(check, "tracked", lambda: [page])
    assert check.stands_alone() == []
    monkeypatch.setattr(Path, "read_text", lambda self, errors="": line)
    assert len(check.stands_alone()) == 1


def test_under_strict_a_test_that_did_not_run_fails(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    (folder / "rigs").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    for name in ("conftest.py", "parts.py", "rigs/net.py"):
        (folder / name).write_text((ROOT / "tests" / name).read_text())
    (folder / "test_one.py").write_text(
        "from tests.parts import need\nimport pytest\ndef test_part():\n    need('no-such-program')\n"
    )
    (folder / "test_two.py").write_text("import pytest\n@pytest.mark.skip('not today')\ndef test_it():\n    pass\n")

    def outcome(test: str, strict: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", f"tests/{test}.py"],
            cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ, "NEURATH_STRICT": strict},
        )  # fmt: skip
        return done.returncode, done.stdout

    code, text = outcome("test_one", "0")
    assert code == 0
    assert "did not run: 1 test(s), because no-such-program is not on this machine" in text
    assert outcome("test_one", "1")[0] == 1
    assert outcome("test_two", "0")[0] == 0
    assert outcome("test_two", "1")[0] == 1
