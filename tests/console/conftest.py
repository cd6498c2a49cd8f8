"""What most tests of the console look at: a pretended fleet with a terminal in every state, and a visitor on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.console.fleet import Fleet, every_state
from tests.console.serving import visitor


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    found = every_state(tmp_path_factory.mktemp("fleet"), time.time())
    yield found
    found.close()


@pytest.fixture(scope="module")
def client(fleet: Fleet) -> TestClient:
    return visitor(fleet.store, fleet.delivery.why)
