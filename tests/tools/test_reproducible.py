"""The C core is the same bytes from any folder, debug information included."""

from __future__ import annotations

import hashlib
import runpy
import shutil
import subprocess
from pathlib import Path

from tests.parts import ASSURANCE, need

ROOT = Path(__file__).resolve().parents[2]


def built(folder: Path) -> dict[str, str]:
    """Objects of the core, compiled there as the extension module compiles them; by name, their SHA-256. At full size all of
    them, else every tenth."""
    shutil.copytree(ROOT / "core", folder / "core", ignore=shutil.ignore_patterns("__pycache__"))
    flags = runpy.run_path(str(folder / "core/build_core.py"))["FLAGS"]
    sources = sorted(str(path) for path in (folder / "core/src").glob("*.c"))[:: 1 if ASSURANCE else 10]
    include = [f"-I{folder}/core/include", f"-I{folder}/core/src"]
    (folder / "objects").mkdir()
    subprocess.run(["gcc", *flags, *include, "-c", *sources], cwd=folder / "objects", check=True)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "objects").iterdir()}


def test_two_builds_in_two_folders_give_the_same_bytes(tmp_path: Path) -> None:
    need("gcc")
    first, second = tmp_path / "a", tmp_path / "another place altogether"
    objects = built(first)
    assert len(objects) > (40 if ASSURANCE else 4)
    assert built(second) == objects
