import pytest

from tests.server.world import open_world


@pytest.fixture
def world(tmp_path):
    opened = open_world(tmp_path / "data")
    yield opened
    opened.delivery.deltas.close()
    opened.store.close()
