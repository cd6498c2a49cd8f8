"""The rig that takes the power: whoever is alive when it goes is dead, who was just being born too; what hangs is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parts import ASSURANCE
from tests.rigs.power import Power, build

pytestmark = pytest.mark.heavy
#: One process starts others without end, while the other writes.
BIRTHS = "(while :; do (:); done) & i=0; while [ $i -lt 1000 ]; do echo $i; i=$((i + 1)); done > file; kill $!"
CUTS = 400 if ASSURANCE else 120


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Power:
    return build(tmp_path_factory.mktemp("power"))


def test_who_is_being_born_when_the_power_goes_is_not_waited_for(rig: Power, tmp_path: Path) -> None:
    for number in range(1, CUTS + 1):
        ran = rig.run(["sh", "-c", BIRTHS], tmp_path, {"PATH": "/usr/bin:/bin", "POWER_SECONDS": "20"}, number)
        assert ran.cut
        assert len(ran.calls) == number
        # Opened, and a line a write; the last call was not made.
        file = tmp_path / "file"
        lines = len(file.read_text().splitlines()) if file.exists() else None
        assert lines == (number - 2 if number > 1 else None)
        file.unlink(missing_ok=True)


def test_what_is_not_over_in_time_says_what_it_waits_for(rig: Power, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"not over in time: .*sleep 100"):
        rig.run(["sleep", "100"], tmp_path, {"PATH": "/usr/bin:/bin", "POWER_SECONDS": "1"})
