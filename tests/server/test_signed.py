"""A model that takes only update files which a release key signed offline: the server builds none for it, gives out what was
handed in and tried, and says what is missing."""

from __future__ import annotations

import base64
from dataclasses import replace
from functools import cache

import pytest
from starlette.testclient import TestClient

from neurath import delta
from neurath.errors import DataError, NotFound, TrustError
from neurath.flash import veil as core
from neurath.flash.geometry import model_to_toml
from neurath.server.api import management
from neurath.server.delivery import veils
from neurath.server.software import handed
from neurath.server.software.models import add_model
from neurath.wire import signed, veil
from neurath.wire.keys import from_seed
from neurath.wire.veil import Recipient
from tests.server.world import KEY, MODEL, World, image

OLD = image(1, 20_000)
NEW = OLD[:6_000] + image(2, 3_000) + OLD[9_000:]
OTHER = OLD[:2_000] + image(3, 1_000) + OLD[3_000:]


@pytest.fixture
def world(world) -> World:
    lay_down(world, signed=True)
    world.release("1", OLD, 1)
    world.release("2", NEW, 2)
    return world


def lay_down(world: World, **policies: bool) -> None:
    with world.store.write() as db:
        add_model(db, model_to_toml(replace(MODEL, **policies)), [], 0.0)


@cache
def built(old: bytes, new: bytes) -> bytes:
    return delta.build(old, new, MODEL.layout).data if old else delta.full(new, MODEL.layout).data


def envelope(world: World, name: str) -> bytes:
    from neurath.server.software import catalog

    with world.store.read() as db:
        return bytes.fromhex(catalog.find_release(db, f"phone/{name}").envelope_digest)[:16]


def handed_in(world: World, old: bytes = OLD, new: bytes = NEW, version: str = "2") -> bytes:
    data = signed.sign(built(old, new), envelope(world, version), KEY)
    handed.hand_in(world.store, "phone", data, world.now)
    return data


def begun(world: World):
    from neurath.server.software import catalog

    terminal = world.terminal("t1")
    with world.store.read() as db:
        release = catalog.find_release(db, "phone/2")
    world.start(release, terminal)
    return terminal


def offered(world: World, terminal):
    return world.delivery.check(terminal, world.says(OLD), world.now)


def test_nothing_is_built_and_it_is_said_what_is_missing(world):
    terminal = begun(world)
    assert offered(world, terminal) is None
    assert "neurath delta sign" in world.delivery.why(terminal, "firmware", world.now)
    assert world.delivery.deltas.builds == 0


def test_what_was_handed_in_is_offered_as_it_was_signed(world):
    terminal = begun(world)
    data = handed_in(world)
    offer = offered(world, terminal)
    assert offer.size == len(data)
    assert world.store.files.verified(offer.file.hex()).read_bytes() == data
    assert world.delivery.deltas.builds == 0


def test_who_would_have_been_made_a_quick_file_takes_one_of_the_small_profile(world):
    terminal = begun(world)
    data = signed.sign(delta.build(OLD, NEW, MODEL.layout, delta.Wish(2)).data, envelope(world, "2"), KEY)
    handed.hand_in(world.store, "phone", data, world.now)
    offer = world.delivery.check(terminal, replace(world.says(OLD), profiles=0b100111), world.now)
    assert offer.size == len(data)


def test_a_full_image_is_handed_in_for_a_terminal_whose_base_nobody_knows(world):
    terminal = begun(world)
    handed_in(world)
    whole = handed_in(world, b"", NEW)
    offer = world.delivery.check(terminal, world.says(image(77)), world.now)
    assert offer.size == len(whole)


def test_where_there_must_be_a_way_back_that_is_handed_in_too(world):
    """A return delta goes below the floor: it is a release signed above it that is handed in (docs/how-to/signed.md)."""
    lay_down(world, signed=True)
    with world.store.write() as db:
        from neurath.server.store.tables import model as models

        toml = model_to_toml(replace(MODEL, signed=True, rescue="modem"))
        db.execute(models.update().where(models.c.name == "phone").values(toml=toml))
    terminal = begun(world)
    handed_in(world)
    assert offered(world, terminal) is None
    assert "no way back" in world.delivery.why(terminal, "firmware", world.now)
    handed_in(world, NEW, OLD, "1")
    assert offered(world, terminal) is not None


def test_a_plain_file_that_was_open_when_the_policy_came_is_taken_back(world):
    lay_down(world)
    terminal = begun(world)
    plain = offered(world, terminal)
    assert plain is not None
    lay_down(world, signed=True)
    assert offered(world, terminal) is None
    handed_in(world)
    assert offered(world, terminal).file != plain.file


def test_signed_and_veiled_go_together(world):
    lay_down(world, signed=True, veiled=True)
    terminal = begun(world)
    data = handed_in(world)
    secret = b"1" * 32
    with world.store.write() as db:
        veils.give(db, terminal, Recipient("derived", core.derived(secret)), world.now)
    offer = offered(world, terminal)
    hidden = world.store.files.verified(offer.file.hex()).read_bytes()
    start, _ = veil.key_of(hidden, secret)
    assert len(hidden) == start + len(data)
    assert offered(world, terminal).file == offer.file


@pytest.mark.parametrize("what", ["nobody", "a stranger", "another release", "another image", "not known", "no file"])
def test_what_is_not_signed_for_the_release_it_makes_is_not_taken_in(world, what):
    good, name = built(OLD, NEW), envelope(world, "2")
    made = {
        "nobody": lambda: good,
        "a stranger": lambda: signed.sign(good, name, from_seed(b"s" * 32)),
        "another release": lambda: signed.sign(good, envelope(world, "1"), KEY),
        "another image": lambda: signed.sign(built(OLD, OTHER), name, KEY),
        "not known": lambda: signed.sign(good, b"n" * 16, KEY),
        "no file": lambda: signed.sign(b"nothing", name, KEY),
    }
    with pytest.raises((DataError, TrustError, NotFound)):
        handed.hand_in(world.store, "phone", made[what](), world.now)
    terminal = begun(world)
    assert offered(world, terminal) is None


def test_it_is_handed_in_by_request_as_by_the_verb(world):
    api = TestClient(management(world.store, world.delivery))
    data = signed.sign(built(OLD, NEW), envelope(world, "2"), KEY)
    said = api.post("/deltas", json={"model": "phone", "signed": base64.b64encode(data).decode()})
    assert said.status_code == 201
    assert (said.json()["old"], said.json()["new"], said.json()["size"]) == ("1", "2", len(data))
    assert api.post("/deltas", json={"model": "phone", "signed": "AAAA"}).status_code == 422
    assert offered(world, begun(world)).size == len(data)
