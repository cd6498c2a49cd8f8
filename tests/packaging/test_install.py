"""Row T25: both sides are programs that pip installs: the server from `neurath[server]`, the agent from `neurath` alone, with
nothing of the other's; then the pages of the first update, typed with these two."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.journey.test_howto import first_update
from tests.rigs.reader import Reader

ROOT = Path(__file__).resolve().parents[2]
#: A pip that fetches a dozen packages, on a machine that does other things too.
LONG = 600.0
#: What a terminal has no use for.
HEAVY = ("fastapi", "sqlalchemy", "uvicorn", "jinja2", "pydantic", "alembic")


def _run(*words: str | Path, cwd: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("NEURATH_", "PYTHON"))}
    done = subprocess.run([*map(str, words)], cwd=cwd, env=clean, capture_output=True, text=True, timeout=LONG, check=False)
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


@dataclass
class Installed(Reader):
    """Somebody with two machines: `agent` is typed on one, everything else on the other."""

    field: str = ""
    house: str = ""

    def program(self, verb: str) -> list[str]:
        return [self.field if verb == "agent" else self.house]


@pytest.mark.heavy
@pytest.mark.network
def test_pip_installs_either_side_and_the_first_update_works_with_them(tmp_path: Path, seed: int) -> None:
    sources = tmp_path / "sources"
    listed = _run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file() and name.partition("/")[0] in (
            "src",
            "core",
            "setup.py",
            "pyproject.toml",
            "README.md",
            "LICENSE",
        ):
            (sources / name).parent.mkdir(parents=True, exist_ok=True)
            (sources / name).write_bytes((ROOT / name).read_bytes())
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
    _run(*pip, "wheel", "--no-build-isolation", "--no-deps", "-w", tmp_path / "dist", sources, cwd=tmp_path)
    wheel = next((tmp_path / "dist").glob("neurath-*.whl"))
    for side, extra in (("field", ""), ("house", "[server]")):
        _run(sys.executable, "-m", "venv", "--without-pip", tmp_path / side, cwd=tmp_path)
        into = ("--python", tmp_path / side / "bin/python")
        _run(*pip, *into, "install", "-c", ROOT / "constraints.txt", f"{wheel}{extra}", cwd=tmp_path)
    there = _run(tmp_path / "field/bin/python", "-c", _FINDS.format(HEAVY), cwd=tmp_path)
    assert there.split() == [], "a terminal carries no web framework and no database"
    place = tmp_path / "work"
    place.mkdir()
    first_update(Installed(place, field=str(tmp_path / "field/bin/neurath"), house=str(tmp_path / "house/bin/neurath")), seed)


_FINDS = "import importlib.util as u; print(*(n for n in {} if u.find_spec(n)))"
