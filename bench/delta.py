"""Sizes of update files on real firmware, ours and every peer that can be installed, in one run: `make bench-delta`.

A row is a pair of builds, a column a tool; every peer's patch is applied where its package can do so and counts only if it
gives the new image. `ratio` is ours, made for an old image elsewhere, against the smallest peer; `place` is ours for one bank
of 4 KiB sectors, groups of the redo log counted in, against our own sequential file and against detools in-place. `large` and
`l ratio` are the same for terminals that lend 4 MB, `l place` is that file for one bank; `tiny` and `t ratio` for chips
that lend 6 KiB, `t slight` against the peers that decode in that much. Peers run with the strongest settings
they have. `cpu` and `l cpu` are seconds of processor time that one build took, in one bank and beside the old image with the
large profile, `MB` and `l MB` the memory it took besides both images (bench/create.py). Run: python bench/delta.py [PAIR ...]
[--json FILE] [--peers FILE] [--write docs/assurance/delta-bench.md]; rows that FILE of --json has are not measured again, so a
run that was ended goes on. `--write` needs every pair."""

from __future__ import annotations

import argparse
import io
import json
import lzma
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import sizes
from bars import picture
from create import SECTOR, alone, bank
from neurath.delta import Delta, Wish, build, insight
from neurath.delta.native import decode_apart
from neurath.errors import NeurathError
from neurath.flash.geometry import Layout
from neurath.flash.isas import THUMB
from neurath.flash.profiles import LARGE_WORKSPACE, TINY, TINY_WORKSPACE
from neurath.sim import corpus
from page import put, when

#: Classes of pairs whose geometric means are printed. Neighbouring releases of ARM microcontrollers, all of those, all.
ADJACENT = ("movehub", "primehub", "nxt-4", "ev3", "boron", "p1", "electron", "microbit", "technichub", "essentialhub")
FAR = ("primehub-7", "cityhub", "movehub-4", "greatfet")
OTHER = ("moondancer",)
#: Other instruction sets; the wheels are ELF files, apart from the firmware in the means.
RV32, A64, X86 = OTHER, ("msgspec-a64", "rpds-a64"), ("msgspec-x86", "rpds-x86")
ALL = [*ADJACENT, *FAR, *OTHER, *A64, *X86]
#: Where detools' arm-cortex-m4 is told that data begins: it wants an ELF file; the best of these guesses counts.
SPLITS = (0.7, 0.8, 0.9, 1.0)

Peer = Callable[[bytes, bytes], int | None]


def _bsdiff4(old: bytes, new: bytes) -> int:
    import bsdiff4

    return len(bsdiff4.diff(old, new))


