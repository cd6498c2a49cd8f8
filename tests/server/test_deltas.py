"""Update files are built once however many ask, kept for ever, and a pool that dies is reported and replaced."""

from __future__ import annotations

import errno
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from neurath.delta import hybrid
from neurath.errors import DataError
from neurath.flash.geometry import file_layout, simple_layout
from neurath.flash.profiles import LARGE, TINY, TINY_WORKSPACE
from neurath.server.delivery import choice
from neurath.server.delivery.pace import Built, Pending, Unbuilt
from neurath.server.software import catalog, hopeless
from neurath.server.software import deltas as deltas_module
from neurath.server.software.deltas import LEAN, PROFILE, Deltas, Job, Result, layout_digest
from neurath.server.store import Store
from tests.server.world import build, image

ROOT = Path(__file__).resolve().parents[2]
LAYOUT = simple_layout(64 * 1024)


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path)
    yield opened
    opened.close()


def keep(store, data):
    name = store.files.put(data).hex()
    with store.write() as db:
        catalog.keep_file(db, name, data, 0.0)
    return name


def wait(deltas, *key, seconds=30.0):
    deadline = time.monotonic() + seconds
    while isinstance(found := deltas.get(*key), Pending) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def die(_job):
    os._exit(9)


def starve(_job):
    raise MemoryError


def no_process(_job):
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def killed(_job):
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(_job):
    raise DataError("this pair cannot be built", "it is a test")


def slow(job):
    time.sleep(0.3)
    return build(job)


def differs(job):
    return Result(random.randbytes(100), 1, 1, 0.0)


def test_eight_threads_that_ask_for_the_same_pair_lead_to_one_build(store):
    old, new = keep(store, image(1)), keep(store, image(2))
    deltas = Deltas(store, builder=slow, pool=ThreadPoolExecutor(2))
    begin = threading.Barrier(8)
    found = []

    def ask():
        begin.wait()
        found.append(wait(deltas, old, new, LAYOUT))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert deltas.builds == 1
    assert len({f.file for f in found}) == 1
    deltas.close()


def test_two_servers_on_one_directory_keep_the_file_of_the_first(store):
    old, new = keep(store, image(1)), keep(store, image(2))
    both = [Deltas(store, builder=differs, pool=ThreadPoolExecutor(1)) for _ in range(2)]
    for one in both:
        one.get(old, new, LAYOUT)
    found = [wait(one, old, new, LAYOUT) for one in both]
    assert found[0] == found[1]
    for one in both:
        one.close()


def test_two_workers_with_a_store_each_build_a_pair_once(store):
    """Whoever is second finds it claimed, or kept: never a second build."""
    old, new = keep(store, image(1)), keep(store, image(2))
    other = Store(store.directory)
    both = [Deltas(one, builder=slow, pool=ThreadPoolExecutor(1)) for one in (store, other)]
    for one in both:
        one.get(old, new, LAYOUT)
    found = [wait(one, old, new, LAYOUT) for one in both]
    assert found[0] == found[1]
    assert sum(one.builds for one in both) == 1
    for one in both:
        one.close()
    other.close()


def test_what_was_built_is_there_after_a_restart_and_not_built_again(store):
    old, new = keep(store, image(1)), keep(store, image(2))
    first = Deltas(store, builder=build, pool=ThreadPoolExecutor(1))
    found = wait(first, old, new, LAYOUT)
    assert isinstance(found, Built)
    first.close()
    again = Deltas(store, builder=die, pool=ThreadPoolExecutor(1))
    assert again.get(old, new, LAYOUT) == found
    assert again.peek(old, new, LAYOUT) == found
    assert again.builds == 0


def test_another_memory_map_or_direction_is_another_file(store):
    old, new = keep(store, image(1)), keep(store, image(2))
    deltas = Deltas(store, builder=build, pool=ThreadPoolExecutor(1))
    wait(deltas, old, new, LAYOUT)
    assert isinstance(deltas.peek(new, old, LAYOUT), Pending)
    assert isinstance(deltas.peek(old, new, simple_layout(64 * 1024, page=128)), Pending)
    assert isinstance(deltas.peek("", new, LAYOUT), Pending)
    assert deltas.builds == 1
    assert layout_digest(LAYOUT) == layout_digest(simple_layout(64 * 1024))
    deltas.close()


def test_a_builder_that_refuses_says_why_and_is_asked_again_later(store):
    old, new = keep(store, image(1)), keep(store, image(2))
    now = [0.0]
    deltas = Deltas(store, builder=refuse, pool=ThreadPoolExecutor(1), clock=lambda: now[0])
    found = wait(deltas, old, new, LAYOUT)
    assert isinstance(found, Unbuilt)
    assert "this pair cannot be built" in found.reason
    assert (deltas.builds, deltas.failures) == (1, 1)
    wait(deltas, old, new, LAYOUT)
    assert deltas.builds == 1
    now[0] += 61
    wait(deltas, old, new, LAYOUT)
    assert deltas.builds == 2
    deltas.close()


