"""Components that are files, from the signer's desk to the terminal's disk: server, signer and agent
are processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.journey.household import Household
from tests.journey.site import until

HOLDS = "import sys, time; held = open(sys.argv[1], 'rb'); print('ready', flush=True); time.sleep(600)"


@pytest.fixture
def household(tmp_path: Path, request: pytest.FixtureRequest):
    made = Household(tmp_path, getattr(request, "param", "a"))
    yield made
    made.end()


@pytest.mark.heavy
@pytest.mark.parametrize("household", ["abcdefghij"], indirect=True)
def test_one_component_in_use_of_ten_holds_up_no_other(household: Household) -> None:
    """C4, P15: nine finish while the first one's user keeps it; then it goes on by itself."""
    household.setup({"a": f'in_use = ["{household.path("a")}"]'})
    user = subprocess.Popen([sys.executable, "-c", HOLDS, str(household.path("a"))], stdout=subprocess.PIPE)
    try:
        assert user.stdout is not None
        assert user.stdout.readline() == b"ready\n"
        for name in household.names:
            household.release(name, 2)
        household.agent()
        until(lambda: all(household.holds(name, 2) for name in "bcdefghij"), 60)
        until(lambda: household.ledger("a", 2)["phase"] == "waiting-for-use-end")
        assert household.holds("a", 1)
        assert household.ledger("a", 2)["bytes"] == 0
    finally:
        user.kill()
        user.wait(10)
        assert user.stdout is not None
        user.stdout.close()
    until(lambda: household.holds("a", 2))
    until(lambda: all(household.ledger(name, 2)["verdict"] == "confirmed" for name in household.names), 60)


@pytest.mark.heavy
def test_the_second_update_of_a_component_is_a_delta_and_a_bad_one_is_rolled_back(household: Household) -> None:
    check = household.place / "health"
    check.write_text("#!/bin/sh\ngrep -q 'a 3' home/a && { echo it does not start; exit 1; }\nexit 0\n")
    check.chmod(0o755)
    household.setup({"a": f"health = \"sh -c 'cd {household.place} && ./health'\""})
    household.release("a", 2)
    assert household.once() == 0
    assert household.holds("a", 2)
    household.release("a", 3)
    assert household.once() != 0
    assert household.holds("a", 2), "a release that fails its health check stays"
    line = household.ledger("a", 3)
    assert line["verdict"] == "failed"
    assert "it does not start" in str(line["reason"])
    assert int(str(line["size"])) < 2000, "no delta was made"
    household.release("a", 4)
    assert household.once() == 0
    assert household.holds("a", 4)
