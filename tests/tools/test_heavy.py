"""Heavy tests share one worker, in whatever file they are; journeys go wherever there is room."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEST = r"""
import os, time, pytest
from pathlib import Path
@pytest.mark.heavy
@pytest.mark.parametrize("n", range(3))
def test_it(n):
    time.sleep(0.1)
    with Path(__file__).with_suffix(".who").open("a") as told:
        told.write(os.environ["PYTEST_XDIST_WORKER"] + "\n")
"""


def test_heavy_parts_are_one_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  heavy: x\n")
    for folder in ("a", "b", "journey"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"test_{folder}.py").write_text(TEST)
    words = ["-n", "2", "--dist", "loadgroup", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider", "."]
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import pytest; sys.exit(pytest.main({words}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    who = {name: (tmp_path / name / f"test_{name}.who").read_text().split() for name in ("a", "b", "journey")}
    assert len(set(who["a"] + who["b"])) == 1, who
    assert [len(one) for one in who.values()] == [3, 3, 3]
    assert set(who["journey"]) - set(who["a"]), who
