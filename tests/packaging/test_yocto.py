"""The layer for Yocto against a linter of recipes, and against this tree: what it names is here, and what is here it names."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tomllib
from pathlib import Path

from tests.parts import need

ROOT = Path(__file__).resolve().parents[2]
LAYER = ROOT / "packaging/yocto/meta-neurath"
RECIPES = sorted(LAYER.glob("recipes-*/*/*.bb"))
#: A terminal's agent is never built for the building machine; and tests ask no web page.
LET_BE = ("oelint.var.bbclassextend", "oelint.vars.homepageping")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_linter_of_recipes_finds_nothing() -> None:
    words = [need("oelint-adv"), "--quiet", "--release", "wrynose"]
    words += [word for one in LET_BE for word in ("--suppress", one)]
    files = [*RECIPES, LAYER / "conf/layer.conf"]
    done = subprocess.run([*words, *files], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_recipe_speaks_of_this_tree() -> None:
    assert len(RECIPES) == 1
    recipe = RECIPES[0]
    text = recipe.read_text()
    assert recipe.stem == f"neurath_{PROJECT['version']}"
    assert f'LICENSE = "{PROJECT["license"]}"' in text
    assert hashlib.md5((ROOT / "LICENSE").read_bytes(), usedforsecurity=False).hexdigest() in text
    installed = re.findall(r"\$\{S\}/(\S+)", text)
    assert installed
    assert all((ROOT / name).is_file() for name in installed)


def test_the_recipe_brings_every_dependency_of_an_agent() -> None:
    text = RECIPES[0].read_text()
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["agent"]]
    for one in wanted:
        name = re.split(r"[<>=]", one)[0]
        assert f"python3-{name}" in text, name
