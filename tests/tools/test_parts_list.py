"""Every package that is drawn has its hash in requirements/; the list of all parts is the same bytes for the same parts."""

from __future__ import annotations

import importlib.metadata as metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parents[2]
#: Ours, and what a virtual environment brings with it.
OWN = {"neurath", "pip"}
#: What targets of make fetch beside the set-up, from constraints.txt: `make bench-delta`, `make pins`.
BESIDE = {"bitstruct", "detools", "hdiffpatch", "heatshrink2", "humanfriendly", "lz4", "uv", "zstandard"}


def named(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(name: str) -> dict[str, tuple[str, int]]:
    """What a file of requirements/ demands: version, and how many hashes, by name."""
    text = (ROOT / f"requirements/{name}.txt").read_text().replace("\\\n", " ")
    found: dict[str, tuple[str, int]] = {}
    for line in filter(None, (line.partition("#")[0].strip() for line in text.splitlines())):
        demand = re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)((?: ;.*?)?)((?:\s+--hash=sha256:[0-9a-f]{64})*)", line)
        assert demand is not None, f"this is no pinned package: {line[:120]}"
        found[named(demand[1])] = (demand[2], demand[4].count("--hash"))
    return found


@pytest.mark.parametrize("name", ["build", "develop", "server"])
def test_every_package_that_is_drawn_has_hashes_and_the_version_of_the_constraints(name: str) -> None:
    found = locked(name)
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    versions = {named(key): value for key, value in pins.items()}
    assert len(found) > 2
    for package, (version, hashes) in found.items():
        assert hashes, f"{package} may be anything"
        assert versions.get(package, version) == version, f"{package}: make pins was forgotten"
    build = locked("build")
    assert all(found.get(package, pinned)[0] == pinned[0] for package, pinned in build.items())


def test_what_is_installed_here_is_what_the_hashes_are_of() -> None:
    found = locked("develop")
    here = {named(one.name): one.version for one in metadata.distributions()}
    strange = {
        name: version for name, version in here.items() if name not in OWN | BESIDE and found.get(name, ("",))[0] != version
    }
    assert strange == {}, "these came without a hash: make setup again"


def test_the_set_up_draws_nothing_without_a_hash() -> None:
    script = (ROOT / "tools/setup.sh").read_text()
    draws = [line for line in script.splitlines() if re.search(r"\bpip (?!\(\)).*-(r|e)\b", line)]
    assert len(draws) == 3
    for line in draws:
        assert "--require-hashes" in line or "--no-deps --no-build-isolation -e ." in line, line


def test_the_list_of_parts_keeps_to_its_schema_names_every_part_and_is_the_same_bytes_again(tmp_path: Path) -> None:
    for name in ("a", "b"):
        subprocess.run([sys.executable, str(ROOT / "tools/sbom.py"), str(tmp_path / name)], check=True, cwd=tmp_path)
    text = (tmp_path / "a").read_text()
    assert (tmp_path / "b").read_text() == text
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = json.loads(text)
    parts = {part["bom-ref"]: part for part in found["components"]}
    here = {named(one.name): one.version for one in metadata.distributions()}
    del here["neurath"]
    assert {part.removeprefix("pypi:"): parts[part]["version"] for part in parts if part.startswith("pypi:")} == here
    assert {"source:core/src", "source:core/ports", "source:core/include", "source:firmware", "deb:bearssl"} <= parts.keys()
    assert parts["pypi:cryptography"]["scope"] == "required"
    assert parts["pypi:pytest"]["scope"] == "excluded"
    needs = {one["ref"]: set(one.get("dependsOn", ())) for one in found["dependencies"]}
    assert {"pypi:cryptography", "pypi:fastapi", "source:core/src"} <= needs["neurath"]
    assert "pypi:cffi" in needs["pypi:cryptography"]
    assert needs["source:firmware"] == {"deb:bearssl"}
    assert str(ROOT) not in text
    assert "timestamp" not in found["metadata"]
