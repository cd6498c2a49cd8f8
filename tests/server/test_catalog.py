"""The catalog: what a digest is, who may be offered what, and what is refused at the door."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from neurath.errors import DataError, NeurathError, NotFound, NothingToDo, RefusedError, TrustError, UsageError
from neurath.flash.geometry import Model, model_to_toml, simple_layout
from neurath.flash.isas import THUMB
from neurath.ids import ModelName, digest
from neurath.server.fleet.rollout import Plan, create, move
from neurath.server.fleet.selection import select_release
from neurath.server.software import catalog
from neurath.server.software.catalog import Upload
from neurath.server.software.models import add_model, add_plain_model, find_model, model_keys
from neurath.server.software.upload import read_upload
from neurath.wire import manifest
from neurath.wire.keys import from_seed, public_pem
from tests.server.world import KEY, MODEL, image

VECTORS = Path(__file__).parents[2] / "vectors/raucb"
OTHER = Model(ModelName("tablet"), simple_layout(64 * 1024), ram=48 * 1024)


def sealed(data, model=MODEL, key=KEY, **more):
    return manifest.sign(manifest.contents_of(data, model, **({"sequence": 1} | more)), key)


def add(world, data, version="1", model="phone", **more):
    return catalog.add(world.store, Upload(data, model, version, **more), world.now)


def test_many_models_and_versions_are_told_apart_by_the_banks_digest_alone(world):
    with world.store.write() as db:
        add_model(db, model_to_toml(OTHER), [public_pem(KEY.public).decode()], 0.0)
    made = {}
    for model in (MODEL, OTHER):
        for number in range(1, 4):
            data = image(number)  # the same bytes on both models
            made[model.name, number] = add(
                world, data, f"{number}.0", model.name, envelope=sealed(data, model, sequence=number)
            )
    with world.store.read() as db:
        for (model, number), release in made.items():
            assert catalog.installed(db, model, "firmware", digest(image(number)).hex(), 40_000) == release
            assert catalog.installed(db, model, "firmware", digest(image(number)).hex(), 39_999) is None
        assert catalog.installed(db, "phone", "firmware", "00" * 32, 40_000) is None
        assert [r.version for r in catalog.list_releases(db, "phone")] == ["3.0", "2.0", "1.0"]


def test_the_newest_release_is_selected_per_terminal_and_nothing_newer_is_nothing(world):
    one, two = world.terminal("one"), world.terminal("two")
    releases = [world.release(f"{n}.0", image(n), n) for n in (1, 2, 3)]
    world.start(releases[1])
    world.start(releases[2], one)
    world.start(releases[0])

    def selected(terminal):
        with world.store.read() as db:
            return select_release(db, terminal, "firmware")

    assert selected(one).release == releases[2]
    assert selected(two).release == releases[1]
    assert world.delivery.check(one, world.says(image(3), 3), 2000.0) is None
    assert world.delivery.why(one, "firmware", 2000.0) == "runs 3.0 already"


def test_an_envelope_must_be_signed_by_a_key_of_the_model(world):
    data = image(1)
    with pytest.raises(TrustError):
        add(world, data, envelope=sealed(data, key=from_seed(bytes(32))))
    broken = bytearray(sealed(data))
    broken[-1] ^= 1
    with pytest.raises(NeurathError):
        add(world, data, envelope=bytes(broken))
    with world.store.read() as db:
        assert catalog.list_releases(db) == []


def test_an_envelope_for_another_model_image_or_leaf_list_is_refused(world):
    data = image(1)
    good = manifest.contents_of(data, MODEL, sequence=1)
    with pytest.raises(RefusedError):
        add(world, data, envelope=sealed(data, OTHER))
    wrong = [
        sealed(image(2)),
        manifest.sign(replace(good, leaves=bytes(32)), KEY),
        manifest.sign(replace(good, leaf=8192), KEY),
        manifest.sign(replace(good, image_size=39_999), KEY),
    ]
    for envelope in wrong:
        with pytest.raises(DataError):
            add(world, data, envelope=envelope)
    assert add(world, data, envelope=manifest.sign(good, KEY)).sequence == 1


def test_an_image_larger_than_the_bank_is_refused_before_it_is_kept(world):
    data = bytes(MODEL.layout.bank_size + 1)
    with pytest.raises(RefusedError):
        add(world, data)
    assert not world.store.files.path(digest(data).hex()).exists()


def test_the_same_again_is_nothing_to_do_and_other_content_is_refused(world):
    data = image(1)
    add(world, data, envelope=sealed(data))
    with pytest.raises(NothingToDo):
        add(world, data, envelope=sealed(data))
    with pytest.raises(NothingToDo):
        add(world, data)
    with pytest.raises(RefusedError):
        add(world, image(2))
    with pytest.raises(RefusedError):
        add(world, data, envelope=sealed(data, sequence=7))


def test_an_envelope_may_follow_later_and_before_it_nothing_is_offered(world):
    release = add(world, image(1))
    with pytest.raises(RefusedError), world.store.write() as db:
        create(db, Plan(release, None), 0.0)
    signed = add(world, image(1), envelope=sealed(image(1)))
    assert signed.id == release.id
    with world.store.write() as db:
        assert create(db, Plan(signed, None), 0.0).state == "draft"


def test_a_private_key_never_enters_the_server(world):
    with world.store.write() as db, pytest.raises(RefusedError) as caught:
        add_model(db, model_to_toml(MODEL), [KEY.pem().decode()], 0.0)
    assert "private" in caught.value.what
    with world.store.read() as db:
        assert all(b"PRIVATE" not in pem for pem in model_keys(db, "phone"))


def test_a_memory_map_that_terminals_run_is_not_changed(world):
    changed = model_to_toml(replace(MODEL, layout=simple_layout(128 * 1024)))
    with world.store.write() as db:
        add_model(db, changed, [], 0.0)
        add_model(db, model_to_toml(MODEL), [], 0.0)
    world.terminal()
    with pytest.raises(RefusedError), world.store.write() as db:
        add_model(db, changed, [], 0.0)


def test_what_instruction_sets_a_core_has_may_be_named_when_terminals_run_the_map(world):
    world.terminal()
    named = replace(MODEL, layout=replace(MODEL.layout, code=(THUMB,)))
    with world.store.write() as db:
        add_model(db, model_to_toml(named), [], 0.0)
        assert find_model(db, "phone") == named


@pytest.mark.parametrize("name", ["none", "phone/9", "phone/1/other", "99", "", "a/b/c/d", "١"])
def test_a_release_that_is_not_there_is_not_found(world, name):
    with world.store.read() as db, pytest.raises(NotFound):
        catalog.find_release(db, name)


def test_a_rollout_moves_only_where_it_may(world):
    release = world.release("1.0", image(1), 1)
    made = world.start(release)
    for command in ("pause", "start", "pause", "abort"):
        world.move(made, command)
    with pytest.raises(NothingToDo):
        world.move(made, "abort")
    for command in ("start", "pause"):
        with pytest.raises(RefusedError):
            world.move(made, command)


def test_a_rollout_takes_no_terminal_of_another_model(world):
    release = world.release("1.0", image(1), 1)
    with world.store.write() as db:
        add_plain_model(db, "lab", 0.0)
    stranger = world.terminal("s", "lab")
    with pytest.raises(RefusedError), world.store.write() as db:
        create(db, Plan(release, [stranger]), 0.0)


def test_a_paused_rollout_offers_nothing_and_goes_on_when_started(world):
    terminal = world.terminal()
    world.release("1.0", image(1), 1)
    made = world.start(world.release("2.0", image(2), 2))
    world.move(made, "pause")
    assert world.delivery.check(terminal, world.says(image(1)), 2000.0) is None
    with world.store.write() as db:
        move(db, made.id, "start", 0.0)
    assert world.delivery.check(terminal, world.says(image(1)), 2001.0) is not None


@pytest.mark.parametrize("name", ["../../etc/passwd", 'a"b\r\nX: y', "", "...", "ファーム.bin", "x" * 300 + ".bin"])
def test_a_file_name_from_outside_becomes_harmless(name):
    taken = read_upload(b"\x01\x02\x03\x04" * 16, name, None)
    assert taken.filename
    assert len(taken.filename) <= 100
    assert all(c.isascii() and (c.isalnum() or c in "._-") for c in taken.filename)
    assert taken.filename[0].isalnum()


def test_a_package_has_the_version_it_says_and_is_for_the_devices_it_names(world):
    with world.store.write() as db:
        add_plain_model(db, "board", 0.0, ['Lab Board "1"', "lab-2"])
        add_plain_model(db, "any", 0.0)
        with pytest.raises(UsageError):
            add_plain_model(db, "odd", 0.0, ["two\nlines"])
    bundle = read_upload((VECTORS / "plain.raucb").read_bytes(), "x.raucb", None)
    assert (bundle.kind, bundle.says, bundle.compatible) == ("raucb", "2026.11-3", ('Lab Board "1"',))
    with pytest.raises(RefusedError, match="no version 3"):
        catalog.add(world.store, replace(bundle, model="board", version="3"), 0.0)
    made = catalog.add(world.store, replace(bundle, model="board", version="2026.11-3"), 0.0)
    assert made.compatible == ('Lab Board "1"',)
    for words in ((), ("other",)):
        wrong = replace(bundle, model="board", version="2026.11-3", data=bytes([len(words)]), compatible=words)
        with pytest.raises(RefusedError, match="not for model board"):
            catalog.add(world.store, wrong, 0.0)
        assert not world.store.files.sound(digest(wrong.data).hex())  # nothing of it was kept
        catalog.add(world.store, replace(wrong, model="any", version="2026.11-3", component=f"c{len(words)}"), 0.0)
