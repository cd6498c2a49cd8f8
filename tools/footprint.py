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
)
#: A chip links its own instruction set alone (NRT_ISAS_LINKED in core/src/predict.h): a Cortex-M has Thumb. What others would
#: link instead is printed, and not counted.
ISAS = ("thumb",)
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
#: memcpy, memset and memcmp are all the core wants of a C library; a chip without one has these two headers.
HEADERS = {
    "string.h": "#include <stddef.h>\nvoid *memcpy(void *, const void *, size_t);\nvoid *memset(void *, int, size_t);\n"
    "void *memmove(void *, const void *, size_t);\nint memcmp(const void *, const void *, size_t);\n",
}
LIMIT = 12 * 1024


def main() -> int:
    gcc = shutil.which("arm-none-eabi-gcc")
    if gcc is None:
        print(
            "arm-none-eabi-gcc is not installed\nthe footprint is that of a microcontroller\napt-get install gcc-arm-none-eabi"
        )
        return 1
    sizes: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, text in HEADERS.items():
            (Path(folder) / name).write_text(text)
        for source in (*DECODER, *ISAS, *OTHERS):
            made = Path(folder) / f"{source}.o"
            words = [gcc, *FLAGS, "-I", folder, "-I", str(CORE / "include"), "-c", str(CORE / "src" / f"{source}.c")]
            subprocess.run([*words, "-o", str(made)], check=True)
            said = subprocess.run(["arm-none-eabi-size", str(made)], check=True, capture_output=True, text=True).stdout
            text, data, bss = map(int, said.splitlines()[1].split()[:3])
            sizes[source] = text
            if data or bss:
                print(f"{source}: {data + bss} B of static RAM, where none may be")
                return 1
    for source, size in sizes.items():
        print(f"{source:14} {size:6} B" + (", not linked on a Cortex-M" if source in OTHERS else ""))
    total = sum(size for source, size in sizes.items() if source not in OTHERS)
    print(f"{'decoder':14} {total:6} B of code, all profiles; limit {LIMIT}; no static RAM; lent: docs/spec/need.md")
    return total > LIMIT


if __name__ == "__main__":
    sys.exit(main())
