"""Gives a parser inputs that follow its own branches (atheris, libFuzzer): `python -m tests.fuzz.run NAME FOLDER`, and options
of libFuzzer. It knows how a target is watched; it must never catch what one raises."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path


def main(argv: list[str]) -> None:
    import atheris

    name, folder = argv[1], Path(argv[2])
    with atheris.instrument_imports(include=["neurath.wire", "cbor2"]):
        from tests.fuzz.targets import TARGETS, seeds
    folder.mkdir(parents=True, exist_ok=True)
    for one in seeds(name):
        (folder / hashlib.sha256(one).hexdigest()[:16]).write_bytes(one)
    atheris.Setup([argv[0], str(folder), *argv[3:]], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
