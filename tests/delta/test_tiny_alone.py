"""A core that links the tiny profile and one instruction set (NRT_TINY_ONLY): it says so, decodes its golden files and refuses
the others. What it takes on a Cortex-M is printed by `make footprint`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from neurath.flash.isas import ARM, ISAS, RV32, THUMB
from tests.parts import need

ROOT = Path(__file__).resolve().parents[2]
CORE, VECTORS = ROOT / "core", ROOT / "vectors" / "delta"
#: Sources that stay out of such a core; NAME_far.c has what is left of an instruction set.
OTHERS = ("coder_raw", "coder_simple", "coder_small", "coder_large", "small", "mixer", "large", "large_mix", "sections")
OTHERS += ("predict", "thumb", "arm", "a64", "rv32", "x86", "halves")
MAIN = r"""
#include <stdio.h>
#include <stdlib.h>
#include "decode.h"
static const struct nrt_layout layout = {.region = {{0, 1024, 48}}, .n_regions = 1, .bank = {{24576, 16384}}, .n_bank = 1,
    .log = {{0, 1024}, {1024, 1024}}, .scratch = {2048, 22528},
    .write_unit = 4, .page = 256, .group = 2048, .leaf = 1024, .erased = 0xFF};
static uint8_t before[65536], file[65536], out[65536], ram[7168];
static uint32_t load(const char *path, uint8_t *into)
{
    FILE *f = fopen(path, "rb");
    return f == NULL ? 0 : (uint32_t)fread(into, 1, 65536, f);
}
int main(int argc, char **argv)
{
    struct nrt_bytes old_image = {before, load(argv[1], before)};
    struct nrt_bytes update = {file, load(argv[2], file)};
    struct nrt_ram lent = {ram, sizeof ram};
    uint32_t size = (uint32_t)strtoul(argv[3], NULL, 10);
    int rc = nrt_decode_apart(&layout, &old_image, &update, lent, out, size);
    printf("%u %d\n", (unsigned)nrt_profiles(), rc);
    fwrite(out, 1, rc == 0 ? size : 0, stdout);
    return argc != 4;
}
"""
FILES = json.loads((VECTORS / "index.json").read_text())["files"]


INCLUDES = [f"-I{CORE / part}" for part in ("include", "src", "ports")]
WORDS = ("-DNRT_TINY_ONLY", "-std=c11", "-O1", "-Wall", "-Werror", *INCLUDES)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of it but tongue.c, which alone says what is linked."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "main.c").write_text(MAIN)
    core = [path for path in sorted((CORE / "src").glob("*.c")) if path.stem not in (*OTHERS, "tongue")]
    sources = [str(path) for path in (folder / "main.c", CORE / "ports" / "decode.c", *core)]
    subprocess.run([need("gcc"), *WORDS, "-c", *sources], check=True, cwd=folder)
    return folder


@pytest.fixture(scope="module", params=[THUMB, ARM, RV32], ids=lambda isa: ISAS[isa])
def alone(request: pytest.FixtureRequest, objects: Path) -> tuple[int, Path]:
    program = objects / f"alone-{request.param}"
    words = [f"-DNRT_ISAS_LINKED={1 << request.param}", str(CORE / "src" / "tongue.c"), *map(str, objects.glob("*.o"))]
    subprocess.run([need("gcc"), *WORDS, *words, "-o", str(program)], check=True)
    return request.param, program


@pytest.mark.parametrize("name", sorted(FILES))
def test_it_decodes_its_own_files_for_its_instruction_set_or_none_and_refuses_all_others(
    alone: tuple[int, Path], name: str
) -> None:
    entry, (isa, program) = FILES[name], alone
    old, new = (VECTORS / entry["old"] if entry["old"] else Path("/dev/null")), (VECTORS / entry["new"]).read_bytes()
    done = subprocess.run([str(program), str(old), str(VECTORS / name), str(len(new))], check=True, capture_output=True)
    said, made = done.stdout.split(b"\n", 1)
    if entry["profile"] == 4 and entry.get("isa", 0) in (0, isa):
        assert (said, made) == (b"16 0", new)
    else:
        assert said == b"16 -2"
