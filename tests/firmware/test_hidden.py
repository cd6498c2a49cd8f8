"""Update files that hide, and files that a release key signed, on the emulated phone: a boot core that links hidden.c takes
what is for it, goes on with it after a power cut, and refuses what is another's or nobody's before the first erase."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from neurath.flash.veil import derived
from neurath.sim.nbd import Cut, left
from neurath.sim.radio import Radio
from neurath.wire import coap, keys
from tests.firmware.rig import KEY, OUT, Kit, kit
from tests.firmware.site import Home, home
from tests.rigs.verbs import verb

pytestmark = pytest.mark.heavy
#: What the application says where the core or its boot core refuses a file.
REFUSED = "refused by the core with -{:02}, nothing was erased"
FORMAT, TRUST = 2, 9


def phones(boot: str, size: int = 40_000) -> Kit:
    found = kit("sx1", size)
    return replace(found, boot=(OUT / "sx1" / boot).read_bytes())


@contextmanager
def policy(found: Kit, place: Path, said: str) -> Iterator[Home]:
    """A home whose server goes by this line of the model's file; nothing is offered before Home.begin()."""
    with home(found, place, later=True) as site:
        text = (Path(__file__).parents[2] / "firmware/models/sx1.toml").read_text()
        (place / "model.toml").write_text(f"{said}\n{text}")
        verb("model", "add", place / "model.toml", "--data", place / "data")
        yield site


@contextmanager
def veiled(found: Kit, place: Path, device_key: bytes) -> Iterator[Home]:
    """Files are hidden for whoever has this device key."""
    with policy(found, place, "veiled = true") as site:
        (place / "phone.veil").write_text(f"derived:{derived(device_key).hex()}\n")
        verb("terminal", "veil", "phone-1", place / "phone.veil", "--data", place / "data")
        site.begin()
        yield site


def first_bytes(radio: Radio) -> set[bytes]:
    """How the files began that went down."""
    answers = [coap.decode(datagram) for upward, datagram in list(radio.arrived) if not upward]
    return {m.payload[:4] for m in answers if (at := m.uint(coap.Q_BLOCK2)) is not None and at >> 4 == 0}


def test_a_phone_takes_a_file_that_it_alone_can_read_and_goes_on_with_it_after_a_cut(tmp_path: Path) -> None:
    found = phones("boot-hidden.bin", 180_000)
    bank = found.model.layout.bank[0]
    with veiled(found, tmp_path, found.factory().birth.device_key) as site:
        with site.on(site.flash) as (phone, radio):
            assert phone.says("link closed, rehearsal", 60), phone.said
            assert first_bytes(radio) == {b"NRV\x01"}
            radio.area.clear()
            assert phone.says("application 1.1", 60), phone.said
            operations = list(phone.disk.operations)
        at = [n for n, o in enumerate(operations, 1) if bank.base <= o.at < bank.end]
        torn = left(site.flash, operations, Cut(at[len(at) // 4], "early", 1))
        with site.on(torn) as (phone, radio):
            assert phone.says("update: confirmed", 200), phone.said
            assert b"in mid-rewrite" in phone.said
            assert b"NRV\x01" in first_bytes(radio)
            assert phone.disk.illegal == 0
            assert site.holds(phone.off(), "1.1")


@pytest.mark.parametrize("why", ["another's", "no hidden.c"])
def test_a_file_that_a_phone_cannot_read_erases_nothing(why: str, tmp_path: Path) -> None:
    found = phones("boot-hidden.bin" if why == "another's" else "boot.bin")
    device = found.factory().birth.device_key
    with veiled(found, tmp_path, bytes(32) if why == "another's" else device) as site, site.on(site.flash) as (phone, _):
        assert phone.says(REFUSED.format(TRUST if why == "another's" else FORMAT), 60), phone.said
        bank = found.model.layout.bank[0]
        assert not [o for o in phone.disk.operations if bank.base <= o.at < bank.end]
        assert site.holds(phone.off(), "1.0")


def hand_in(site: Home) -> None:
    """Signed files, made where the release key is: to the new release and, as its rescue by air needs one, back."""
    place = site.place
    keys.write_private(place / "key.pem", KEY)
    model = Path(__file__).parents[2] / "firmware/models/sx1.toml"
    for old, new in (("1.0", "1.1"), ("1.1", "1.0")):
        verb("delta", "create", place / f"{old}.bin", place / f"{new}.bin", "-o", place / "app.nru", "--model", model)
        signed = place / f"{new}.nrs"
        verb("delta", "sign", place / "app.nru", place / f"{new}.env", "--key", place / "key.pem", "-o", signed)
        verb("delta", "add", signed, "--model", site.kit.board, "--data", place / "data")


def test_a_phone_that_takes_signed_files_alone_takes_one(tmp_path: Path) -> None:
    with policy(phones("boot-signed.bin"), tmp_path, "signed = true") as site:
        hand_in(site)
        site.begin()
        with site.on(site.flash) as (phone, radio):
            assert phone.says("update: confirmed", 60), phone.said
            assert first_bytes(radio) == {b"NRS\x01"}
            assert site.holds(phone.off(), "1.1")


def test_a_phone_that_takes_signed_files_alone_refuses_what_its_server_built(tmp_path: Path) -> None:
    """The server was taken over, or its model's file says otherwise than the boot core."""
    with home(phones("boot-signed.bin"), tmp_path) as site, site.on(site.flash) as (phone, _):
        assert phone.says(REFUSED.format(TRUST), 60), phone.said
        bank = site.kit.model.layout.bank[0]
        assert not [o for o in phone.disk.operations if bank.base <= o.at < bank.end]
        assert site.holds(phone.off(), "1.0")
