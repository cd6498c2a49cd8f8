"""Components that Debian's own updaters install: swupdate and rauc behind the command installer, each from packages signed for
it. They keep the installer's contract, and are killed at every operation that the agent does around them."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import time
from collections.abc import Callable, Iterator
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


class Updater(SoftwareSite):
    """A component that another updater installs."""

    def _by(self, asks: str, knows: str) -> tuple[Setup, Component]:
        """The setup, by two lines of shell: one installs the package at $0, one says which of them is installed."""
        setup, component = super().setup()
        made = dataclasses.replace(
            component, install=("sh", "-c", asks, "{file}"), installed=("sh", "-c", knows),
            back=("sh", "-c", asks, str(self.place / "first")),
        )  # fmt: skip
        return dataclasses.replace(setup, components=(made,)), made


class Swupdate(Updater):
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
        # Debian 12's says "successful" and ends with 1 now and then: its word counts, not its code (docs/reference/agent.md).
        asks = f"""said=$(swupdate -H lab:1.0 -k {self.pem} -i "$0" 2>&1); echo "$said" >> {self.place}/../said
            case $said in *'SWUPDATE successful'*) ;; *) exit 1 ;; esac"""
        knows = (
            f"for v in 1.0 2.0; do cmp -s {self.path} {self.place}/$v.bin && exec sha256sum {self.place}/$v.swu; done; exit 1"
        )
        return self._by(asks, knows)

    def holds(self, data: bytes) -> bool:
        return self.path.read_bytes() == IMAGES["1.0" if data == self.old else "2.0"]


CONF = """[system]
compatible=lab
bootloader=noop
mountprefix={place}/mnt
statusfile={place}/status
[keyring]
path={place}/sign.pem
[slot.rootfs.0]
device={place}/running
type=raw
bootname=system0
[slot.rootfs.1]
device={path}
type=raw
bootname=system1
"""
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={bus}</listen><policy context="default"><allow send_destination="*"/>
<allow receive_sender="*"/><allow own="*"/></policy></busconfig>
"""


class Rauc(Updater):
    """A component that comes as a bundle; what counts is the slot that does not run, which is a file here."""

    def _versions(self) -> tuple[bytes, bytes]:
        pem, key = certificate(self.place)
        (self.place / "mnt").mkdir()
        for slot in (self.path, self.place / "running"):
            slot.write_bytes(bytes(1 << 20))
        for version, data in IMAGES.items():
            tree = self.place / f"tree-{version}"
            tree.mkdir()
            (tree / "rootfs.img").write_bytes(data)
            (self.place / f"{version}.bin").write_bytes(data)
            (tree / "manifest.raucm").write_text(
                f"[update]\ncompatible=lab\nversion={version}\n[image.rootfs]\nfilename=rootfs.img\n"
            )
            words = ["rauc", "--cert", pem, "--key", key, "bundle", tree, self.place / f"{version}.raucb"]
            subprocess.run([*map(str, words)], check=True, capture_output=True)
        (self.place / "system.conf").write_text(CONF.format(place=self.place, path=self.path))
        RUNNING.append(Service(self.place))
        return (self.place / "1.0.raucb").read_bytes(), (self.place / "2.0.raucb").read_bytes()

    def setup(self) -> tuple[Setup, Component]:
        knows = (
            f"for v in 1.0 2.0; do cmp -s -n $(stat -c %s {self.place}/$v.bin) {self.path} {self.place}/$v.bin "
            f"&& exec sha256sum {self.place}/$v.raucb; done; exit 1"
        )
        # It takes files by their ending alone.
        asks = 'ln -f "$0" "$0.raucb" && rauc install "$0.raucb"; code=$?; rm -f "$0.raucb"; exit $code'
        return self._by(asks, knows)

    def holds(self, data: bytes) -> bool:
        wanted = IMAGES["1.0" if data == self.old else "2.0"]
        return self.path.read_bytes()[: len(wanted)] == wanted


#: What a test started and its fixture ends.
RUNNING: list[Service] = []


class Service:
    """rauc's service on a bus of its own."""

    def __init__(self, place: Path) -> None:
        bus = place.parent / "bus"
        (place.parent / "bus.conf").write_text(BUS.format(bus=bus))
        self._started = [subprocess.Popen(["dbus-daemon", f"--config-file={place.parent}/bus.conf", "--nofork"])]
        until(bus.exists)
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={bus}"
        words = ["rauc", f"--conf={place}/system.conf", "--override-boot-slot=system0", "service"]
        with (place.parent / "service.log").open("wb") as log:
            self._started.append(subprocess.Popen(words, stdout=log, stderr=log))
        asks = ["rauc", "status"]
        until(lambda: subprocess.run(asks, capture_output=True, check=False).returncode == 0)

    def end(self) -> None:
        for process in reversed(self._started):
            process.terminate()
            process.wait(20)


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def raucs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for part in ("rauc", "mksquashfs", "loop", "dbus-daemon"):
        need(part)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "")
    (tmp_path / "site").mkdir()
    yield tmp_path
    while RUNNING:
        RUNNING.pop().end()


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


class TestRauc(InstallerContract):
    fields = ("envelope", "ticket", "file", "size")

    @pytest.fixture
    def site(self, raucs: Path) -> SoftwareSite:
        return Rauc(raucs / "site", "command")


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


def test_killed_at_every_operation_around_rauc_it_is_old_or_new(raucs: Path) -> None:
    assert kill_everywhere(raucs, "command", made=Rauc, every=1 if ASSURANCE else 4) > 20
