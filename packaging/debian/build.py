"""Builds neurath_VERSION_ARCH.deb of what is installed here: this product and exactly the packages it was tested with, for
Debian's own Python of the same version. It knows distributions and dpkg-deb; it must never fetch anything."""

from __future__ import annotations

import argparse
import importlib.metadata as metadata
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = ("server", "postgres", "objects", "carriers", "agent", "station")
#: Where it all lies in the package: apart from Debian's own Python packages.
HOME = "usr/lib/neurath"
_COMMAND = '#!/bin/sh\nexec env PYTHONPATH="${{NEURATH_ROOT:-}}/{home}" /usr/bin/python{python} -m neurath.cli.main "$@"\n'
_CONTROL = """Package: neurath
Version: {version}
Architecture: {arch}
Maintainer: {maintainer}
Depends: python{python}, libc6
Recommends: adduser
Suggests: postgresql, swupdate
Section: admin
Priority: optional
Description: over-the-air updates for devices with one firmware bank
 Server and console, agent, restoration station and carriers, with everything
 they need beside Python itself.
"""


def closure(name: str, extras: tuple[str, ...]) -> dict[str, metadata.Distribution]:
    """The distributions that are needed, by name, those of the extras included."""
    found: dict[str, metadata.Distribution] = {}
    todo = [(name, extras)]
    while todo:
        wanted, parts = todo.pop()
        key = wanted.lower().replace("_", "-")
        if key in found and not parts:
            continue
        found[key] = metadata.distribution(wanted)
        for line in found[key].requires or ():
            need = Requirement(line)
            wanted_here = need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in (*parts, ""))
            if wanted_here and (need.extras or need.name.lower().replace("_", "-") not in found):
                todo.append((need.name, tuple(need.extras)))
    return found


def copy(found: dict[str, metadata.Distribution], into: Path) -> None:
    """The files of each distribution as they were installed, scripts and byte code left out."""
    for name, one in found.items():
        for file in one.files or () if name != "neurath" else ():
            if ".." in file.parts or file.suffix == ".pyc":
                continue
            target = into / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), target)
    shutil.copytree(ROOT / "src/neurath", into / "neurath", ignore=shutil.ignore_patterns("__pycache__"))


def build(out: Path) -> Path:
    """The package, as a file in this directory."""
    python = f"3.{sys.version_info.minor}"
    found = closure("neurath", EXTRAS)
    version = found["neurath"].version
    arch = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        tree.chmod(0o755)
        copy(found, tree / HOME)
        command = tree / "usr/bin/neurath"
        command.parent.mkdir(parents=True)
        command.write_text(_COMMAND.format(home=HOME, python=python))
        command.chmod(0o755)
        units = tree / "lib/systemd/system"
        units.mkdir(parents=True)
        for name in ("neurath.service", "neurath.socket", "neurath-agent.service"):
            shutil.copyfile(ROOT / "deploy" / name, units / name)
        control = tree / "DEBIAN"
        control.mkdir()
        fields = {"version": version, "arch": arch, "python": python, "maintainer": "Neurath <neurath@localhost>"}
        (control / "control").write_text(_CONTROL.format(**fields))
        shutil.copyfile(Path(__file__).parent / "postinst", control / "postinst")
        (control / "postinst").chmod(0o755)
        made = out / f"neurath_{version}_{arch}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(tree), str(made)], check=True)
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Builds a Debian package of what is installed here.")
    parser.add_argument("-o", "--out", type=Path, default=Path("."), metavar="DIR")
    sys.stdout.write(f"{build(parser.parse_args().out)}\n")
