"""Flash and RAM of everything from boot to verdict, part by part, on Cortex-M0+, M3, M4 and the reference board: the lean boot
core with either decoder (firmware/lean.mk), and the reference phone's whole one, without their board's timers. It must never
leave out a part that the budget counts: 32 KiB of flash and 28 KiB of RAM."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIRMWARE, CORE = ROOT / "firmware", ROOT / "core" / "src"
BEARSSL = ROOT / "out" / "firmware" / "bearssl"
PROCESSORS = {
    "cortex-m0plus": ("-mcpu=cortex-m0plus", "-mthumb"),
    "cortex-m3": ("-mcpu=cortex-m3", "-mthumb"),
    "cortex-m4": ("-mcpu=cortex-m4", "-mthumb"),
    "sx1 (arm9)": ("-march=armv4t", "-mthumb"),
}
FLAGS = (
    "-Os", "-std=c11", "-ffreestanding", "-nostdlib", "-ffunction-sections", "-fdata-sections",
    "-fno-tree-loop-distribute-patterns", "-DBOARD_SX1", "-w", "-DNRT_ISAS_LINKED=0x02",
)  # fmt: skip
BOOT = (
    "boot", "port", "nor", "serial", "clock", "air", "coap", "plain", "rescue", "learn", "stage", "es256", "maker", "memory",
)  # fmt: skip
#: What the linker is told in place of the board's timers.
STANDS_IN = (
    "void fw_watchdog_pet(void) {} void fw_watchdog_start(void) {} void fw_watchdog_stop(void) {}\n"
    "void boot_main(void); void start(void) { boot_main(); }\n"
)
#: Of a lean one: what its board adds to firmware/lean.mk.
BOARD = ("port", "nor", "serial", "clock")
WHOLE, DECODERS = "whole", ("small", "tiny")
LINK = """ENTRY(start)
SECTIONS {
  . = 0x1000; .text : { *(.text*) *(.rodata*) }
  . = 0x20000000; .data : { *(.data*) *(.ramtext*) } .bss : { *(.bss*) *(COMMON) *(.noinit) }
}
"""
#: Source of an object file -> the part of the budget it is counted in.
PARTS = {
    "decoder": "reader rangecoder unpack units coder_raw coder_simple coder_small small mixer map predict"
    " tongue thumb thumb_far arm arm_far halves a64 rv32 rv32_far x86 sections coders coders_small tiny coder_tiny",
    "rewrite, recovery, state log": "old rehearse rewrite redo commit recover judge seal statelog facts layout medium need"
    " parity crc32 sha256 direct hybrid slide question saves layout_check no_resume no_saves sure",
    "envelope, ticket, birth, gates": "cbor cose suit ticket birth gate hmac",
    "wire: SMP, restoration": "smp smp_aid smp_enrol smp_frame smp_identify smp_wire restore no_enrol",
    "signature (BearSSL)": "es256",
    "air: CoAP, framing, rescue": "air coap rescue",
    "lists of keys": "keylist smp_keys learn",
    "pieces in free flash": "stage",
    "board: flash, serial, boot": "boot lean port nor serial clock maker memory stand",
}
FLASH_GOAL, RAM_GOAL = 32 * 1024, 28 * 1024
#: What a file of profile 4 asks for its decoder where one of profile 2 asks for 13,728 (docs/spec/need.md).
TINY_WORKSPACE = 3552
#: Bytes of stack that the core takes at most (docs/decisions/0022-stack-is-the-callers.md).
STACK = 2048


def _signature() -> list[Path]:
    """Of the signature library, as firmware/tls.mk names them."""
    make = (FIRMWARE / "tls.mk").read_text()
    tls = re.search(r"TLS := (.*?)\n(?!\s)", make, re.DOTALL)
    assert tls is not None
    words = tls[1].replace("\\\n", " ")
    named = [w for w in words.split() if w.endswith(".c") and "%" not in w]
    pattern = re.search(r"patsubst %,(\S+)%\.c,([\w ]+)\)", words)
    assert pattern is not None
    named += [f"{pattern[1]}{name}.c" for name in pattern[2].split()]
    return [BEARSSL / "src" / name for name in named]


def sources() -> list[Path]:
    """Of core, boot core and signature library, as firmware/Makefile names them."""
    large = {"large.c", "large_mix.c", "coder_large.c"}
    core = (path for path in sorted(CORE.glob("*.c")) if path.name not in large)
    return [*core, *(FIRMWARE / f"{name}.c" for name in BOOT), *_signature()]


def lean(decoder: str) -> tuple[list[Path], tuple[str, ...]]:
    """The sources of a lean boot core, and its words for the compiler, as firmware/lean.mk has them."""
    asked = "CORE INSTEAD BOOT FLAGS".split()
    make = "include lean.mk\nall:\n" + "".join(f"\t@echo $(LEAN_{name})\n" for name in asked)
    done = subprocess.run(
        ["make", "-s", "--no-print-directory", "-C", str(FIRMWARE), "-f", "-", "all", f"LEAN_DECODER={decoder}"],
        input=make, capture_output=True, text=True, check=True,
    )  # fmt: skip
    core, instead, boot, flags = (line.split() for line in done.stdout.splitlines())
    found = [*(CORE / f"{n}.c" for n in core), *(CORE.parent / "lean" / f"{n}.c" for n in instead)]
    return [*found, *(FIRMWARE / f"{n}.c" for n in (*boot, *BOARD)), *_signature()], tuple(flags)


#: As the phone's boot core is linked (firmware/Makefile).
AS_ONE = ("-flto", "-flto-partition=one")


def linked(gcc: str, flags: tuple[str, ...], named: list[Path], folder: Path) -> tuple[Counter[str], int]:
    """Bytes of flash by source, and of static RAM. With AS_ONE among the flags only their sum says something."""
    neurath = [sys.executable, "-m", "neurath.cli.main", "model", "header", str(FIRMWARE / "models" / "sx1.toml")]
    subprocess.run([*neurath, "--prefix", "fw", "-o", str(folder / "board_map.h")], check=True, capture_output=True)
    (folder / "stand.c").write_text(STANDS_IN)
    (folder / "link.ld").write_text(LINK)
    includes = [FIRMWARE / "include", ROOT / "core" / "include", CORE, folder, BEARSSL / "inc", BEARSSL / "src"]
    words = [gcc, *flags, *FLAGS, *(f"-I{path}" for path in includes)]
    objects = []
    for source in [*named, folder / "stand.c"]:
        made = folder / f"{source.stem}.o"
        # The linker's plug-in must find memcpy and its kin as they are: the compiler calls them late.
        apart = ["-fno-lto"] if source.stem == "memory" else []
        subprocess.run([*words, *apart, "-c", str(source), "-o", str(made)], check=True)
        objects.append(str(made))
    bare = ["-Wl,--gc-sections", "-Wl,--defsym=br_secp384r1=0,--defsym=br_secp521r1=0", "-Wl,--no-warn-rwx-segments"]
    end = ["-T", str(folder / "link.ld"), f"-Wl,-Map,{folder / 'map'}", "-lgcc", "-o", str(folder / "boot.elf")]
    subprocess.run([*words, *bare, *objects, *end], check=True)
    return _by_source((folder / "map").read_text())


def _by_source(text: str) -> tuple[Counter[str], int]:
    flash: Counter[str] = Counter()
    ram = 0
    line = r"^ \.(\S+)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) (\S+)$"
    found = re.findall(line, text.split("Linker script and memory map")[1], re.MULTILINE)
    for section, address, size, source in found:
        count, at = int(size, 16), int(address, 16)
        if at >= 0x20000000:
            ram += count
        if at and not section.startswith(("bss", "noinit", "debug", "ARM", "comment")):
            flash[Path(source).stem if "(" not in source else "libgcc"] += count
    return flash, ram


def lent(kind: str) -> int:
    """Bytes an update of an image of 1 MiB takes beside its staged file; a restoration, which never runs beside it, less."""
    from neurath.flash.geometry import model_from_toml
    from neurath.flash.native import need

    layout = model_from_toml((FIRMWARE / "models" / "sx1.toml").read_text()).layout
    workspace = TINY_WORKSPACE if kind.endswith("tiny") else 13728
    return need(layout, 1 << 20, 20_000, workspace + 14 * 8, False)


def say(name: str, kind: str, flash: Counter[str], ram: int, total: int) -> None:
    print(f"\n{name}, {kind}: from boot to verdict")
    left = Counter(flash)
    for part, files in PARTS.items():
        own = sum(left.pop(file, 0) for file in dict.fromkeys(files.split()))
        if part.startswith("signature"):
            own += sum(left.pop(file) for file in list(left) if file.startswith(("i15", "ec", "cc")))
        if own == 0:
            continue
        print(f"  {part:32} {own:7,} B")
    print(f"  {'compiler library, other':32} {sum(left.values()):7,} B")
    print(f"  {'seen as one by the compiler (LTO)':32} {total - sum(flash.values()):7,} B")
    update = lent(kind)
    need = ram + update + STACK
    print(f"  {'flash':32} {total:7,} B   goal {FLASH_GOAL:,}: {_judged(total, FLASH_GOAL)}")
    print(f"  {'RAM beside the staged file':32} {need:7,} B   goal {RAM_GOAL:,}: {_judged(need, RAM_GOAL)}")
    print(f"    of it {ram:,} static, {update:,} lent to an update of 1 MiB, {STACK:,} of stack")


def _judged(count: int, goal: int) -> str:
    return "reached" if count <= goal else "NOT reached"


def main() -> int:
    gcc = shutil.which("arm-none-eabi-gcc")
    if gcc is None or not (BEARSSL / ".whole").exists():
        print("the boot core is not measured\nit needs arm-none-eabi-gcc and the source of BearSSL\nmake firmware")
        return 1
    for name, flags in PROCESSORS.items():
        for kind in (*(f"lean, decoder {decoder}" for decoder in DECODERS), WHOLE):
            named, more = (sources(), ()) if kind == WHOLE else lean(kind.split()[-1])
            with tempfile.TemporaryDirectory() as folder:
                whole, _ = linked(gcc, (*flags, *more, *AS_ONE), named, Path(folder))
                say(name, kind, *linked(gcc, (*flags, *more), named, Path(folder)), sum(whole.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
