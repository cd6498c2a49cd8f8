"""A real Alertmanager (Debian's prometheus-alertmanager) on loopback, for as long as a test needs it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from neurath.sim.processes import free_port
from tests.parts import need

#: Alerts of everybody go to nobody: what it holds is asked for.
CONFIGURATION = "route:\n  receiver: none\nreceivers:\n  - name: none\n"


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """Its address."""
    program = need("prometheus-alertmanager")
    (folder / "alertmanager.yml").write_text(CONFIGURATION)
    port = free_port()
    words = [str(program), f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/alerts"]
    words += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with (folder / "alertmanager.log").open("w") as said:
        process = subprocess.Popen(words, stdout=said, stderr=said)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/-/ready", timeout=5):
                break
            assert time.monotonic() < deadline, (folder / "alertmanager.log").read_text()
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def alerts(url: str) -> dict[str, dict[str, object]]:
    """What it holds that is not over, by subject."""
    with urllib.request.urlopen(f"{url}/api/v2/alerts", timeout=10) as answer:
        return {one["labels"]["subject"]: one for one in json.load(answer)}
