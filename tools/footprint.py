"""Code and RAM of the decoder on a Cortex-M0+ at -Os: `make footprint`. It compiles the very files of core/src; it needs
arm-none-eabi-gcc and says so when it is not there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CORE = Path(__file__).resolve().parents[1] / "core"
DECODER = (
    "reader",
    "rangecoder",
    "unpack",
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
#: What a chip with 16 KiB of RAM links instead (NRT_TINY_ONLY): the tiny profile alone, and of Thumb the far branches.
TINY = ("reader", "rangecoder", "unpack", "units", "coder_tiny", "tiny", "map", "tongue", "thumb_far")
#: A chip links its own instruction set alone (NRT_ISAS_LINKED in core/src/predict.h): a Cortex-M has Thumb. What others would
#: link instead is printed, and not counted.
ISAS = ("thumb", "thumb_far")
OTHERS = ("arm", "halves", "a64", "rv32", "x86")
LINKED = "-DNRT_ISAS_LINKED=0x02"
FLAGS = (
    "-mcpu=cortex-m0plus",
    "-mthumb",
    "-Os",
    "-std=c11",
    "-ffreestanding",
    "-ffunction-sections",
    "-Wall",
    "-Werror",
    LINKED,
)
ALONE = "-DNRT_TINY_ONLY"
#: memcpy, memset and memcmp are all the core wants of a C library; a chip without one has these two headers.
HEADERS = {
    "string.h": "#include <stddef.h>\nvoid *memcpy(void *, const void *, size_t);\nvoid *memset(void *, int, size_t);\n"
    "void *memmove(void *, const void *, size_t);\nint memcmp(const void *, const void *, size_t);\n",
}
LIMIT = 12 * 1024
TINY_LIMIT = 6 * 1024


def main() -> int:
    gcc = shutil.which("arm-none-eabi-gcc")
    if gcc is None:
        print(
            "arm-none-eabi-gcc is not installed\nthe footprint is that of a microcontroller\napt-get install gcc-arm-none-eabi"
        )
        return 1
    sizes, alone = _sizes(gcc, (*DECODER, *ISAS, *OTHERS)), _sizes(gcc, TINY, ALONE)
    for source, size in sizes.items():
        print(f"{source:14} {size:6} B" + (", not linked on a Cortex-M" if source in OTHERS else ""))
    for source, size in alone.items():
        print(f"{source:14} {size:6} B, tiny profile alone")
    total, tiny = sum(size for source, size in sizes.items() if source not in OTHERS), sum(alone.values())
    print(f"{'decoder':14} {total:6} B of code, profiles 0 to 2; limit {LIMIT}; no static RAM; lent: docs/spec/need.md")
    print(f"{'tiny decoder':14} {tiny:6} B of code, profile 4 alone; limit {TINY_LIMIT}; no static RAM; lent: at most 6144 B")
    return total > LIMIT or tiny > TINY_LIMIT


def _sizes(gcc: str, sources: tuple[str, ...], *more: str) -> dict[str, int]:
    """Bytes of code of each source; SystemExit where one has static RAM."""
    sizes: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, text in HEADERS.items():
            (Path(folder) / name).write_text(text)
        for source in sources:
            made = Path(folder) / f"{source}.o"
            words = [gcc, *FLAGS, *more, "-I", folder, "-I", str(CORE / "include"), "-c", str(CORE / "src" / f"{source}.c")]
            subprocess.run([*words, "-o", str(made)], check=True)
            said = subprocess.run(["arm-none-eabi-size", str(made)], check=True, capture_output=True, text=True).stdout
            text, data, bss = map(int, said.splitlines()[1].split()[:3])
            sizes[source] = text
            if data or bss:
                raise SystemExit(f"{source}: {data + bss} B of static RAM, where none may be")
    return sizes


if __name__ == "__main__":
    sys.exit(main())