def _detools(**options: object) -> Peer:
    def run(old: bytes, new: bytes) -> int | None:
        import detools

        patch, out = io.BytesIO(), io.BytesIO()
        more = dict(options)
        if more.get("patch_type") == "in-place":
            more["memory_size"] = (max(len(old), len(new)) // SECTOR + 9) * SECTOR
        more.setdefault("compression", "lzma")
        detools.create_patch(io.BytesIO(old), io.BytesIO(new), patch, **more)
        if "patch_type" not in more:
            detools.apply_patch(io.BytesIO(old), io.BytesIO(patch.getvalue()), out)
            if out.getvalue() != new:
                return None
        return len(patch.getvalue())

    return run


def _cortex(old: bytes, new: bytes) -> int | None:
    hints = insight.look(old)
    if hints.isa != THUMB:
        return None
    base, found = hints.address, []
    for split in SPLITS:
        a, b = int(len(old) * split) & ~3, int(len(new) * split) & ~3
        ranges = {
            "from_data_offset_begin": a,
            "from_data_offset_end": len(old),
            "from_data_begin": base + a,
            "from_data_end": base + len(old),
            "from_code_begin": base,
            "from_code_end": base + a,
            "to_data_offset_begin": b,
            "to_data_offset_end": len(new),
            "to_data_begin": base + b,
            "to_data_end": base + len(new),
            "to_code_begin": base,
            "to_code_end": base + b,
        }
        found.append(_detools(data_format="arm-cortex-m4", **ranges)(old, new))
    return min((n for n in found if n is not None), default=None)


def _hdiffpatch(old: bytes, new: bytes) -> int | None:
    import hdiffpatch

    kinds = (hdiffpatch.COMPRESSION_LZMA2, hdiffpatch.COMPRESSION_LZMA, hdiffpatch.COMPRESSION_BZIP2)
    patches = [hdiffpatch.diff(old, new, compression=kind) for kind in kinds]
    return min((len(p) for p in patches if hdiffpatch.apply(old, p) == new), default=None)


def _hpatchlite(old: bytes, new: bytes) -> int | None:
    import hdiffpatch

    patch = hdiffpatch.diff_lite(old, new)
    return len(patch) if hdiffpatch.apply_lite(old, patch) == new else None


def _command(*words: str) -> Peer:
    def run(old: bytes, new: bytes) -> int | None:
        if shutil.which(words[0]) is None:
            return None
        with tempfile.TemporaryDirectory() as folder:
            a, b = Path(folder) / "old", Path(folder) / "new"
            a.write_bytes(old)
            b.write_bytes(new)
            done = subprocess.run([w.format(old=a, new=b) for w in words], capture_output=True, check=False)
        return len(done.stdout) if done.returncode == 0 and done.stdout else None

    return run


#: Peers that need the old image whole while they write the new one, as our sequential file does.
PEERS: dict[str, Peer] = {
    "bsdiff4": _bsdiff4,
    "detools": _detools(),
    "dt-m4": _cortex,
    "hdiff": _hdiffpatch,
    "hlite": _hpatchlite,
    "zstd": _command("zstd", "-q", "--ultra", "-22", "--long=27", "--patch-from", "{old}", "{new}", "-c"),
    "xdelta3": _command("xdelta3", "-e", "-9", "-S", "lzma", "-c", "-s", "{old}", "{new}"),
}


#: Those that decode in 6 KiB of RAM, the old image elsewhere: what the tiny profile is measured by (and hlite).
SLIGHT: dict[str, Peer] = {
    "dt-crle": _detools(compression="crle"),
    "dt-hs": _detools(compression="heatshrink"),
}

#: What is promised of means on the page, by class of pairs: design goals, geometric means.
GOALS = {
    "neighbouring releases, ARM": {"ratio": 0.38, "large: ratio": 0.33},
    "all ARM": {"ratio": 0.45, "large: ratio": 0.40},
}
PLACED = {"in place x own": 1.10, "in place x detools": 0.36, "full x xz": 1.07}

Row = sizes.Row


def measure(name: str, known: Row | None = None) -> Row:
    """One row: sizes in bytes, seconds, ratios. `known`: an earlier row, whose peers' sizes are taken over."""
    pair = corpus.pair(name)
    old, new = pair.old, pair.new
    row: Row = {"pair": name, "image": len(new)}
    row |= _sizes(name, old, new, known or {})
    layout = bank(old, new)
    for wish, mark in (("place", ""), ("large", "l ")):
        spent = alone(name, wish)
        row |= {f"{mark}cpu": spent["cpu"], f"{mark}MB": round(float(spent["memory"]) / 1e6, 1)}
    ours, row["apply"] = _timed(old, new, layout, Wish(apart=True))
    large, row["l apply"] = _timed(old, new, layout, Wish(apart=True, workspace=LARGE_WORKSPACE))
    place = build(old, new, layout)
    large_place = build(old, new, layout, Wish(workspace=LARGE_WORKSPACE))
    peers = [n for p in PEERS if isinstance(n := row[p], int)]
    row |= {"full": len(build(b"", new, layout).data), "xz": len(lzma.compress(new, preset=9 | lzma.PRESET_EXTREME))}
    row |= {"ours": len(ours.data), "in place": len(place.data), "ram": max(ours.workspace, place.workspace)}
    row |= {"large": len(large.data), "l place": len(large_place.data), "l ram": max(large.workspace, large_place.workspace)}
    tiny, row["t apply"] = _timed(old, new, layout, Wish(TINY, apart=True, workspace=TINY_WORKSPACE))
    tiny_place = build(old, new, layout, Wish(TINY, workspace=TINY_WORKSPACE))
    row |= {"tiny": len(tiny.data), "t place": len(tiny_place.data), "t ram": max(tiny.workspace, tiny_place.workspace)}
    slight = [n for p in (*SLIGHT, "hlite") if isinstance(n := row[p], int)]
    row["t ratio"] = len(tiny.data) / min(peers)
    row["t slight"] = len(tiny.data) / min(slight) if slight else None
    row["ratio"] = len(ours.data) / min(peers)
    row["l ratio"] = len(large.data) / min(peers)
    row["l/dt"] = len(large_place.data) / row["dt-place"] if isinstance(row["dt-place"], int) else None
    row["place"] = len(place.data) / len(ours.data)
    row["place/dt"] = len(place.data) / row["dt-place"] if isinstance(row["dt-place"], int) else None
    return row


def _sizes(name: str, old: bytes, new: bytes, known: Row) -> Row:
    """Of every peer, as `known` where it is; None for one that fails."""
    row: Row = {}
    for peer, run in {**PEERS, **SLIGHT, "dt-place": _detools(patch_type="in-place", segment_size=SECTOR)}.items():
        if peer in known:
            row[peer] = known[peer]
            continue
        try:
            row[peer] = run(old, new)
        except Exception as fault:  # a peer that fails is a peer that has no size
            print(f"{name}: {peer} failed: {type(fault).__name__}: {fault}", file=sys.stderr)
            row[peer] = None
    return row


def _timed(old: bytes, new: bytes, layout: Layout, wish: Wish) -> tuple[Delta, float]:
    """A file (tried by the core when it was made) and the seconds of processor time it takes to decode."""
    made = build(old, new, layout, wish)
    began = time.process_time()
    decode_apart(old, made.data, layout)
    return made, round(time.process_time() - began, 2)


COLUMNS = (
    "image",
    "xz",
    *PEERS,
    *SLIGHT,
    "dt-place",
    "ours",
    "in place",
    "full",
    "ram",
    "cpu",
    "MB",
    "apply",
    "ratio",
    "place",
    "place/dt",
    "large",
    "l place",
    "l ram",
    "l cpu",
    "l MB",
    "l apply",
    "l ratio",
    "l/dt",
    "tiny",
    "t place",
    "t ram",
    "t apply",
    "t ratio",
    "t slight",
)

RATIOS = ("ratio", "place", "place/dt", "l ratio", "l/dt", "t ratio", "t slight")


def _cell(value: float | int | str | None) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) and value < 10 else f"{value}"


