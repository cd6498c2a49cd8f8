"""Frama-C proves (WP, CVC4) what the contracts in core/src say of the readers that all from a stranger goes through: no
byte outside what was given is read, nothing else is written, every loop ends. In assurance, for a proof takes minutes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import ASSURANCE, need

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "core" / "src"
#: Source -> the functions that have a contract; "" stands for all.
PROVEN = {"cbor.c": "", "cose.c": "read_header,put_string,put_signed", "ticket.c": "read_field"}
#: A check left out -> a function whose contract no longer holds.
BREAKS = {
    "if (c->left < 1 + bytes)": ("if (c->left < bytes)", "nrt_cbor_head"),
    " || len > c->left": ("", "nrt_cbor_string"),
    " || v.len != len": ("", "nrt_cbor_octets"),
    "depth == NRT_CBOR_DEPTH": ("depth > NRT_CBOR_DEPTH", "nrt_cbor_skip"),
}
pytestmark = pytest.mark.timeout(3600)


def goals(source: Path, functions: str, seconds: int) -> tuple[int, int, str]:
    """(proven, to be proven, what was said). A prover is given so many seconds for each, by the clock."""
    need("cvc4")
    words = ["-wp", "-wp-rte", "-wp-par", "2", "-wp-prover", "cvc4", "-wp-timeout", str(seconds), "-machdep", "x86_32"]
    words += ["-no-frama-c-stdlib", f"-cpp-extra-args=-nostdinc -I{ROOT}/tests/prove/include -I{CORE}/../include -I{CORE}"]
    words += ["-wp-fct", functions] if functions else []
    subprocess.run([need("why3"), "config", "detect"], check=True, capture_output=True)
    done = subprocess.run([need("frama-c"), *words, str(source)], capture_output=True, text=True, check=False)
    found = re.search(r"Proved goals:\s+(\d+) / (\d+)", done.stdout)
    assert found is not None, done.stdout[-3000:] + done.stderr[-3000:]
    return int(found[1]), int(found[2]), done.stdout


if ASSURANCE:  # a proof takes minutes

    @pytest.mark.parametrize("name", PROVEN)
    def test_every_goal_is_proven(name: str, capsys: pytest.CaptureFixture[str]) -> None:
        proven, wanted, said = goals(CORE / name, PROVEN[name], 600)
        with capsys.disabled():
            sys.stdout.write(f"\n{name}: {proven} of {wanted} goals\n")
        left = [line for line in said.splitlines() if "Goal" in line and "Valid" not in line]
        assert proven == wanted, left
        assert wanted > 40

    @pytest.mark.parametrize("check", BREAKS)
    def test_a_check_left_out_is_not_proven(check: str, tmp_path: Path) -> None:
        text = (CORE / "cbor.c").read_text()
        assert text.count(check) == 1
        instead, function = BREAKS[check]
        (tmp_path / "cbor.c").write_text(text.replace(check, instead))
        proven, wanted, _ = goals(tmp_path / "cbor.c", function, 30)
        assert proven < wanted
