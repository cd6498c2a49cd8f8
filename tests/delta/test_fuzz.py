"""The fuzz targets of decoder, matcher and parsers build and find nothing in a short run, under sanitizers. Ten million inputs
each of `deep`, `words`, `smp` and `coap` are claims of their own (tests/assurance.toml)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.parts import ASSURANCE, absent, need

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.heavy
@pytest.mark.parametrize(
    "what", ["unpack", "match", "deep", "coap", *(["small", "deep-large", "words", "smp"] if ASSURANCE else [])]
)
def test_a_short_fuzz_of_decoder_matcher_and_parsers_finds_nothing(what: str, tmp_path: Path) -> None:
    clang = need("clang")
    library = subprocess.run(
        [clang, "-print-file-name=libclang_rt.fuzzer-x86_64.a"], capture_output=True, text=True, check=False
    )
    runtime = subprocess.run([clang, "-print-runtime-dir"], capture_output=True, text=True, check=False).stdout.strip()
    if not Path(library.stdout.strip()).is_absolute() and not list(Path(runtime or "/nowhere").glob("*fuzzer*")):
        absent("clang has no fuzzer runtime here (apt: libclang-rt-14-dev)")
    counted = what in ("deep", "words", "smp", "coap")
    seconds = 300 if ASSURANCE and not counted else 10
    more = {"RUNS": "10000000" if what == "deep" else "100000", "SEED": "20261121"} if counted else {}
    done = subprocess.run(
        [str(ROOT / "core/fuzz/run.sh"), str(seconds), what],
        capture_output=True, text=True, check=False, env={"FUZZ_WORK": str(tmp_path), "PATH": "/usr/bin:/bin"} | more,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "stat::number_of_executed_units" in done.stderr