def _mean(rows: list[dict[str, float | int | str | None]], names: tuple[str, ...], column: str) -> str:
    values = [v for row in rows if row["pair"] in names and isinstance(v := row[column], float)]
    return f"{math.exp(sum(map(math.log, values)) / len(values)):.3f} ({len(values)})" if values else "-"


def write(page: Path, rows: list[Row]) -> None:
    """The tables of every pair on their page, and its picture beside it.

    Raises SystemExit if a pair is missing.
    """
    by_name = {row["pair"]: row for row in rows}
    missing = [name for name in ALL if name not in by_name]
    if missing:
        raise SystemExit(f"{page}: not written, not measured: {', '.join(missing)}")
    firmware = [by_name[name] for name in ADJACENT + FAR + OTHER]
    arm = {"neighbouring releases, ARM": ADJACENT, "all ARM": ADJACENT + FAR}
    classes = [(title, [by_name[name] for name in names], GOALS[title] | PLACED) for title, names in arm.items()]
    classes.append(("all", firmware, {"full x xz": PLACED["full x xz"]}))
    put(page, "run", [f"{when()}; `make bench-delta`; {_peers()}, each with its strongest settings."])
    put(page, "sizes", [*sizes.pairs(firmware, tuple(PEERS)), "", *sizes.means(classes)])
    put(page, "elf", sizes.beside([by_name[name] for name in A64 + X86], tuple(PEERS)))
    put(page, "tiny", sizes.tiny(firmware))
    put(page, "building", sizes.building([by_name[name] for name in ALL]))
    page.with_suffix(".svg").write_text(picture(firmware))


def _peers() -> str:
    """Peers and their versions."""
    found = [f"{name} {version(name)}" for name in ("bsdiff4", "detools", "hdiffpatch")]
    for words in (["zstd", "--version"], ["xdelta3", "-V"]):
        said = subprocess.run(words, capture_output=True, text=True, check=False)
        told = re.search(r"\d+\.\d+\.\d+", said.stdout + said.stderr)
        found.append(f"{words[0]} {told[0] if told else 'unknown'}")
    return ", ".join(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", nargs="*", default=ALL)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--write", type=Path, metavar="PAGE.md", help="the tables of this page, and its picture")
    parser.add_argument("--peers", metavar="FILE", help="take the peers' sizes from an earlier run's --json")
    args = parser.parse_args()
    known = {row["pair"]: row for row in json.loads(Path(args.peers).read_text())} if args.peers else {}
    kept = Path(args.json) if args.json else None
    rows = json.loads(kept.read_text()) if kept and kept.exists() else []
    done = {row["pair"] for row in rows}
    print(f"{'pair':13}" + "".join(f"{c:>10}" for c in COLUMNS))
    for name in args.pairs:
        try:
            if name not in done:
                rows.append(measure(name, known.get(name)))
        except NeurathError as fault:
            print(f"{name:13} not measured: {fault.what}: {fault.why}")
            continue
        row = next(row for row in rows if row["pair"] == name)
        print(f"{name:13}" + "".join(f"{_cell(row[c]):>10}" for c in COLUMNS), flush=True)
        if kept:
            kept.write_text(json.dumps(rows, indent=1) + "\n")
    for title, names in (
        ("adjacent ARM", ADJACENT),
        ("all ARM", ADJACENT + FAR),
        ("all", ADJACENT + FAR + OTHER),
        ("RV32", RV32),
        ("AArch64", A64),
        ("x86-64", X86),
    ):
        means = "   ".join(
            f"{c} {_mean(rows, names, c)}" for c in ("ratio", "place", "place/dt", "l ratio", "l/dt", "t ratio", "t slight")
        )
        print(f"geometric mean, {title}: {means}")
    load = "/".join(f"{v:.1f}" for v in os.getloadavg())
    print(f"{time.strftime('%Y-%m-%d')}; {_peers()}; load of {os.cpu_count()} cores {load}")
    if args.write:
        write(args.write, rows)


if __name__ == "__main__":
    main()