def test_a_build_that_fails_is_told_in_the_log_with_what_is_offered_instead(store, caplog):
    old, new = keep(store, image(1)), keep(store, image(2))
    deltas = Deltas(store, builder=refuse, pool=ThreadPoolExecutor(1))
    wait(deltas, old, new, LAYOUT)
    wait(deltas, "", new, LAYOUT)
    deltas.close()
    told = [record.getMessage() for record in caplog.records if record.name == deltas_module.__name__]
    why = "its update file could not be built (this pair cannot be built)"
    assert told == [
        f"from {old[:12]} to {new[:12]}: {why}; the full image is offered instead",
        f"from nothing to {new[:12]}: {why}",
    ]


def test_a_rotten_base_is_found_before_the_build(store):
    old, new = keep(store, image(1)), keep(store, image(2))
    store.files.path(old).write_bytes(b"rotten")
    deltas = Deltas(store, builder=build, pool=ThreadPoolExecutor(1))
    found = deltas.get(old, new, LAYOUT)
    assert isinstance(found, Unbuilt)
    assert "damaged" in found.reason
    assert deltas.builds == 0


def test_a_worker_that_dies_is_reported_and_the_next_build_works(store):
    old, new = keep(store, image(1)), keep(store, image(2))
    now = [0.0]
    deltas = Deltas(store, builder=die, clock=lambda: now[0])
    found = wait(deltas, old, new, LAYOUT)
    assert isinstance(found, Unbuilt)
    assert "BrokenProcessPool" in found.reason
    now[0] += 61
    deltas.builder = build
    assert isinstance(wait(deltas, old, new, LAYOUT), Built)
    assert deltas.failures == 1
    deltas.close()


def test_the_real_engine_builds_in_a_process_of_its_own(store):
    before = image(1, 40_000)
    after = before[:20_000] + b"new words" + before[20_000:39_000]
    old, new = keep(store, before), keep(store, after)
    deltas = Deltas(store)
    delta, full = wait(deltas, old, new, LAYOUT), wait(deltas, "", new, LAYOUT)
    assert isinstance(delta, Built), delta
    assert isinstance(full, Built), full
    assert delta.size < full.size
    assert delta.sectors > 0
    deltas.close()


