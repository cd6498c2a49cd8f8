"""Tunnels of the kernel's: the cases of kernel_cases.py and the roaming journey on a kernel that has IP in IP, and what
happens on one that has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurath.carriers.mobileip import kernel
from neurath.errors import RefusedError
from neurath.wire.mobileip import Address
from tests.parts import ASSURANCE
from tests.rigs.uml import pytest_inside

HERE = Path(__file__).parent
#: Seconds for a journey of two minutes, on a machine that others use too.
JOURNEY = 900.0
MODULES = ("tun", "veth", "bridge", "ipip")


@pytest.mark.heavy
def test_a_kernel_with_tunnels_carries_home_addresses_as_strictly_as_ours(tmp_path: Path) -> None:
    said = pytest_inside(tmp_path / "out", HERE / "kernel_cases.py", modules=MODULES)
    assert f"{(HERE / 'kernel_cases.py').read_text().count('def test_')} passed" in said


if ASSURANCE:

    @pytest.mark.heavy
    def test_a_node_roams_on_kernels_that_have_tunnels(tmp_path: Path) -> None:
        """The whole journey of tests/journey/test_mobileip.py, as it stands; two minutes."""
        journey = HERE.parents[1] / "journey/test_mobileip.py"
        assert "2 passed" in pytest_inside(tmp_path / "out", journey, modules=MODULES, patience=JOURNEY)


def test_where_it_cannot_be_used_it_is_said_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "why_not", lambda: "Error: Unknown device type.")
    assert not kernel.chosen("auto")
    assert not kernel.chosen("user")
    with pytest.raises(RefusedError) as refused:
        kernel.chosen("kernel")
    assert refused.value.why == "Error: Unknown device type."


def test_a_device_has_a_name_that_the_kernel_takes() -> None:
    assert kernel.name(Address("255.255.255.255")) == "mipffffffff"
