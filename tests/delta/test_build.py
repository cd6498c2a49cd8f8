"""Building: the file that is handed out was tried by the core, and small steps cost little."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from neurath.delta import Wish, build, full, header, simulate
from neurath.delta import native as delta_native
from neurath.delta.build import changed_sectors
from neurath.delta.encoder import Encoder, Hints
from neurath.delta.format import parse
from neurath.errors import DataError, NeurathError, NothingToDo, RefusedError
from neurath.flash.geometry import Layout, Region, Span, file_layout, simple_layout
from neurath.flash.profiles import RAW
from tests.delta.images import pair, small_layout


@pytest.mark.parametrize("profile", [0, 1, 2])
def test_a_delta_turns_old_into_new_in_place(profile: int) -> None:
    old, new = pair(11)
    layout = small_layout(16384)
    delta = build(old, new, layout, Wish(profile=profile))
    made, operations = simulate.rewrite(old, new, layout, delta.data)
    assert (made, delta.kind) == (new, "delta")
    assert operations > 2 * delta.sectors
    assert header(delta.data, layout).workspace == delta.workspace


def test_a_full_image_needs_no_base() -> None:
    _, new = pair(12)
    layout = small_layout(16384)
    delta = full(new, layout)
    assert delta.kind == "full"
    assert len(delta.data) < len(new)
    assert simulate.rewrite(b"", new, layout, delta.data)[0] == new


def test_a_restamped_build_costs_less_than_130_bytes() -> None:
    old = random.Random(5).randbytes(1 << 18)
    new = bytearray(old)
    new[100_000:100_011] = b"Nov 21 2026"
    delta = build(old, bytes(new), simple_layout(len(old)))
    assert len(delta.data) < 130
    assert delta.sectors == 1
    assert delta.workspace <= 20480


def test_identical_images_are_nothing_to_do() -> None:
    old, _ = pair(13)
    with pytest.raises(NothingToDo):
        build(old, old, small_layout(16384))


def test_an_image_that_does_not_fit_the_bank_is_refused() -> None:
    old, new = pair(14)
    with pytest.raises(RefusedError, match="does not fit"):
        build(old, new + bytes(20000), small_layout(16384))
    with pytest.raises(RefusedError, match="empty"):
        build(old, b"", small_layout(16384))


def test_a_shrinking_and_a_growing_image_work() -> None:
    old, new = pair(15)
    layout = small_layout(32768)
    for before, after in ((old, new[:3000]), (old[:3000], new), (old, new + new[:5000])):
        assert simulate.rewrite(before, after, layout, build(before, after, layout).data)[0] == after


def test_a_file_for_an_image_elsewhere_is_smaller_and_never_rewritten_in_place() -> None:
    old, new = pair(16)
    layout = small_layout(16384)
    delta = build(old, new, layout, Wish(apart=True))
    assert len(delta.data) <= len(build(old, new, layout).data)
    assert delta_native.decode_apart(old, delta.data, layout) == new
    with pytest.raises(DataError):
        simulate.rewrite(old, new, layout, delta.data)


def test_sectors_of_several_sizes_and_a_hole_in_the_bank_work() -> None:
    layout = Layout(
        regions=(Region(0, 1024, 30), Region(30720, 4096, 6)),
        birth=Span(0, 1024),
        log=(Span(1024, 1024), Span(2048, 1024)),
        scratch=Span(30720, 2 * 4096),
        bank=(Span(10240, 4096), Span(16384, 4096), Span(38912, 12288)),
        group=2048,
        leaf=1024,
    )
    old, new = pair(17)
    delta = build(old, new, layout)
    assert parse(delta.data)[0].unit_shift == 7
    assert simulate.rewrite(old, new, layout, delta.data)[0] == new
    assert delta.sectors == changed_sectors(old, new, layout)


def test_a_file_that_the_core_does_not_confirm_is_never_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from neurath.delta import code

    old, new = pair(18)

    def lying(honest: Callable[..., list[bytes]]) -> Callable[..., list[bytes]]:
        def lie(*args: object, **named: object) -> list[bytes]:
            frames = honest(*args, **named)
            return [*frames[:-1], bytes((frames[-1][0] ^ 0xFF,)) + frames[-1][1:]]

        return lie

    monkeypatch.setattr(code, "frames", lying(code.frames))
    monkeypatch.setattr(code, "small_frames", lying(code.small_frames))
    for profile in (RAW, 1, 2):
        with pytest.raises(NeurathError):
            build(old, new, small_layout(16384), Wish(profile=profile))


def test_a_file_is_the_same_every_time() -> None:
    old, new = pair(19)
    layout = small_layout(16384)
    assert build(old, new, layout) == build(old, new, layout)


def noisy(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("share", [0, 2000, 8000, 40_000])
def test_noise_becomes_the_new_image_however_much_of_it_was_there(apart: bool, share: int) -> None:
    old = noisy(80_000, 1)
    new = old[5000 : 5000 + share] + noisy(80_000 - share, 2)
    delta = build(old, new, simple_layout(1 << 18), Wish(apart=apart))
    assert delta.advice
    assert len(delta.data) < len(new) - max(0, share - 2000) + 600
    assert delta.kind == ("full" if share < 8000 and not apart else "delta")


def test_noise_is_seen_before_it_is_modelled() -> None:
    """A megabyte of it was 14 s of processor time; now 0.2 s."""
    began = time.process_time()
    build(noisy(1 << 20, 1), noisy(1 << 20, 2), simple_layout(1 << 20))
    assert time.process_time() - began < 3


def test_a_payload_of_noise_in_firmware_is_told_from_literals() -> None:
    code = b"".join(bytes(f"line {k * k % 977} of a text\n", "ascii") for k in range(400))
    encoder = Encoder(b"", code + noisy(8000, 3), [], Hints())
    encoder.group(0, len(code))
    assert (encoder.spent.literal, encoder.spent.noise) == (len(code), 0)
    encoder.group(len(code), len(code) + 8000)
    assert encoder.spent.noise == 8000


def test_padding_that_is_gone_is_not_looked_through_again_and_again() -> None:
    """Copies from a place that was committed end there: nothing behind it is compared."""
    old = bytes(300_000) + noisy(20_000, 4)
    encoder = Encoder(old, old, [], Hints())
    gone = bytearray(b"\1" * 4600 + b"\0" * 500)
    began = time.process_time()
    frames = [encoder.group(at, at + 16384, gone) for at in range(0, 294_912, 16384)]
    assert time.process_time() - began < 3
    assert len(b"".join(frames)) < 9000


def test_one_byte_among_more_literals_than_a_share_can_count_has_a_price() -> None:
    """Its share of a group rounds to nothing; the build went on for ever."""
    draw = random.Random(7)
    new = bytes(draw.choice(b"ABCDEFGH") for _ in range(120_000)) + b"\xff"
    made = build(b"old" * 400, new, file_layout(), Wish(apart=True))
    assert len(made.data) < len(new) / 2
