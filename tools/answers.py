"""Asks a server of a test fleet everything once and writes what it said, cut to what a reader needs, as examples: the
management plane's (src/neurath/server/answers.json) and the page docs/reference/api.md. Run it after a route was added or says
more: tests/server/test_answers.py holds both against what a server says."""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from neurath.server.access.rights import ROUTES  # noqa: E402  (the repository's root is put on the path first)
from neurath.server.api import management  # noqa: E402
from neurath.server.examples import with_examples  # noqa: E402
from tests.server.asked import Said, Story  # noqa: E402
from tests.server.world import open_world  # noqa: E402

EXAMPLES = ROOT / "src/neurath/server/answers.json"
PAGE = ROOT / "docs/reference/api.md"
#: Of a list so many are shown, of plain words more, and of a text so many characters.
ITEMS, WORDS, LETTERS = 2, 8, 72
#: What stands for the moment at which the story is told.
THEN = 1_795_334_400.0
#: Fields that hold a secret: nobody learns anything from its letters.
SECRETS = {"token", "csrf", "secret"}
WIDTH = 116
HEAD = """# Every call of the management plane

Written by `python tools/answers.py` from what a server said; do not edit. The same examples are in the description at
`/api/v1/openapi.json`. Paths are below `/api/v1`; lists are cut, long texts end in …, and where a secret was it says so.
Errors are problem documents ([server](server.md)).
"""


def readable(value: Any, places: dict[str, str], name: str = "") -> Any:
    """An answer as it is shown: lists, texts and secrets cut, moments and places of this machine replaced."""
    match value:
        case dict():
            return {key: readable(item, places, key) for key, item in value.items()}
        case list():
            shown = ITEMS if any(isinstance(item, dict | list) for item in value) else WORDS
            return [readable(item, places, name) for item in value[:shown]]
        case str():
            return _text(value, places, name)
        case float() if value > 1e9:
            return THEN + round(value - float(places["now"]))
    return value


def _text(value: str, places: dict[str, str], name: str) -> str:
    for here, shown in places.items():
        value = value.replace(here, shown) if here != "now" else value
    if name in SECRETS and value:
        return "(a secret)"
    if "\n" in value and value.startswith("{"):  # one object a line
        return re.sub(r'("token": ?")[^"]+', r"\1(a secret)", "".join(value.splitlines(True)[:ITEMS]))
    return value if len(value) <= LETTERS else value[:LETTERS] + "…"


def examples(said: list[Said], places: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Of each call its last answer, and what it was asked where that is JSON."""
    found: dict[str, dict[str, Any]] = {}
    for one in said:
        found[one.key] = {}
        if one.asked is not None:
            found[one.key]["asked"] = readable(one.asked, places)
        if one.media.endswith("json") and one.body:
            body = one.body.decode() if isinstance(one.body, bytes) else one.body
            found[one.key]["said"] = readable(body, places)
    return {key: found[key] for key in sorted(found)}


def told(folder: Path) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """The examples as a server in this folder says them now, and its description without them."""
    world = open_world(folder / "data")
    world.now = time.time()
    story = Story(world, folder / "drop")
    said = story.tell()
    description = management(world.store, world.delivery)
    places = {str(folder / "drop"): "/srv/firmware", story.hook: "https://hooks.example/neurath", "now": str(world.now)}
    bare = super(type(description), description).openapi()
    world.delivery.deltas.close()
    world.store.close()
    return examples(said, places), bare


def page(description: dict[str, Any]) -> str:
    """The calls, by what they are about."""
    lines = [HEAD]
    for about, group in groupby(sorted(description["paths"].items()), key=lambda item: item[0].split("/")[1]):
        lines.append(f"\n## {about}\n")
        for path, methods in group:
            for method, call in methods.items():
                lines.append(_call(f"{method.upper()} {path}", call))
    return "\n".join(lines)


def _call(key: str, call: dict[str, Any]) -> str:
    method, path = key.split(" ")
    right = f"{method} /api/v1{path}"
    role = ROUTES.get(right) or ROUTES[f"{method} /api/v1{path.replace('{name}', '{name:path}')}"]
    words = call.get("description", "").split("\n\n")[0].replace("\n", " ")
    status, said = next((status, said) for status, said in call["responses"].items() if status.startswith("2"))
    shown = [f"### `{key}`\n", f"{words} ({role.word}; {status})".strip() + "\n"]
    for arrow, content in (("→", call.get("requestBody", {}).get("content", {})), ("←", said.get("content", {}))):
        for body in content.values():
            if "example" in body:
                example = body["example"]
                text = example.rstrip() if isinstance(example, str) else _written(example)
                shown.append(f"```\n{arrow} {text}\n```\n")
    return "\n".join(shown)


def _written(value: Any, indent: int = 0, lead: int = 0) -> str:
    """JSON, on one line where it has room; `lead`: letters that stand before it."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + indent + lead <= WIDTH or not isinstance(value, dict | list) or not value:
        return line
    pad, inner = " " * (indent + 2), indent + 2
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {_written(item, inner, len(key) + 4)}" for key, item in value.items()]
    else:
        items = [_written(item, inner) for item in value]
    inside = "".join(f"{pad}{one}" for one in _filled(items, inner))
    first, last = "{}" if isinstance(value, dict) else "[]"
    return f"{first}\n{inside}{' ' * indent}{last}"


def _filled(items: list[str], indent: int) -> list[str]:
    """Short members share a line."""
    lines: list[str] = []
    for number, one in enumerate(items):
        one += "," if number < len(items) - 1 else ""
        short = lines and "\n" not in one and "\n" not in lines[-1]
        if short and indent + len(lines[-1]) + 1 + len(one) <= WIDTH:
            lines[-1] += " " + one
        else:
            lines.append(one)
    return [one + "\n" for one in lines]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        found, bare = told(Path(folder))
    EXAMPLES.write_text(_written(found) + "\n")
    PAGE.write_text(page(with_examples(bare, found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
