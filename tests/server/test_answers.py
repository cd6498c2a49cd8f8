"""Examples of what the management plane is asked and answers are what a server says: each has the form of a real answer, fits
the description, and stands in it and on its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from neurath.server import examples
from neurath.server.access import people
from tools import answers

Json = dict[str, Any]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Json], Json]:
    """The examples as a server says them now, and its description without any."""
    from argon2 import PasswordHasher

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(people, "_hasher", lambda: PasswordHasher(1, 64, 1))
        return answers.told(tmp_path_factory.mktemp("answers"))


def form(value: Any) -> Any:
    """What stays of a value when its content goes: names of fields, kinds of values."""
    match value:
        case dict():
            return {key: form(item) for key, item in value.items()}
        case list():
            return [form(item) for item in value]
        case bool() | str() | None:
            return type(value).__name__
        case int() | float():
            return "number"


def calls(description: Json) -> dict[str, Json]:
    return {f"{method.upper()} {path}": call for path, found in description["paths"].items() for method, call in found.items()}


def test_every_call_has_an_example_with_the_form_of_a_real_answer(told: tuple[dict[str, Json], Json]) -> None:
    real, bare = told
    kept = examples.kept()
    assert set(kept) == set(real) == set(calls(bare)), "python tools/answers.py"
    assert {key for key in kept if form(kept[key]) != form(real[key])} == set(), "python tools/answers.py"
    answered = {key for key, call in calls(bare).items() if any("content" in said for _, said in ok(call))}
    # A file is what it is.
    assert answered - {key for key, one in kept.items() if "said" in one} == set()
    asked = {key for key, call in calls(bare).items() if "application/json" in call.get("requestBody", {}).get("content", {})}
    optional = {key for key in asked if not calls(bare)[key]["requestBody"].get("required")}
    assert asked - {key for key, one in kept.items() if "asked" in one} <= optional


def ok(call: Json) -> list[tuple[str, Json]]:
    return [(status, said) for status, said in call["responses"].items() if status.startswith("2")]


def test_every_example_fits_its_description(told: tuple[dict[str, Json], Json]) -> None:
    described = examples.with_examples(json.loads(json.dumps(told[1])), examples.kept())
    count = 0
    for key, call in calls(described).items():
        contents = [said.get("content", {}) for _, said in ok(call)] + [call.get("requestBody", {}).get("content", {})]
        for body in (body for content in contents for body in content.values() if "example" in body):
            schema = body["schema"] | {"components": described["components"]}
            faults = list(Draft202012Validator(schema).iter_errors(body["example"]))
            assert faults == [], key
            count += 1
    assert count > len(examples.kept())


def test_the_description_that_is_served_has_them_and_the_page_is_in_step(told: tuple[dict[str, Json], Json], world) -> None:
    from neurath.server.api import management

    described = management(world.store, world.delivery).openapi()
    said = calls(described)["GET /rollouts/{number}"]["responses"]["200"]["content"]["application/json"]["example"]
    assert said["policy"].startswith("waves=")
    assert answers.page(described) == answers.PAGE.read_text(), "python tools/answers.py"


def test_no_example_names_this_machine_or_a_secret() -> None:
    text = answers.EXAMPLES.read_text()
    assert str(Path.home()) not in text
    assert "/tmp/" not in text
    assert all(len(word) < 72 for word in text.split('"') if word.startswith("nrt_"))
