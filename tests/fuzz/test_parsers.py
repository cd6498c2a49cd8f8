"""Inputs that follow the branches of each parser in Python (atheris): none makes one raise anything but its one error, and
what is taken comes out as it went in. A sample: ten million each are claims of their own (tests/assurance.toml)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS
from tests.parts import module

ROOT = Path(__file__).resolve().parents[2]
RUNS = 2_000


def fuzzed(name: str, folder: Path, code: str = "") -> subprocess.CompletedProcess[str]:
    """One run of so many inputs, the same ones each time; `code` is done first."""
    module("atheris")
    words = [name, str(folder / "kept"), f"-runs={RUNS}", "-seed=1", "-max_len=600", "-print_final_stats=1"]
    words += [f"-artifact_prefix={folder}/", "-timeout=60", "-rss_limit_mb=2048"]
    program = f"{code}import sys; from tests.fuzz.run import main; main(sys.argv)"
    return subprocess.run([sys.executable, "-c", program, *words], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", TARGETS)
def test_no_input_that_follows_its_branches_breaks(name: str, tmp_path: Path) -> None:
    done = fuzzed(name, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Done {RUNS} runs" in done.stderr


def test_a_parser_that_breaks_is_found(tmp_path: Path) -> None:
    """One that stumbles over an option it does not know, as an IndexError, where it should refuse."""
    code = (
        "from neurath.wire import coap; old = coap.decode\n"
        "def stumbles(data):\n"
        "    found = old(data)\n"
        "    return found if len(found.options) < 2 else [][1]\n"
        "coap.decode = stumbles\n"
    )
    done = fuzzed("coap", tmp_path, code)
    assert done.returncode != 0
    assert "IndexError" in done.stdout + done.stderr
