"""`neurath sim images`: real firmware to try things on, fetched once by package name and checked. It knows where to put it."""

from __future__ import annotations

import argparse
from pathlib import Path

from neurath.cli.output import Output


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example: neurath sim images movehub -o images"
    parser.add_argument("name", nargs="?", metavar="NAME", help="which pair; without it: list them")
    parser.add_argument("-o", "--out", type=Path, default=Path(), metavar="DIR", help="where the two files go (default: here)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be written")


def run(args: argparse.Namespace, out: Output) -> int:
    from neurath.sim import corpus

    if args.name is None:
        for name, source in corpus.SOURCES.items():
            old, new = source.versions
            out.data(f"{name:10} {old} to {new}, from {source.package} ({source.client})", name=name, old=old, new=new)
        return 0
    pair = corpus.pair(args.name)
    for version, image in ((pair.old_version, pair.old), (pair.new_version, pair.new)):
        path = args.out / f"{pair.name}-{version}.bin"
        if not args.dry_run:
            args.out.mkdir(parents=True, exist_ok=True)
            part = path.with_name(path.name + ".part")
            try:
                part.write_bytes(image)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        done = "would write" if args.dry_run else "wrote"
        out.data(f"{done} {path} ({len(image):,} bytes)", file=str(path), size=len(image), version=version)
    return 0
