"""What a terminal would be given, asked without taking it, of a real server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from neurath.sim.processes import COMMAND
from tests.journey.site import Site, digest_of
from tests.rigs.verbs import verb
from tests.server.world import image


def test_a_dry_run_waits_for_a_file_that_is_being_built_and_takes_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path)
    try:
        assert asked(site) == (3, "nothing newer")
        (tmp_path / "2.bin").write_bytes(image(2))
        (tmp_path / "2.env").write_bytes(site.seal(image(2), 2))
        envelope = ("--envelope", tmp_path / "2.env")
        verb("image", "add", tmp_path / "2.bin", "--model", "phone", "--version", "2", *envelope, *site.data)
        verb("rollout", "create", "--release", "phone/2", "--all", "--start", *site.data)
        assert asked(site) == (0, "offered")
        assert site.status()["image"] == digest_of(1)
    finally:
        site.end()


def asked(site: Site) -> tuple[int, str]:
    words = ("agent", "run", *map(str, site.reach()), "--once", "--dry-run", "--json")
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=180, check=False)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])["result"]
