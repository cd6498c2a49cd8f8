"""The golden bytes under vectors/, as tests read them."""

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2] / "vectors"


def LINE(limit: int) -> st.SearchStrategy[str]:
    """One printable line of at most `limit` characters."""
    return st.text(max_size=limit).filter(str.isprintable)


def load(name: str) -> Any:
    return json.loads((ROOT / f"{name}.json").read_text())


def cases(name: str) -> list[Any]:
    found = load(name)["cases"]
    assert found, f"vectors/{name}.json has no cases"
    return list(found)


def refused(name: str) -> list[Any]:
    return list(load(name)["refused"])
