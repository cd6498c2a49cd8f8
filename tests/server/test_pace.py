"""One rule chooses the file (A5): full in time and fitting, else delta, else a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.flash.geometry import simple_layout
from neurath.server.delivery.pace import IMPOSSIBLE, Built, Pending, Refuse, Situation, Take, Unbuilt, Wait, choose

LAYOUT = simple_layout(64 * 1024)
FULL = Built("f" * 64, 30_000, 1000)
DELTA = Built("d" * 64, 3_000, 1000)


def need(_layout, _image, file, workspace, staged_in_ram):
    return (file if staged_in_ram else 0) + workspace


def decide(full=FULL, delta=DELTA, **more):
    given_ = {"layout": LAYOUT, "image_size": 60_000, "speed": 0, "limit": 60.0, "ram": 48_000, "stage": 0, "base": True}
    asked = []

    def ask(kind):
        asked.append(kind)
        return full if kind == "full" else delta

    return choose(Situation(**(given_ | more)), ask, need), asked


def test_the_full_image_is_taken_where_it_arrives_in_time_and_fits():
    choice, _ = decide(speed=500)
    assert choice == Take("full", FULL, 31_000)


def test_one_byte_a_second_too_slow_takes_the_delta():
    assert decide(speed=500, limit=60.0)[0].kind == "full"
    assert decide(speed=499, limit=60.0)[0] == Take("delta", DELTA, 4_000)


def test_one_byte_of_ram_too_little_takes_the_delta():
    assert decide(speed=10_000, ram=31_000)[0].kind == "full"
    assert decide(speed=10_000, ram=30_999)[0].kind == "delta"


def test_an_unknown_speed_takes_the_delta_and_never_builds_the_full_image():
    assert decide() == (Take("delta", DELTA, 4_000), ["delta"])


def test_an_unknown_base_takes_the_full_image_however_slow_the_link():
    assert decide(base=False, speed=1) == (Take("full", FULL, 31_000), ["full"])


def test_a_delta_that_cannot_be_built_gives_way_to_the_full_image():
    assert decide(delta=Unbuilt("broken"))[0].kind == "full"


def test_what_fits_nowhere_is_refused_by_how_much():
    choice, _ = decide(ram=3_999)
    assert choice == Refuse("cannot lend 4 KiB: needs 4,000, lends 3,999", ram=True)
    choice, _ = decide(base=False, ram=100)
    assert isinstance(choice, Refuse)
    assert choice.reason.startswith("its bank holds an image not known here; for the full image it cannot lend 31 KiB")


def test_a_memory_map_without_room_is_said_so():
    choice = choose(Situation(LAYOUT, 60_000, 0, 60.0, 1 << 31, 0, True), lambda kind: DELTA, lambda *given: IMPOSSIBLE)
    assert isinstance(choice, Refuse)
    assert "no room for the rewrite" in choice.reason


@pytest.mark.parametrize(
    "which", [{"full": Pending(), "speed": 500}, {"delta": Pending()}, {"full": Pending(), "base": False}]
)
def test_a_file_that_decides_and_is_not_built_yet_is_waited_for(which):
    assert decide(**which)[0] == Wait()


def test_durable_staging_takes_the_file_out_of_ram():
    assert decide(ram=1_000, stage=3_000)[0] == Take("delta", DELTA, 1_000)
    assert isinstance(decide(ram=1_000, stage=2_999)[0], Refuse)


FILES = st.builds(Built, st.just("a" * 64), st.integers(1, 50_000), st.integers(0, 9_000)) | st.builds(Unbuilt, st.just("no"))


@given(
    FILES, FILES, st.integers(0, 10_000), st.floats(0.1, 100), st.integers(0, 60_000), st.integers(0, 60_000), st.booleans()
)
def test_whatever_is_taken_fits_and_a_full_image_beside_a_fitting_delta_is_in_time(
    full, delta, speed, limit, ram, stage, base
):
    choice, _ = decide(full, delta, speed=speed, limit=limit, ram=ram, stage=stage, base=base)
    assert not isinstance(choice, Wait)
    if isinstance(choice, Take):
        assert choice.need <= ram
        assert choice.need == need(LAYOUT, 0, choice.built.size, choice.built.workspace, stage < choice.built.size)
        if choice.kind == "full" and base and isinstance(delta, Built):
            assert choice.built.size <= speed * limit
