"""A short place for the lines of a bench."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def place() -> Iterator[Path]:
    """Names of ports are short, and always as long: they stand on snapshots."""
    found = Path(tempfile.mkdtemp(prefix="nrt-", dir="/tmp"))
    yield found
    shutil.rmtree(found)
