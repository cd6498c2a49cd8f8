"""Writes golden files that are not there yet (python -m tests.delta.make_vectors). Those that are stay as they were made."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path

from neurath.delta import Wish, build, full, native
from neurath.delta.format import parse
from tests.delta.images import pair, small_layout
from tests.delta.programs import programs
from tests.delta.test_isa import A64, RV32, X86
from tests.delta.test_isa import programs as other_programs

FOLDER = Path(__file__).resolve().parents[2] / "vectors" / "delta"
BANK, WIDE = 8192, 16384
TINY = Wish(4, workspace=6144)
#: Instruction sets beside Thumb and ARM.
OTHERS = {"a64": A64, "rv32": RV32, "x86": X86}


def main() -> None:
    old, new = pair(2026, 20)
    stamped = bytearray(old)
    stamped[3000:3008] = b"20261121"
    images = {"old.bin": old, "new.bin": new, "stamped.bin": bytes(stamped)}
    wishes = {
        "raw.nru": ("old.bin", "new.bin", Wish(profile=0)),
        "simple.nru": ("old.bin", "new.bin", Wish(1, address=0x8000)),
        "apart.nru": ("old.bin", "new.bin", Wish(1, apart=True)),
        "stamped.nru": ("old.bin", "stamped.bin", Wish(1)),
        "full.nru": ("", "new.bin", Wish(1)),
        "small.nru": ("old.bin", "new.bin", Wish(2)),
        "small-full.nru": ("", "new.bin", Wish(2, flow=False)),
        "thumb.nru": ("thumb-old.bin", "thumb-new.bin", Wish(2)),
        "arm.nru": ("arm-old.bin", "arm-new.bin", Wish(2)),
        "large-apart.nru": ("old.bin", "new.bin", Wish(3, apart=True)),
        "large-thumb.nru": ("thumb-old.bin", "thumb-new.bin", Wish(3)),
        "large-arm.nru": ("arm-old.bin", "arm-new.bin", Wish(3, apart=True)),
        "flow-full.nru": ("", "thumb-new.bin", Wish(2)),
        "flow-apart.nru": ("thumb-old.bin", "thumb-new.bin", Wish(2, apart=True)),
        "flow-large.nru": ("", "thumb-new.bin", Wish(3)),
        "tiny.nru": ("old.bin", "new.bin", TINY),
        "tiny-apart.nru": ("old.bin", "new.bin", replace(TINY, apart=True)),
        "tiny-full.nru": ("", "new.bin", TINY),
        "tiny-thumb.nru": ("thumb-old.bin", "thumb-new.bin", TINY),
        "tiny-arm.nru": ("arm-old.bin", "arm-new.bin", TINY),
        "quick.nru": ("old.bin", "new.bin", Wish(5)),
        "quick-apart.nru": ("old.bin", "new.bin", Wish(5, apart=True)),
        "quick-thumb.nru": ("thumb-old.bin", "thumb-new.bin", Wish(5)),
        "quick-arm.nru": ("arm-old.bin", "arm-new.bin", Wish(5)),
    }
    for isa in ("thumb", "arm"):
        images[f"{isa}-old.bin"], images[f"{isa}-new.bin"] = programs(2026, arm=isa == "arm")
    for isa, number in OTHERS.items():
        old, new = f"{isa}-old.bin", f"{isa}-new.bin"
        images[old], images[new] = other_programs(number, 2026, 30)
        wishes |= {
            f"{isa}.nru": (old, new, Wish(2)),
            f"large-{isa}.nru": (old, new, Wish(3)),
            f"tiny-{isa}.nru": (old, new, TINY),
            f"quick-{isa}.nru": (old, new, Wish(5)),
        }
    for name, data in images.items():
        (FOLDER / name).write_bytes(data)
    files = json.loads((FOLDER / "index.json").read_text())["files"] if (FOLDER / "index.json").exists() else {}
    for name, (base, goal, wish) in wishes.items():
        if name in files:
            continue
        bank = WIDE if len(images[goal]) > BANK else BANK
        layout = small_layout(bank)
        made = build(images[base], images[goal], layout, wish) if base else full(images[goal], layout, wish)
        (FOLDER / name).write_bytes(made.data)
        head, frames = parse(made.data)
        fields = {f: getattr(head, f) for f in ("profile", "isa", "old_size", "new_size", "base", "crc", "apart", "segments")}
        files[name] = {
            "old": base,
            "new": goal,
            **fields,
            **({"bank": bank} if bank != BANK else {}),
            "order": list(head.order),
            "groups": len(frames),
        }
        files[name]["workspace"] = native.header(made.data, layout).workspace
    index = {"bank": BANK, "sector": 1024, "group": 2048, "leaf": 1024, "files": files}
    (FOLDER / "index.json").write_text(json.dumps(index, indent=1) + "\n")
    _parity()


def _parity() -> None:
    from tests.delta.test_parity import area

    parity = area(bytes(i * 7 % 256 for i in range(1100)))
    vector = {"size": 1100, "area": len(parity), "crc32": zlib.crc32(parity)}
    (FOLDER / "parity.json").write_text(json.dumps(vector) + "\n")


if __name__ == "__main__":
    main()
