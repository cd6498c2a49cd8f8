"""Watched folders: what a file with its envelope becomes, what touching, copying, breaking and restarting change (nothing they
should not). The real server with a real folder and a real stream is in tests/journey/test_watched_folder.py."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from neurath.errors import NothingToDo, RefusedError
from neurath.server.fleet import rollout, selection
from neurath.server.software import catalog
from neurath.server.software.catalog import Upload
from neurath.server.software.models import add_plain_model
from neurath.server.watch import arrival, folders, monitor
from neurath.server.watch.folders import Binding, Standing
from neurath.server.watch.monitor import Watch
from neurath.server.watch.stillness import SETTLE, SETTLE_UNSIGNED, Stillness, version_in
from neurath.wire import manifest
from neurath.wire.keys import from_seed
from tests.server.world import KEY, MODEL, World, image

STRANGER = from_seed(b"somebody else's release key.....")


def seal(data: bytes, sequence: int, version: str = "", key=KEY) -> bytes:
    return manifest.sign(manifest.contents_of(data, MODEL, sequence=sequence, version=version), key)


class Bench:
    """A watched folder, and a clock that only the test moves."""

    def __init__(self, world: World, directory: Path) -> None:
        self.world = world
        self.directory = directory
        self.seconds = 0.0
        self.restart()

    def restart(self) -> None:
        self.watch = Watch(self.world.store, lambda: self.world.now, Stillness(lambda: self.seconds))

    def bind(self, **more) -> None:
        with self.world.store.write() as db:
            folders.add(db, Binding(self.directory, "phone", "firmware", **more), 1.0)

    def drop(self, name: str, data: bytes, envelope: bytes | None = None) -> None:
        (self.directory / name).write_bytes(data)
        if envelope is not None:
            (self.directory / f"{name}.suit").write_bytes(envelope)

    def look(self, *pauses: float) -> None:
        self.watch.look()
        for pause in pauses or (SETTLE,):
            self.seconds += pause
            self.watch.look()

    def found(self):
        with self.world.store.read() as db:
            folder = folders.find(db, str(self.directory))
            return {one.name: one for one in folders.found_in(db, folder.id)}

    def releases(self) -> list[str]:
        with self.world.store.read() as db:
            return [one.name for one in catalog.list_releases(db)]

    def rollouts(self):
        with self.world.store.read() as db:
            return rollout.all_rollouts(db)


@pytest.fixture
def bench(world, tmp_path):
    (tmp_path / "in").mkdir()
    return Bench(world, tmp_path / "in")


def test_a_file_with_its_envelope_becomes_a_release_of_the_version_that_was_signed(bench):
    bench.bind()
    bench.drop("anything.bin", image(1), seal(image(1), 7, "2.5"))
    bench.look()
    assert bench.releases() == ["phone/2.5"]
    assert bench.found()["anything.bin"].standing is Standing.RELEASED
    assert bench.rollouts() == []  # it waits for a person


def test_an_envelope_without_a_version_word_names_the_release_by_its_sequence(bench):
    bench.bind()
    bench.drop("app.bin", image(1), seal(image(1), 7))
    bench.look()
    assert bench.releases() == ["phone/sequence-7"]


def test_without_its_envelope_a_file_waits_and_says_so_until_the_envelope_comes(bench):
    bench.bind(auto=True)
    bench.drop("app.bin", image(1))
    bench.look()
    found = bench.found()["app.bin"]
    assert (found.standing, found.note) == (Standing.WAITING, "no envelope beside it (app.bin.suit)")
    assert bench.releases() == []
    bench.drop("app.bin", image(1), seal(image(1), 1, "1"))
    bench.look()
    assert bench.releases() == ["phone/1"]


def test_a_replaced_file_waits_for_its_own_envelope_and_is_then_the_next_release(bench):
    bench.bind(auto=True)
    bench.drop("app.bin", image(1), seal(image(1), 1, "1"))
    bench.look()
    bench.drop("app.bin", image(2))
    bench.look()
    assert bench.found()["app.bin"].note == "the envelope beside it is for another image"
    bench.drop("app.bin", image(2), seal(image(2), 2, "2"))
    bench.look()
    assert bench.releases() == ["phone/2", "phone/1"]
    assert [one.state for one in bench.rollouts()] == ["running", "running"]


def test_touching_without_a_change_and_restarting_do_nothing(bench):
    bench.bind(auto=True)
    bench.drop("app.bin", image(1), seal(image(1), 1, "1"))
    bench.look()
    before = bench.rollouts(), bench.found()
    os.utime(bench.directory / "app.bin")
    bench.look()
    (bench.directory / "app.bin").write_bytes(image(1))
    bench.look()
    bench.restart()
    bench.look()
    assert (bench.rollouts(), bench.found()) == before


def test_a_change_that_keeps_size_and_modification_time_is_noticed(bench):
    bench.bind()
    bench.drop("app.bin", image(1), seal(image(1), 1, "1"))
    bench.look()
    kept = (bench.directory / "app.bin").stat()
    (bench.directory / "app.bin").write_bytes(image(2))
    os.utime(bench.directory / "app.bin", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    bench.look()
    assert bench.found()["app.bin"].standing is Standing.WAITING


def test_a_file_that_still_grows_waits_and_half_a_file_is_never_released(bench):
    bench.bind(auto=True)
    whole = image(1)
    bench.drop("app.bin", b"", seal(whole, 1, "1"))
    for end in range(0, len(whole), 9000):
        with (bench.directory / "app.bin").open("ab") as out:
            out.write(whole[end : end + 9000])
        bench.watch.look()
        bench.seconds += SETTLE / 2
    assert bench.found() == {}
    # A copy that stalls for ever so long is half an image, and the envelope says so.
    bench.drop("slow.bin", whole[:9000], seal(whole, 1, "1"))
    bench.look(SETTLE, 1000.0)
    assert bench.found()["slow.bin"].standing is Standing.WAITING
    bench.drop("slow.bin", whole)
    bench.look()
    assert bench.releases() == ["phone/1"]
    assert len(bench.rollouts()) == 1


def test_a_copiers_leftovers_hidden_files_and_folders_are_nothing(bench):
    bench.bind()
    for name in ("app.bin.part", ".app.bin.Xq2", "app.bin~", "lonely.suit"):
        bench.drop(name, image(1))
    (bench.directory / "folder.bin").mkdir()
    (bench.directory / os.fsdecode(b"\xff.bin")).write_bytes(image(1))
    bench.look()
    assert bench.found() == {}


def test_what_is_not_to_be_trusted_is_refused_with_the_reason_and_stops_nothing(bench):
    bench.bind(auto=True)
    bench.drop("a-bad.bin", image(1), seal(image(1), 1, "1", STRANGER))
    bench.drop("b-junk.bin", image(2), b"not an envelope")
    bench.drop("c-good.bin", image(3), seal(image(3), 3, "3"))
    bench.drop("d-same-version.bin", image(4), seal(image(4), 4, "3"))
    bench.look()
    found = bench.found()
    assert [one.standing for one in found.values()] == [Standing.REFUSED] * 2 + [Standing.RELEASED, Standing.REFUSED]
    assert all(one.note for one in found.values() if one.standing is Standing.REFUSED)
    assert "other content" in found["d-same-version.bin"].note
    assert bench.releases() == ["phone/3"]


def test_a_folder_that_is_missing_is_reported_and_the_others_go_on(bench, world, tmp_path):
    gone = tmp_path / "gone"
    with world.store.write() as db:
        folders.add(db, Binding(gone, "phone", "radio"), 1.0)
    bench.bind()
    bench.drop("app.bin", image(1), seal(image(1), 1, "1"))
    bench.look()
    assert bench.releases() == ["phone/1"]
    with world.store.read() as db:
        assert folders.find(db, str(gone)).trouble == "No such file or directory"
        assert [(one.path, one.note) for one in folders.waiting(db)] == [(str(gone), "No such file or directory")]
    gone.mkdir()
    bench.look()
    with world.store.read() as db:
        assert folders.waiting(db) == []


def test_a_file_that_goes_takes_its_line_with_it_and_leaves_its_release(bench):
    bench.bind()
    bench.drop("app.bin", image(1), seal(image(1), 1, "1"))
    bench.look()
    (bench.directory / "app.bin").unlink()
    bench.look()
    assert bench.found() == {}
    assert bench.releases() == ["phone/1"]


def test_a_rollout_by_policy_goes_to_the_named_terminals_only(bench, world):
    named, other = world.terminal("t1"), world.terminal("t2")
    bench.bind(auto=True, terminals=(named,))
    bench.drop("app.bin", image(1), seal(image(1), 1, "1"))
    bench.look()
    with world.store.read() as db:
        assert selection.select_release(db, named, "firmware").release.version == "1"
        assert selection.select_release(db, other, "firmware") is None


@pytest.mark.parametrize("auto", [True, False])
def test_command_upload_and_folder_end_in_the_same_release_and_the_same_rollout(bench, world, auto):
    bench.bind(auto=auto)
    by_hand = Upload(image(1), "phone", "1", envelope=seal(image(1), 1, "1"))
    came = arrival.arrive(world.store, by_hand, 5.0)
    assert (came.rollout is not None) == auto
    bench.drop("app.bin", image(1), seal(image(1), 1, "1"))
    bench.look()
    assert bench.found()["app.bin"].release == came.release.id
    assert [one.id for one in bench.rollouts()] == ([came.rollout] if auto else [])
    with pytest.raises(NothingToDo):
        arrival.arrive(world.store, by_hand, 6.0).news()


def test_a_rollout_that_a_person_aborted_is_not_begun_again(bench, world):
    bench.bind(auto=True)
    bench.drop("app.bin", image(1), seal(image(1), 1, "1"))
    bench.look()
    world.move(bench.rollouts()[0], "abort")
    bench.restart()
    bench.look()
    assert [one.state for one in bench.rollouts()] == ["aborted"]


def test_a_crash_between_release_and_rollout_is_made_good_at_the_next_look(bench, world):
    bench.bind(auto=True)
    bench.drop("app.bin", image(1), seal(image(1), 1, "1"))
    catalog.add(world.store, Upload(image(1), "phone", "1", envelope=seal(image(1), 1, "1")), 5.0)
    assert bench.rollouts() == []
    bench.look()
    assert [one.state for one in bench.rollouts()] == ["running"]


def test_a_busy_store_is_no_verdict_on_a_file(bench, monkeypatch):
    bench.bind()
    bench.drop("app.bin", image(1), seal(image(1), 1, "1"))
    with monkeypatch.context() as patch:

        def busy(*_):
            raise RefusedError("the store is busy", "locked", "later", id="NRT-310")

        patch.setattr(arrival, "arrive", busy)
        bench.look()
        assert bench.found() == {}
    bench.look()
    assert bench.releases() == ["phone/1"]


def test_a_package_needs_a_version_in_its_name_and_a_longer_rest(bench, world):
    with world.store.write() as db:
        add_plain_model(db, "router", 0.0)
        folders.add(db, Binding(bench.directory, "router", "firmware"), 1.0)
    head = b"".join(b"%08X" % n for n in (1, 0o100644, 0, 0, 1, 0, 14, 0, 0, 0, 0, 15, 0))
    package = b"070701" + head + b"sw-description\0" + bytes(3) + b'version="1.2";' + b"070701TRAILER!!!\0"
    bench.drop("update-1.2.swu", package)
    bench.drop("nameless.swu", package + b"\0")
    bench.look()
    assert bench.found() == {}
    bench.look(SETTLE_UNSIGNED)
    assert bench.releases() == ["router/1.2"]
    assert bench.found()["nameless.swu"].standing is Standing.REFUSED


def test_one_component_has_one_folder(bench, world, tmp_path):
    bench.bind()
    with world.store.write() as db, pytest.raises(NothingToDo):
        folders.add(db, Binding(bench.directory, "phone", "firmware"), 1.0)
    with world.store.write() as db, pytest.raises(RefusedError):
        folders.add(db, Binding(tmp_path, "phone", "firmware"), 1.0)


@pytest.mark.parametrize(
    ("name", "version"),
    [("app-1.4.0.swu", "1.4.0"), ("app_v2.bin", "2"), ("app-1.0-rc.1.bin", "1.0-rc.1"), ("app.bin", ""), ("app2.bin", "")],
)
def test_versions_are_read_from_file_names(name, version):
    assert version_in(name) == version


@pytest.mark.parametrize("told", ["nothing comes", "it cannot be watched"])
def test_where_the_system_says_nothing_about_changes_the_clock_finds_them(bench, monkeypatch, told):
    """P2: a network share, or no inotify watches left."""

    async def silent(*paths, **how):
        if told == "it cannot be watched":
            raise OSError(28, "inotify watch limit reached")
        await asyncio.Event().wait()
        yield

    async def story():
        started = asyncio.Event()
        watching = asyncio.create_task(monitor.run(Watch(bench.world.store, lambda: bench.world.now), started))
        try:
            await asyncio.sleep(2 * monitor.EVERY / 10)  # it has looked, and found nothing
            bench.drop("app.bin", image(1), seal(image(1), 1, "1"))
            began = time.monotonic()
            while not bench.releases():
                assert time.monotonic() - began < 60 * monitor.EVERY
                await asyncio.sleep(0.05)
            bench.drop("app.bin", image(2), seal(image(2), 2, "2"))
            while len(bench.releases()) < 2:
                assert time.monotonic() - began < 60 * monitor.EVERY
                await asyncio.sleep(0.05)
            await asyncio.wait_for(started.wait(), 60)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    monkeypatch.setattr(monitor.watchfiles, "awatch", silent)
    monkeypatch.setattr(monitor, "EVERY", 0.5)
    bench.bind(auto=True)
    asyncio.run(story())
    assert bench.releases() == ["phone/2", "phone/1"]
