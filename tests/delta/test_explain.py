"""What is said about an update file is what is in it: each sentence is compared with the file that was built."""

from __future__ import annotations

import pytest

from neurath.delta import Wish, build, full, native
from neurath.delta.explain import explain
from neurath.delta.format import parse
from neurath.errors import NothingToDo, RefusedError
from neurath.flash.profiles import LARGE_WORKSPACE, TINY_WORKSPACE
from tests.delta.images import small_layout
from tests.delta.programs import ADDRESS, programs

LAYOUT = small_layout(16384)
OLD, NEW = programs(31, 40)


@pytest.mark.parametrize("lent", [None, 20_000, 9_000])
def test_every_fact_is_that_of_the_file_and_every_sentence_has_it(lent: int | None) -> None:
    told = explain(OLD, NEW, LAYOUT, lent=lent)
    head, core, facts = parse(told.delta.data)[0], native.header(told.delta.data, LAYOUT), told.facts()
    assert (facts["profile"], facts["isa"], facts["address"], facts["order"]) == (head.profile, 1, ADDRESS, list(head.order))
    assert (facts["joint"], facts["slide"], facts["saves"], facts["segments"]) == (head.joint, head.slide, 0, core.segments)
    assert (facts["size"], facts["decoder"]) == (len(told.delta.data), core.decoder)
    assert facts["ram"] == native.need(LAYOUT, len(NEW), len(told.delta.data), core.workspace, staged_in_ram=True)
    assert (facts["mode"], facts["scratch"]) == ("scratch", LAYOUT.scratch.length)
    text = "\n".join(told.sentences())
    for said in (
        f"{len(told.delta.data)} B, {told.name}",
        "thumb",
        hex(ADDRESS),
        f"{head.segments} copies",
        f"lends {facts['ram']} B",
    ):
        assert said in text
    assert f"{len(head.order)} commit units" in text
    assert native.decode_apart(OLD, told.delta.data, LAYOUT) == NEW


def test_the_sizes_weighed_are_those_of_files_that_can_be_made() -> None:
    told = {w.name: w.size for w in explain(OLD, NEW, LAYOUT).weighed}
    for name, profile, workspace in (("small", 2, 20480), ("tiny", 4, TINY_WORKSPACE), ("large", 3, LARGE_WORKSPACE)):
        wish = Wish(profile, workspace=workspace)
        assert told[f"delta, {name} profile"] == len(build(OLD, NEW, LAYOUT, wish).data)
        assert told[f"full image, {name} profile"] == len(full(NEW, LAYOUT, wish).data)


def test_the_limit_that_decided_is_named_and_is_the_one() -> None:
    free = explain(OLD, NEW, LAYOUT)
    assert free.facts()["decided_by"] == "size"
    assert len(free.delta.data) == min(w.size for w in free.weighed if w.size)
    needs = {w.name: w.ram for w in free.weighed}
    lent = needs["delta, small profile"] - 1
    tight = explain(OLD, NEW, LAYOUT, lent=lent)
    assert tight.facts()["decided_by"] == "ram"
    assert f"{lent} B are lent" in tight.sentences()[0]
    assert tight.facts()["profile"] == 4


def test_nothing_that_fits_and_nothing_to_do_are_said() -> None:
    with pytest.raises(RefusedError, match="no update file fits"):
        explain(OLD, NEW, LAYOUT, lent=1000)
    with pytest.raises(NothingToDo):
        explain(OLD, OLD, LAYOUT)
