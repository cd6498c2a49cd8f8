"""The world that tables of bad input are tried in: made once, and given to each test as a copy."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.bad import World, another, build
from tests.rigs.verbs import Verbs


@pytest.fixture(scope="session")
def first_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    verbs = Verbs()
    with socket.socket() as sat:
        sat.bind(("127.0.0.1", 0))  # and never listens: who connects is refused
        yield build(tmp_path_factory.mktemp("bad"), verbs, sat.getsockname()[1])
    verbs.close()


@pytest.fixture
def world(first_world: World, tmp_path: Path) -> Iterator[World]:
    with another(first_world, tmp_path / "world") as made:
        yield made
