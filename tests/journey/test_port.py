"""What the port guide tells people to type works as it is printed, and the map it shows is the example's."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from neurath.flash.geometry import model_from_toml
from tests.journey.test_howto import images
from tests.parts import need
from tests.rigs.reader import lines

pytestmark = pytest.mark.heavy
ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "port.md"


def test_the_port_guide_works_as_it_is_printed(tmp_path: Path, seed: int) -> None:
    need("arm-none-eabi-gcc")
    images(tmp_path, seed)
    (tmp_path / "OLD").rename(tmp_path / "old.bin")
    (tmp_path / "NEW").rename(tmp_path / "new.bin")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    said = ""
    wanted = [line.text for line in lines(PAGE.read_text()) if not line.excuse]
    assert len(wanted) == 10
    for line in wanted:
        words = shlex.split(line)
        if words[0] == "neurath":
            words = [sys.executable, "-m", "neurath.cli.main", *words[1:]]
        else:
            assert words[0] == "make", line
            built = tmp_path / "built" / Path(words[2]).name
            words = [*words, f"OUT={built}", f"NEURATH={sys.executable} -m neurath.cli.main"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NEURATH_")}
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, (line, done.stdout[-1500:], done.stderr[-1500:])
        said += done.stdout
    assert "0 bricked" in said or "bricked 0" in said, said
    assert (tmp_path / "m3_map.h").read_text() == (tmp_path / "built" / "port-m3" / "m3_map.h").read_text()


def test_the_map_on_the_page_is_the_examples() -> None:
    shown = re.search(r"^```toml\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert shown is not None
    assert model_from_toml(shown[1]) == model_from_toml((ROOT / "examples" / "port-m3" / "m3.toml").read_text())
