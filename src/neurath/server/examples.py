"""The management plane's description with an example of what each call is asked and answers (answers.json). It knows where
examples go in OpenAPI; it must never make one up: they are what a server said (tools/answers.py)."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from fastapi import FastAPI

Json = dict[str, Any]


@cache
def kept() -> dict[str, Json]:
    """`METHOD PATH` -> `asked` (the body of a request, where it is JSON) and `said` (that of its answer)."""
    found: dict[str, Json] = json.loads(resources.files("neurath.server").joinpath("answers.json").read_text())
    return found


class Described(FastAPI):
    """An application whose description has the examples."""

    def openapi(self) -> Json:
        if self.openapi_schema is None:
            self.openapi_schema = with_examples(super().openapi(), kept())
        return self.openapi_schema


def with_examples(description: Json, examples: dict[str, Json]) -> Json:
    """The description, each body of its calls with the example there is."""
    for path, methods in description["paths"].items():
        for method, call in methods.items():
            one = examples.get(f"{method.upper()} {path}", {})
            if "asked" in one:
                _put(call["requestBody"]["content"], one["asked"])
            if "said" in one:
                _put(_answer(call)["content"], one["said"])
    return description


def _answer(call: Json) -> Json:
    """What a call answers where nothing is wrong: there is one such status each."""
    return next(said for status, said in call["responses"].items() if status.startswith("2"))


def _put(content: dict[str, Json], example: object) -> None:
    for body in content.values():
        body["example"] = example
