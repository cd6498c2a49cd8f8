"""The memory maps of real chips in examples/models: the core takes them, updates images in them, and
brings cuts of every kind to the new image."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from neurath.delta.budget import Wish
from neurath.delta.build import build
from neurath.delta.simulate import target
from neurath.flash.geometry import Model, model_from_toml, model_to_toml
from neurath.flash.native import KINDS, bank_size, check_layout
from neurath.flash.profiles import SIMPLE
from neurath.sim.power import Story, walk
from tests.parts import ASSURANCE

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "models"
CHIPS = ("nrf52840", "stm32f407", "stm32l476", "rp2040")
#: Chips whose torn words cannot be read.
ECC = {"stm32l476"}
#: Erase sectors of each chip's bank, as its data sheet says.
SECTORS = {"nrf52840": {4096}, "stm32f407": {131072}, "stm32l476": {2048}, "rp2040": {4096}}


def chip(name: str) -> Model:
    return model_from_toml((FOLDER / f"{name}.toml").read_text())


def images(model: Model) -> tuple[bytes, bytes]:
    """Two releases of about 60 KiB, of 400 KiB where sectors are large, that differ here and there and by a shift."""
    dice = random.Random(model.name)
    size = 400_000 if max(SECTORS[model.name]) > 65536 else 60_000
    old = dice.randbytes(size)
    new = bytearray(old)
    for at in range(500, size, size // 5):
        new[at : at + 60] = dice.randbytes(60)
    new[size // 2 : size // 2] = dice.randbytes(700)
    return old, bytes(new)


@pytest.mark.parametrize("name", CHIPS)
def test_the_map_of_a_real_chip_is_one_the_core_keeps_its_promises_on(name: str) -> None:
    model = chip(name)
    check_layout(model.layout)
    assert model_from_toml(model_to_toml(model)) == model
    base = model.layout.bank[0].base
    assert {r.size for r in model.layout.regions if r.base <= base < r.base + r.size * r.count} == SECTORS[name]
    assert bank_size(model.layout) >= 640 * 1024


@pytest.mark.parametrize("name", CHIPS)
def test_an_update_in_the_map_of_a_real_chip_survives_cuts_of_every_kind(name: str) -> None:
    model = chip(name)
    old, new = images(model)
    delta = build(old, new, model.layout, Wish(profile=SIMPLE))
    ram = delta.ram_needed(model.layout, staged_in_ram=False)
    assert ram <= model.ram
    wanted = target(new, delta.data, model.layout)
    whole = Story(
        model.layout, old, new, delta.data, wanted, ram, ecc=name in ECC, kinds=tuple(KINDS), depth=1, few=0, stride=1 << 20
    )
    operations = walk(whole).operations
    stride = 1 if ASSURANCE else max(1, operations // 4)
    cuts = walk(
        Story(
            model.layout, old, new, delta.data, wanted, ram, ecc=name in ECC, kinds=tuple(KINDS), depth=1, few=0, stride=stride
        )
    )
    assert cuts.bricked == 0, cuts.where
    assert cuts.edges >= 4 * (len(KINDS) - 1)
