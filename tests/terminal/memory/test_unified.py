"""Memory of control groups of version 2, which the machine that runs the tests may have in version 1 only: the same tests on a
kernel that has it (tests/rigs/uml.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rigs.uml import pytest_inside


@pytest.mark.heavy
def test_memory_is_lent_and_given_back_in_control_groups_of_version_2(tmp_path: Path) -> None:
    said = pytest_inside(tmp_path / "out", Path(__file__).with_name("test_services.py"), "-m", "heavy", memory=1024)
    assert "5 passed" in said
