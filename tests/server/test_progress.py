"""The ledger keeps its contract, told directly."""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import insert

from neurath.server.fleet import actions, progress
from neurath.server.fleet.actions import Draft
from neurath.server.fleet.progress import Key
from neurath.server.store.tables import file
from tests.contracts.ledger import IMAGE, SIZE, LedgerContract
from tests.server.world import World, image


class Directly:
    def __init__(self, world: World, release: int, name: str) -> None:
        self.store = world.store
        self.terminal = world.terminal(name)
        with self.store.write() as db:
            draft = Draft(self.terminal.n, "firmware", release, None, "delta", "ff" * 32, SIZE)
            self.action = actions.open_action(db, draft, 1.0)
            progress.offered(db, self.action, 1.0)

    def report(self, report, now):
        with self.store.write() as db:
            progress.reported(db, self.action, report, IMAGE.hex(), now)

    def served(self, start, count, now):
        with self.store.write() as db:
            progress.served(db, self.action, start, count, now)

    def entry(self):
        with self.store.read() as db:
            found = progress.entry(db, Key.of(self.action))
        assert found is not None
        return found


class TestDirectly(LedgerContract):
    names = itertools.count()

    @pytest.fixture(autouse=True)
    def _world(self, world: World) -> None:
        self.world = world
        self.release = world.release("1.0", image(1), 1).id
        with world.store.write() as db:
            db.execute(insert(file).values(digest="ff" * 32, size=SIZE))

    def open(self) -> Directly:
        return Directly(self.world, self.release, f"t{next(self.names)}")

    def test_the_timeline_tells_the_story_in_order(self) -> None:
        told = self.open()
        told.served(0, 10, 2.0)
        with self.world.store.read() as db:
            found = progress.timeline(db, told.terminal.n)
        assert [(e.kind, e.at) for e in found] == [("offered", 1.0), ("downloading", 2.0)]

    def test_counts_say_how_many_stand_where(self) -> None:
        for _ in range(3):
            self.open()
        with self.world.store.read() as db:
            assert progress.counts(db, self.release) == {"offered": 3}
