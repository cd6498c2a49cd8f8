"""A memory map as C: the compiler reads back what the model says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurath.cli.main import main
from neurath.flash.geometry import Model, model_to_toml, simple_layout
from neurath.flash.header import header
from neurath.flash.native import ffi
from neurath.flash.structs import c_layout
from neurath.ids import ModelName
from tests.parts import need

ROOT = Path(__file__).parents[2]
MAIN = """#include <stdio.h>
#include "map.h"
int main(void) { fwrite(&board_layout, 1, sizeof board_layout, stdout); return BOARD_LEAVES == %d ? 0 : 1; }
"""


@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from([512, 1024, 4096]),
    st.integers(4, 40),
    st.sampled_from([4, 8, 32]),
    st.sampled_from([0xFF, 0]),
    st.booleans(),
)
def test_the_compiler_reads_the_map_that_the_core_is_given(
    tmp_path_factory: pytest.TempPathFactory, sector: int, sectors: int, unit: int, erased: int, resume: bool
) -> None:
    layout = simple_layout(sector * sectors, sector=sector, write_unit=unit, erased=erased, group=sector * 4, leaf=sector)
    model = Model(ModelName("m"), layout, ram=4096, mode="resume" if resume else "scratch")
    here = tmp_path_factory.mktemp("map")
    (here / "map.h").write_text(header(model, "board"))
    (here / "main.c").write_text(MAIN % (layout.bank_size // sector))
    words = [
        need("gcc"),
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{ROOT / 'core/include'}",
        str(here / "main.c"),
        "-o",
        str(here / "m"),
    ]
    subprocess.run(words, check=True)
    done = subprocess.run([str(here / "m")], capture_output=True, check=True)
    assert done.stdout == bytes(ffi.buffer(c_layout(model.layout)))


def test_the_verb_writes_it_and_refuses_a_name_that_is_none(tmp_path: Path) -> None:
    model = Model(ModelName("m"), simple_layout(65536), ram=4096)
    (tmp_path / "m.toml").write_text(model_to_toml(model))
    assert main(["model", "header", str(tmp_path / "m.toml"), "-o", str(tmp_path / "m.h"), "--prefix", "fw"]) == 0
    assert (tmp_path / "m.h").read_text() == header(model, "fw")
    assert main(["model", "header", str(tmp_path / "m.toml"), "-o", str(tmp_path / "n.h"), "--prefix", "9"]) == 2
    assert not (tmp_path / "n.h").exists()
