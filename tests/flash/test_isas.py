"""A model says which instruction sets its core has: people write it, a firmware build links
those, no update file is for another."""

from __future__ import annotations

import itertools
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from neurath.cli.main import main
from neurath.delta import Wish, build, elf, hybrid
from neurath.delta.assemble import Pair
from neurath.delta.build import matched
from neurath.delta.format import parse
from neurath.flash.geometry import Model, model_from_toml, model_to_toml
from neurath.flash.header import header
from neurath.flash.isas import ALL, ARM, NONE, RV32, THUMB, X86
from neurath.flash.profiles import LARGE, SMALL, TINY
from neurath.ids import ModelName
from neurath.server.software.deltas import layout_digest
from tests.delta import test_isa
from tests.delta.images import small_layout
from tests.delta.programs import programs
from tests.parts import need

ROOT = Path(__file__).resolve().parents[2]
LAYOUT = small_layout(32768)


def model(code: tuple[int, ...]) -> Model:
    return Model(ModelName("m"), replace(LAYOUT, code=code), ram=4096)


def test_what_is_written_is_read_again_and_a_model_that_says_nothing_has_them_all() -> None:
    for count in range(len(ALL) + 1):
        for code in itertools.combinations(ALL, count):
            assert model_from_toml(model_to_toml(model(code))) == model(code)
    assert "code" not in model_to_toml(model(ALL))
    mixed = model_to_toml(model((THUMB, RV32))).replace('["thumb", "rv32"]', '["rv32", "thumb", "rv32"]')
    assert model_from_toml(mixed) == model((THUMB, RV32))


@pytest.mark.parametrize(("said", "why"), [('["thumb", "mips"]', "no code 'mips', only thumb, arm, "), ('"thumb"', "a list")])
def test_a_word_that_names_none_is_refused_in_three_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], said: str, why: str
) -> None:
    (tmp_path / "m.toml").write_text(model_to_toml(model((THUMB,))).replace('["thumb"]', said))
    assert main(["model", "header", str(tmp_path / "m.toml"), "-o", str(tmp_path / "m.h")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert why in lines[1]
    assert not (tmp_path / "m.h").exists()


@pytest.mark.parametrize("profile", [SMALL, LARGE, TINY])
def test_an_image_that_would_choose_another_set_gets_one_that_its_core_has(profile: int) -> None:
    """Calls speak for x86-64 (a candidate at once), or for nothing (every set is tried): either way only what is named."""
    wish = Wish(profile, workspace=6144 if profile == TINY else 20480)
    for old, new in (test_isa.programs(X86, 3), test_isa.programs(RV32, 3, 4)):
        assert parse(build(old, new, LAYOUT, wish).data)[0].isa in (X86, RV32)
        for code in ((THUMB,), (), (THUMB, ARM)):
            assert parse(build(old, new, replace(LAYOUT, code=code), wish).data)[0].isa in (NONE, *code)
    old, new = programs(5)
    assert parse(build(old, new, replace(LAYOUT, code=(THUMB,)), wish).data)[0].isa == THUMB


def test_sections_of_a_file_for_another_set_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elf, "sections", lambda *_: (X86, (), ()))
    pair = Pair(*test_isa.programs(X86, 1))
    found = [matched(pair, Wish(LARGE), known)[1].isa for known in (ALL, (THUMB,), ())]
    assert found[0] == X86
    assert X86 not in found[1:]


def test_what_a_cut_left_goes_on_with_a_set_that_its_core_has() -> None:
    """Also where the file that was cut is not there any more."""
    old, new = test_isa.programs(X86, 3)
    for code in (ALL, (THUMB,)):
        made = hybrid.build(hybrid.Hybrid(old, None, ()), hybrid.Goal(old, new, b""), replace(LAYOUT, code=code))
        assert (parse(made.data)[0].isa == X86) == (code == ALL)


def test_another_choice_of_sets_is_another_file() -> None:
    names = {layout_digest(replace(LAYOUT, code=code)) for code in (ALL, (THUMB,), (THUMB, ARM), ())}
    assert len(names) == 4


@pytest.mark.parametrize("code", [ALL, (THUMB,), (THUMB, ARM), (RV32,), ()])
def test_a_firmware_build_links_what_the_header_says(code: tuple[int, ...], tmp_path: Path) -> None:
    (tmp_path / "map.h").write_text(header(model(code), "fw"))
    tongue = str(ROOT / "core/src/tongue.c")
    words = ["-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'core/include'}", "-DFW_NUMBERS"]
    words += ["-include", str(tmp_path / "map.h"), "-DNRT_ISAS_LINKED=FW_CODE", "-c", tongue, "-o", str(tmp_path / "t.o")]
    subprocess.run([need("gcc"), *words], check=True)
    wanted = subprocess.run([need("nm"), "-u", str(tmp_path / "t.o")], check=True, capture_output=True, text=True).stdout
    names = {"thumb": 1, "arm": 2, "a64": 3, "rv32": 4, "x86": 5}
    assert sorted(names[name] for name in re.findall(r"U nrt_(\w+)", wanted)) == list(code)
    if code == ALL:
        assert f"define NRT_ISAS_LINKED 0x{sum(1 << isa for isa in ALL):X}\n" in (ROOT / "core/src/predict.h").read_text()


@pytest.mark.parametrize("path", sorted((ROOT / "firmware/models").glob("*.toml")), ids=lambda path: path.stem)
def test_each_board_names_its_own(path: Path) -> None:
    assert model_from_toml(path.read_text()).layout.code == ((RV32,) if "rv32" in path.stem else (THUMB, ARM))
