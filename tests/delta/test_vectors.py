"""Golden files of docs/spec/delta.md: every one decodes, in core and oracle, to the image it was made for. They change only
with the container's version or a new profile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neurath.delta import native, simulate
from neurath.delta.apply import apply
from neurath.delta.format import parse
from neurath.flash.geometry import Layout
from tests.delta.images import small_layout

FOLDER = Path(__file__).resolve().parents[2] / "vectors" / "delta"
INDEX = json.loads((FOLDER / "index.json").read_text())


def layout(name: str) -> Layout:
    """The memory map index.json describes for this file."""
    return small_layout(INDEX["files"][name].get("bank", INDEX["bank"]))


def image(name: str) -> bytes:
    return (FOLDER / name).read_bytes() if name else b""


@pytest.mark.parametrize("name", sorted(INDEX["files"]))
def test_a_golden_file_decodes_to_its_image(name: str) -> None:
    entry = INDEX["files"][name]
    old, new, data = image(entry["old"]), image(entry["new"]), image(name)
    assert apply(old, data, native.units(layout(name))) == new
    assert native.decode_apart(old, data, layout(name)) == new
    if not entry["apart"]:
        assert simulate.rewrite(old, new, layout(name), data)[0] == new


def test_there_is_a_golden_file_for_each_instruction_set_in_each_profile_that_predicts() -> None:
    found = {(head.profile, head.isa) for head in (parse(image(name))[0] for name in INDEX["files"])}
    assert {(profile, isa) for profile in (2, 3, 4, 5) for isa in range(1, 6)} | {(0, 0), (1, 0)} <= found


@pytest.mark.parametrize("name", sorted(INDEX["files"]))
def test_the_header_of_a_golden_file_reads_as_the_index_says(name: str) -> None:
    entry = INDEX["files"][name]
    head, frames = parse(image(name))
    core = native.header(image(name), layout(name))
    for field in ("profile", "old_size", "new_size", "base", "crc", "apart"):
        assert getattr(head, field) == getattr(core, field) == entry[field], field
    assert (list(head.order), head.segments, len(frames)) == (entry["order"], entry["segments"], entry["groups"])
    assert core.workspace == entry["workspace"]
