"""Code and RAM of the decoder at -Os on a Cortex-M0+, of the tiny profile also on chips of other instruction sets: `make
footprint`. It compiles the very files of core/src; it needs the cross compilers and says so when they are not there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CORE = Path(__file__).resolve().parents[1] / "core"
DECODER = (
    "reader",
    "rangecoder",
    "unpack",
    "coders",
    "units",
    "coder_raw",
    "coder_simple",
    "coder_small",
    "small",
    "mixer",
    "map",
    "predict",
    "tongue",
)
#: A chip links its own instruction set alone (NRT_ISAS_LINKED in core/src/predict.h): a Cortex-M has Thumb. What others would
#: link instead is printed, and not counted.
ISAS = ("thumb", "thumb_far")
OTHERS = ("arm", "arm_far", "halves", "a64", "rv32", "rv32_far", "x86")
#: What a chip with 16 KiB of RAM links instead (NRT_TINY_ONLY): the tiny profile alone, and of its instruction set the far
#: branches.
TINY = ("reader", "rangecoder", "unpack", "coders", "units", "coder_tiny", "tiny", "map", "tongue")
ALONE = "-DNRT_TINY_ONLY"
FLAGS = ("-Os", "-std=c11", "-ffreestanding", "-ffunction-sections", "-Wall", "-Werror")


@dataclass(frozen=True, slots=True)
class Chip:
    """One kind of processor: the prefix of its tools, the compiler's words for it, its bit of NRT_ISAS_LINKED, where its far
    branches are."""

    name: str
    tools: str
    words: tuple[str, ...]
    bit: int
    far: str


CORTEX = Chip("Cortex-M0+", "arm-none-eabi-", ("-mcpu=cortex-m0plus", "-mthumb"), 1 << 1, "thumb_far")
#: An ARM7 whose image is ARM code; its boot core is Thumb, which is smaller.
ARM7 = Chip("ARM7TDMI", "arm-none-eabi-", ("-mcpu=arm7tdmi", "-mthumb"), 1 << 2, "arm_far")
RV32 = Chip("RV32IMC", "riscv64-unknown-elf-", ("-march=rv32imc", "-mabi=ilp32", "-msmall-data-limit=0"), 1 << 4, "rv32_far")
#: memcpy, memset and memcmp are all the core wants of a C library; a chip without one has these two headers.
HEADERS = {
    "string.h": "#include <stddef.h>\nvoid *memcpy(void *, const void *, size_t);\nvoid *memset(void *, int, size_t);\n"
    "void *memmove(void *, const void *, size_t);\nint memcmp(const void *, const void *, size_t);\n",
}
LIMIT = 12 * 1024
TINY_LIMIT = 6 * 1024


def main() -> int:
    for tools, package in (("arm-none-eabi-", "gcc-arm-none-eabi"), ("riscv64-unknown-elf-", "gcc-riscv64-unknown-elf")):
        if shutil.which(f"{tools}gcc") is None:
            print(f"{tools}gcc is not installed\nthe footprint is that of microcontrollers\napt-get install {package}")
            return 1
    sizes = _sizes(CORTEX, (*DECODER, *ISAS, *OTHERS))
    for source, size in sizes.items():
        print(f"{source:14} {size:6} B" + (", not linked on a Cortex-M" if source in OTHERS else ""))
    alone = {chip: _sizes(chip, (*TINY, chip.far), ALONE) for chip in (CORTEX, ARM7, RV32)}
    for source, size in alone[CORTEX].items():
        print(f"{source:14} {size:6} B, tiny profile alone")
    total, tiny = sum(size for source, size in sizes.items() if source not in OTHERS), sum(alone[CORTEX].values())
    print(f"{'decoder':14} {total:6} B of code, profiles 0 to 2 and 5; limit {LIMIT}; no static RAM; lent: docs/spec/need.md")
    print(f"{'tiny decoder':14} {tiny:6} B of code, profile 4 alone; limit {TINY_LIMIT}; no static RAM; lent: at most 6144 B")
    for chip in (ARM7, RV32):
        print(f"{'tiny decoder':14} {sum(alone[chip].values()):6} B of code on {chip.name}; the limit is for Cortex-M")
    return total > LIMIT or tiny > TINY_LIMIT


def _sizes(chip: Chip, sources: tuple[str, ...], *more: str) -> dict[str, int]:
    """Bytes of code of each source; SystemExit where one has static RAM."""
    sizes: dict[str, int] = {}
    linked = f"-DNRT_ISAS_LINKED=0x{chip.bit:02x}"
    with tempfile.TemporaryDirectory() as folder:
        for name, text in HEADERS.items():
            (Path(folder) / name).write_text(text)
        for source in sources:
            made = Path(folder) / f"{source}.o"
            words = [f"{chip.tools}gcc", *chip.words, *FLAGS, linked, *more, "-I", folder, "-I", str(CORE / "include")]
            subprocess.run([*words, "-c", str(CORE / "src" / f"{source}.c"), "-o", str(made)], check=True)
            said = subprocess.run([f"{chip.tools}size", str(made)], check=True, capture_output=True, text=True).stdout
            text, data, bss = map(int, said.splitlines()[1].split()[:3])
            sizes[source] = text
            if data or bss:
                raise SystemExit(f"{source}: {data + bss} B of static RAM, where none may be")
    return sizes


if __name__ == "__main__":
    sys.exit(main())
