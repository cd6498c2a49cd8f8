"""Writes golden files that are not there yet (python -m tests.delta.make_vectors). Those that are stay as they were made."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

from neurath.delta import Wish, build, full, native
from neurath.delta.format import parse
from tests.delta.images import pair, small_layout
from tests.delta.programs import programs

FOLDER = Path(__file__).resolve().parents[2] / "vectors" / "delta"
BANK = 8192


def main() -> None:
    layout = small_layout(BANK)
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
    }
    for isa in ("thumb", "arm"):
        images[f"{isa}-old.bin"], images[f"{isa}-new.bin"] = programs(2026, arm=isa == "arm")
    for name, data in images.items():
        (FOLDER / name).write_bytes(data)
    files = json.loads((FOLDER / "index.json").read_text())["files"] if (FOLDER / "index.json").exists() else {}
    for name, (base, goal, wish) in wishes.items():
        if name in files:
            continue
        made = build(images[base], images[goal], layout, wish) if base else full(images[goal], layout, wish)
        (FOLDER / name).write_bytes(made.data)
        head, frames = parse(made.data)
        fields = {f: getattr(head, f) for f in ("profile", "old_size", "new_size", "base", "crc", "apart", "segments")}
        files[name] = {"old": base, "new": goal, **fields, "order": list(head.order), "groups": len(frames)}
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