KILLED = """
import os, signal
from neurath.server.software.deltas import workers

if __name__ == "__main__":
    print(workers().submit(os.getpid).result(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_ends_with_a_server_that_was_killed(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    done = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, timeout=60, check=False)
    deadline = time.monotonic() + 10
    while _works(int(done.stdout)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _works(int(done.stdout))


def _works(process):
    """One that has ended and that nobody has asked about yet has no command line any more."""
    try:
        return "spawn_main" in Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return False


def test_one_who_lends_less_gets_a_file_of_the_simple_profile(store):
    before = image(1, 40_000)
    old, new = keep(store, before), keep(store, before[:20_000] + b"new words" + before[20_000:39_000])
    lean = deltas_module.build(Job(store.files.verified(old), store.files.verified(new), LAYOUT, LEAN))
    assert lean.data[4] & 15 == LEAN
    assert lean.workspace <= 12 * 1024


def test_a_chip_with_16_kib_of_ram_gets_a_file_of_the_tiny_profile(store):
    """Also the one that goes on after a cut, where the file that was cut is not there any more."""
    before = image(1, 40_000)
    after = before[:20_000] + b"new words" + before[20_000:39_000]
    old, new = (store.files.verified(keep(store, data)) for data in (before, after))
    made = deltas_module.build(Job(old, new, LAYOUT, TINY))
    assert (made.data[4] & 15, made.workspace <= TINY_WORKSPACE) == (TINY, True)
    whole = hybrid.describe(hybrid.Hybrid(before, None, ()), LAYOUT.leaf)
    left = deltas_module.build(Job(old, new, LAYOUT, TINY, deltas_module.Left(whole, None)))
    assert left.data[4] & 15 == TINY


def test_one_who_lends_four_megabytes_gets_the_smallest_of_all_profiles(store):
    before = b"".join(path.read_bytes() for path in sorted((ROOT / "core/src").glob("s*.c")))
    after = before.replace(b"uint32_t", b"unsigned long") + b"/* " + before[:9000].upper() + b" */"
    old, new = (store.files.verified(keep(store, data)) for data in (before, after))
    usual, large = (deltas_module.build(Job(old, new, file_layout(), profile)) for profile in (PROFILE, LARGE))
    assert large.data[4] & 15 == LARGE
    assert len(large.data) < len(usual.data)
    assert usual.workspace < 64 * 1024 < large.workspace <= deltas_module.LARGE_WORKSPACE


@pytest.mark.parametrize(
    ("ram", "size", "profiles"),
    [
        (4_000_000 + 200, 100, (LARGE, PROFILE)),
        (4_000_000 + 199, 100, (PROFILE,)),
        (1 << 30, 4 << 20, (LARGE, PROFILE)),
        (1 << 30, (4 << 20) + 1, (PROFILE,)),
        (1 << 30, (64 << 20) + 1, ()),
    ],
)
def test_what_a_file_is_built_with_follows_what_the_terminal_lends(ram, size, profiles):
    assert choice.profiles_of_file(ram, size, size) == profiles


def test_a_build_that_hangs_ends_and_says_so(store, monkeypatch):
    monkeypatch.setattr("neurath.server.software.deltas.BUILD_TIME", 0.05)
    monkeypatch.setattr("neurath.delta.build", lambda *_: time.sleep(60))
    new = keep(store, image(1, 4_000))
    with pytest.raises(TimeoutError, match="not built within"):
        deltas_module.build(Job(None, store.files.verified(new), LAYOUT))


def test_a_hopeless_build_is_tried_ever_more_rarely_by_all_servers_until_the_engine_changes(store, monkeypatch):
    old, new = keep(store, image(1)), keep(store, image(2))
    now, other = [0.0], Store(store.directory)
    both = [Deltas(one, builder=refuse, pool=ThreadPoolExecutor(1), clock=lambda: now[0]) for one in (store, other)]
    tried = []
    while now[0] < 2 * 86400:
        before = sum(one.builds for one in both)
        found = [wait(one, old, new, LAYOUT) for one in both]
        assert all(isinstance(one, Unbuilt) and "this pair cannot be built" in one.reason for one in found)
        tried += [now[0]] * (sum(one.builds for one in both) - before)
        now[0] += 60
    gaps = [after - before for before, after in itertools.pairwise(tried)]
    assert gaps[:5] == [60, 120, 240, 480, 960]
    assert gaps[-1] <= hopeless.LONGEST
    assert len(tried) == 12  # in two days, where it was 2,880 times
    assert both[1].peek(old, new, LAYOUT) == Unbuilt(
        "its update file could not be built (this pair cannot be built), 12 times; again at 1970-01-03 10:07 UTC"
    )
    monkeypatch.setattr(hopeless, "ENGINE", "the next one")
    both[0].builder = build
    assert isinstance(wait(both[0], old, new, LAYOUT), Built)
    with store.read() as db:
        assert hopeless.known(db, [new]) == {}
    for one in both:
        one.close()
    other.close()


def test_a_file_that_was_built_and_could_not_be_kept_is_tried_again_each_minute(store):
    old, new = keep(store, image(1)), keep(store, image(2))
    now = [0.0]
    deltas = Deltas(store, builder=build, pool=ThreadPoolExecutor(1), clock=lambda: now[0])
    put = store.files.put
    store.files.put = Path("/dev/full").write_bytes
    try:
        for tries in range(1, 5):
            found = wait(deltas, old, new, LAYOUT)
            assert isinstance(found, Unbuilt)
            assert "No space left" in found.reason
            assert deltas.builds == tries
            now[0] += hopeless.RETRY
    finally:
        store.files.put = put
    assert isinstance(wait(deltas, old, new, LAYOUT), Built)
    deltas.close()


@pytest.mark.parametrize(
    ("builder", "said"),
    [(starve, "not enough memory"), (no_process, "temporarily unavailable"), (killed, "memory left"), (die, ""), (refuse, "")],
)
def test_what_this_server_lacks_is_not_held_against_a_build(store, builder, said):
    old, new = keep(store, image(1)), keep(store, image(2))
    now = [0.0]
    deltas = Deltas(store, builder=builder, clock=lambda: now[0])
    for tries in (1, 2):
        found = wait(deltas, old, new, LAYOUT)
        assert isinstance(found, Unbuilt)
        assert said in found.reason
        with store.read() as db:
            assert bool(hopeless.known(db, [new])) is (said == ""), found.reason
        assert deltas.builds == tries
        now[0] += hopeless.RETRY
    deltas.close()


def test_a_bank_in_mid_rewrite_is_not_kept_waiting_for_a_day():
    assert hopeless.wait(30) == 86400
    assert hopeless.wait(30, "left-1") == 600


def test_a_build_that_the_servers_end_cut_off_counts_as_no_failure(store):
    old, new = keep(store, image(1)), keep(store, image(2))
    pool, begin = ThreadPoolExecutor(1), threading.Event()
    pool.submit(begin.wait)
    deltas = Deltas(store, builder=build, pool=pool)
    deltas.get(old, new, LAYOUT)
    deltas.close()
    begin.set()
    with store.read() as db:
        assert hopeless.known(db, [new]) == {}
    assert deltas.failures == 0
