"""How soon after the exit of its user software is installed: a real server, agent and process that holds the file open; with
the file fetched ahead, and fetched only when the use has ended. Prints the seconds from the exit to the new bytes in place.

    PYTHONPATH=. python bench/exit.py [ROUNDS]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.journey.household import Household
from tests.journey.test_components import HOLDS

#: What is promised, and the most that is waited for anything.
GOAL, PATIENCE = 1.0, 120.0


def wait(true: Callable[[], bool], pause: float = 0.2) -> None:
    """Until it is so."""
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            raise SystemExit("it did not come to that")
        time.sleep(pause)


def says(home: Household, number: int, field: str, word: str) -> bool:
    return home.ledger("a", number).get(field) == word


def rounds(count: int, download: str) -> list[float]:
    """Seconds from exit to installed, `count` times."""
    took = []
    with tempfile.TemporaryDirectory() as folder:
        home = Household(Path(folder))
        try:
            home.setup({"a": f'in_use = ["{home.path("a")}"]\ndownload = "{download}"'})
            home.agent()
            for number in range(2, count + 2):
                user = subprocess.Popen([sys.executable, "-c", HOLDS, str(home.path("a"))], stdout=subprocess.PIPE)
                assert user.stdout is not None
                user.stdout.readline()
                home.release("a", number)
                wait(partial(says, home, number, "phase", "waiting-for-use-end"))
                user.kill()
                user.wait()
                user.stdout.close()
                ended = time.monotonic()
                wait(partial(home.holds, "a", number), 0.005)
                took.append(time.monotonic() - ended)
                wait(partial(says, home, number, "verdict", "confirmed"))
        finally:
            home.end()
    return sorted(took)


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    worst = 0.0
    for download in ("ahead", "free"):
        took = rounds(count, download)
        worst = max(worst, took[-1])
        middle, longest = took[len(took) // 2], took[-1]
        print(f"download = {download}: median {middle:.3f} s, longest of {count} {longest:.3f} s (goal {GOAL:g} s)")
    return 0 if worst <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
