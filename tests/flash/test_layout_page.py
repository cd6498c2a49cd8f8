"""The page of the memory map says what reader and core do."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from neurath.flash.geometry import Model, model_from_toml, model_to_toml
from neurath.flash.native import check_layout, unit_spans

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/spec/layout.md").read_text()


def model() -> Model:
    found = re.search(r"```toml\n(.*?)```", PAGE, re.S)
    assert found is not None
    return model_from_toml(found[1])


def test_the_example_on_the_page_is_the_vector_and_both_readers_take_it() -> None:
    vector = json.loads((ROOT / "vectors/layout.json").read_text())
    assert model() == model_from_toml(vector["toml"])
    check_layout(model().layout)
    assert [list(unit) for unit in unit_spans(model().layout)] == vector["units"]
    assert (model().vendor.hex(), model().klass.hex()) == (vector["vendor"], vector["class"])


def test_the_commit_units_on_the_page_are_those_of_the_core() -> None:
    listed = re.findall(r"\((\d+), (\d+)\)", PAGE.partition("Its commit units")[2])
    assert [(int(base), int(length)) for base, length in listed] == unit_spans(model().layout)
    assert sum(length for _, length in unit_spans(model().layout)) == model().layout.bank_size


def test_a_model_written_and_read_again_is_the_same() -> None:
    assert model_from_toml(model_to_toml(model())) == model()


def test_every_field_on_the_page_is_one_the_reader_knows() -> None:
    listed = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE, re.M))))
    written = set(re.findall(r"^(\w+) =", model_to_toml(replace(model(), veiled=True, signed=True)), re.M)) | {
        "region",
        "stage",
        "code",
    }
    assert listed == written - {"base", "size", "count"}
