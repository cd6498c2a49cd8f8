"""Components that Debian's own updaters install: swupdate and rauc behind the command installer, each from packages signed for
it. They keep the installer's contract, and are killed at every operation of the agent's and in the middle of their own."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurath.terminal.machine import events as ev
from neurath.terminal.setup import Component, Hooks, Setup
from tests.contracts.installer import InstallerContract
from tests.parts import ASSURANCE, need
from tests.terminal.software.site import SoftwareSite
from tests.terminal.software.test_killed import kill_everywhere

pytestmark = pytest.mark.heavy

MKSWU = Path(__file__).resolve().parents[2] / "accept/mkswu.sh"
IMAGES = {"1.0": b"old " * 40_000, "2.0": b"old " * 30_000 + b"new " * 5000}


def certificate(place: Path) -> tuple[Path, Path]:
    """A certificate that signs packages, and its key."""
    pem, key = place / "sign.pem", place / "sign.key"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=packages", "-days", "3650"]
    words += ["-addext", "extendedKeyUsage=emailProtection", "-keyout", str(key), "-out", str(pem)]
    subprocess.run(words, check=True, capture_output=True)
    return pem, key


class Swupdate(SoftwareSite):
    """A component that comes as a .swu; what counts is the file that swupdate puts in its place."""

    def _versions(self) -> tuple[bytes, bytes]:
        self.pem, key = certificate(self.place)
        for version, data in IMAGES.items():
            image = self.place / f"{version}.bin"
            image.write_bytes(data)
            words = ["bash", MKSWU, version, image, self.path, "lab", self.place / f"{version}.swu", self.pem, key]
            subprocess.run([*map(str, words)], check=True, capture_output=True)
        return (self.place / "1.0.swu").read_bytes(), (self.place / "2.0.swu").read_bytes()

    def setup(self) -> tuple[Setup, Component]:
        setup, component = super().setup()
        # Debian 12's says "successful" and ends with 1 now and then: its word counts, not its code (docs/reference/agent.md).
        asks = f"""said=$(swupdate -H lab:1.0 -k {self.pem} -i "$0" 2>&1); echo "$said" >> {self.place}/../said
            case $said in *'SWUPDATE successful'*) ;; *) exit 1 ;; esac"""
        knows = (
            f"for v in 1.0 2.0; do cmp -s {self.path} {self.place}/$v.bin && exec sha256sum {self.place}/$v.swu; done; exit 1"
        )
        made = dataclasses.replace(
            component, install=("sh", "-c", asks, "{file}"), installed=("sh", "-c", knows),
            back=("sh", "-c", asks, str(self.place / "first")),
        )  # fmt: skip
        return dataclasses.replace(setup, components=(made,)), made

    def holds(self, data: bytes) -> bool:
        return self.path.read_bytes() == IMAGES["1.0" if data == self.old else "2.0"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    need("swupdate")
    # Its sockets lie there: another one may run on this machine.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "site").mkdir()
    return tmp_path


class TestSwupdate(InstallerContract):
    fields = ("envelope", "ticket", "file", "size")

    @pytest.fixture
    def site(self, place: Path) -> SoftwareSite:
        return Swupdate(place / "site", "command")


def test_what_swupdate_installed_and_fails_its_health_check_is_put_back_by_swupdate(place: Path) -> None:
    site = Swupdate(place / "site", "command", hooks=Hooks())
    site.hooks = Hooks(health=("sh", "-c", "exit 1"))
    unit = site.made()
    unit.start()
    unit.weigh(site.offer, in_ram=False)
    assert unit.rewrite(site.file, site.ram) == ev.Rewritten()
    assert site.updated()
    assert unit.start().candidate
    assert unit.self_test() == ev.SelfTested(False)
    assert unit.give_up() is not None
    assert site.untouched()


def test_a_package_that_swupdate_refuses_leaves_the_old_software(place: Path) -> None:
    """Signed as a release of ours and by nobody whom swupdate trusts."""
    site = Swupdate(place / "site", "command")
    (place / "other").mkdir()
    pem, key = certificate(place / "other")
    foreign = place / "foreign.swu"
    words = ["bash", MKSWU, "2.0", site.place / "2.0.bin", site.path, "lab", foreign, pem, key]
    subprocess.run([*map(str, words)], check=True, capture_output=True)
    offer, file = site.offered(foreign.read_bytes(), 2)
    unit = site.made_and_started()
    unit.weigh(offer, in_ram=False)
    assert unit.rewrite(file, site.ram) != ev.Rewritten(), "swupdate's own signature check stands"
    assert site.untouched()


def test_killed_at_every_operation_around_swupdate_it_is_old_or_new(place: Path) -> None:
    assert kill_everywhere(place, "command", made=Swupdate, every=1 if ASSURANCE else 4) > 20
