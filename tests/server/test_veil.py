"""A model whose files are veiled: no terminal or mirror is given a file as it was built, each terminal's is its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from sqlalchemy import select
from starlette.testclient import TestClient

from neurath.errors import DataError, NotFound
from neurath.flash import veil as core
from neurath.flash.geometry import model_to_toml
from neurath.server.api import management
from neurath.server.delivery import veils
from neurath.server.delivery.decision import Nothing, Offered
from neurath.server.fleet import actions
from neurath.server.software import repository, retention
from neurath.server.software.models import add_model, find_model
from neurath.server.store.tables import delta as deltas
from neurath.server.store.tables import veiled
from neurath.wire import keys, veil
from neurath.wire.veil import Recipient
from tests.server.world import MODEL, World, image

OLD, NEW = image(1), image(2)
SECRETS = {"t1": b"1" * 32, "t2": b"2" * 32}


@pytest.fixture
def world(world) -> World:
    with world.store.write() as db:
        add_model(db, model_to_toml(replace(MODEL, veiled=True)), [], 0.0)
    return world


def recipient(name: str, kind: str = "derived") -> Recipient:
    secret = SECRETS[name]
    return Recipient(kind, core.derived(secret) if kind == "derived" else keys.from_seed(secret).public.data)


def give(world: World, terminal, to: Recipient | None) -> None:
    with world.store.write() as db:
        veils.give(db, terminal, to, world.now)


def offered(world: World, terminal, bank: bytes = OLD):
    return world.delivery.check(terminal, world.says(bank), world.now)


def begun(world: World, *names: str) -> list:
    world.release("1", OLD, 1)
    newest = world.release("2", NEW, 2)
    terminals = [world.terminal(name) for name in names]
    world.start(newest, *terminals)
    return terminals


def test_the_policy_is_a_word_of_the_model_and_may_change_while_terminals_run(world):
    with world.store.read() as db:
        assert find_model(db, "phone").veiled
    world.terminal("t1")
    with world.store.write() as db:
        add_model(db, model_to_toml(MODEL), [], 0.0)
        assert not find_model(db, "phone").veiled
    assert "veiled" not in model_to_toml(MODEL)


def test_without_a_key_nothing_is_given_out_and_it_is_said_why(world):
    (terminal,) = begun(world, "t1")
    assert offered(world, terminal) is None
    assert "terminal veil ID KEY" in world.delivery.why(terminal, "firmware", world.now)
    assert isinstance(world.delivery.decide(terminal, "firmware", world.now), Nothing)


@pytest.mark.parametrize("kind", ["derived", "device"])
def test_each_terminal_has_a_file_of_its_own_and_the_build_is_shared(world, kind):
    terminals = begun(world, "t1", "t2")
    for terminal in terminals:
        give(world, terminal, recipient(terminal.id, kind))
    offers = [offered(world, terminal) for terminal in terminals]
    files = [world.store.files.verified(offer.file.hex()).read_bytes() for offer in offers]
    plain = set()
    for terminal, offer, data in zip(terminals, offers, files, strict=True):
        assert offer.size == len(data)
        start, key = veil.key_of(data, SECRETS[terminal.id])
        assert start == recipient(terminal.id, kind).header
        plain.add(opened(data, start, key))
    assert len(plain) == 1
    with world.store.read() as db:
        built = {row.file for row in db.execute(select(deltas))}
    assert {offer.file.hex() for offer in offers}.isdisjoint(built)
    assert world.delivery.deltas.builds == len(built)
    assert offers[0].file != offers[1].file
    assert offers[0].need >= offers[0].size


def opened(data: bytes, start: int, key: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).decryptor().update(data[start:])


def test_the_same_file_is_offered_again_while_it_is_here_and_another_key_makes_another(world):
    (terminal,) = begun(world, "t1")
    give(world, terminal, recipient("t1"))
    first = offered(world, terminal)
    assert offered(world, terminal).file == first.file
    give(world, terminal, recipient("t2"))
    second = offered(world, terminal)
    assert second.file != first.file
    assert second.action != first.action
    give(world, terminal, None)
    assert offered(world, terminal) is None


def test_what_was_open_when_the_policy_came_is_taken_back_and_given_out_veiled(world):
    with world.store.write() as db:
        add_model(db, model_to_toml(MODEL), [], 0.0)
    (terminal,) = begun(world, "t1")
    open_one = offered(world, terminal)
    with world.store.write() as db:
        add_model(db, model_to_toml(replace(MODEL, veiled=True)), [], 0.0)
    assert offered(world, terminal) is None
    give(world, terminal, recipient("t1"))
    hidden = offered(world, terminal)
    assert hidden.file != open_one.file
    assert isinstance(world.delivery.decide(terminal, "firmware", world.now), Offered)


def test_no_mirror_is_given_images_or_update_files_of_a_veiled_model(world):
    (terminal,) = begun(world, "t1")
    give(world, terminal, recipient("t1"))
    offered(world, terminal)
    with world.store.read() as db:
        built = [row.file for row in db.execute(select(deltas))]
        assert built
        assert repository._deltas(db) == {}
        image_of = str(db.execute(select(deltas.c.new)).scalars().first())
    for name in (*built, image_of):
        with pytest.raises(NotFound, match="no file"):
            repository.target(world.store, f"deltas/{name}.x.nru")
    with world.store.write() as db:
        add_model(db, model_to_toml(MODEL), [], 0.0)
    assert repository.target(world.store, f"deltas/{image_of}.x.nru").exists()


def test_a_file_that_nobody_was_given_for_long_goes_with_the_others(world):
    (terminal,) = begun(world, "t1")
    give(world, terminal, recipient("t1"))
    offer = offered(world, terminal)
    give(world, terminal, recipient("t2"))
    newer = offered(world, terminal)
    with world.store.write() as db:
        for one in actions.all_of(db, terminal.n):
            actions.end(db, one, "closed", world.now)
            actions.settle(db, one)
    gone = retention.prune(world.store, 1.0, world.now + 10 * 86400.0).files
    assert {offer.file.hex(), newer.file.hex()} <= set(gone)
    with world.store.read() as db:
        assert db.execute(select(veiled)).all() == []


def test_a_key_that_is_none_is_refused_by_request_and_no_request_shows_one(world):
    api = TestClient(management(world.store, world.delivery))
    world.terminal("t1")
    secret = str(recipient("t1"))
    assert api.put("/terminals/t1/veil", json={"veil": "nonsense"}).status_code == 422
    said = api.put("/terminals/t1/veil", json={"veil": secret})
    assert said.json() == {"terminal": "t1", "veil": "derived"}
    assert secret.split(":")[1] not in api.get("/terminals/t1").text
    with pytest.raises(DataError):
        veil.recipient("nonsense")
