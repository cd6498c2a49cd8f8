"""The tutorial is a program: it is run from top to bottom, by a shell, in an empty directory."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from neurath.sim.processes import free_port

PAGE = Path(__file__).resolve().parents[2] / "docs/tutorial.md"


@pytest.mark.heavy
def test_the_tutorial_ends_with_ten_terminals_on_the_new_software(tmp_path: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    script = "set -euo pipefail\n" + "".join(blocks) + "neurath terminal list --json > list.json\n"
    script = script.replace("8642", str(free_port()))
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with (tmp_path / "log").open("wb") as log:
        shell = subprocess.Popen(["bash", "-c", script], cwd=tmp_path, env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            code = shell.wait(280)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)  # its server too
    assert code == 0, (tmp_path / "log").read_text()[-3000:]
    found = [json.loads(line) for line in (tmp_path / "list.json").read_text().splitlines()]
    assert [one["id"] for one in found] == [f"lamp-{n}" for n in range(10)]
    assert {one["software"]["firmware"]["runs"] for one in found} == {"2.0"}
    assert "bricked 0" in (tmp_path / "log").read_text()
