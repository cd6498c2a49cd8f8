"""A rollout that is created and started in one act, by each door: its fleet is counted before anybody is kept from writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select

from neurath.cli.main import main
from neurath.server.fleet import begin, reach, rollout, waves
from neurath.server.fleet.rollout import Plan
from neurath.server.software.catalog import Release, Upload
from neurath.server.store import Store
from neurath.server.store.sql import next_number
from neurath.server.store.tables import rollout as rollouts
from neurath.server.watch import arrival, folders
from tests.console.serving import proof, visitor
from tests.server.test_pieces import enveloped
from tests.server.world import World, image

POLICY = "waves=50% go-on=90% halt=10% patience=1d"


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """What is counted of a fleet, and whether a write was open then."""
    found: list[tuple[str, bool]] = []
    depth = [0]
    write = Store.write

    @contextmanager
    def watched(store: Store, *about: object, **more: object) -> Iterator[object]:
        with write(store, *about, **more) as db:  # type: ignore[arg-type]
            depth[0] += 1
            try:
                yield db
            finally:
                depth[0] -= 1

    def noted(name: str, count: Callable[..., int]) -> Callable[..., int]:
        def counting(*words: object) -> int:
            found.append((name, depth[0] > 0))
            return count(*words)

        return counting

    monkeypatch.setattr(Store, "write", watched)
    for name in ("targets", "gate"):
        monkeypatch.setattr(reach, name, noted(name, getattr(reach, name)))
    return found


def by_command(world: World, new: Release, database: str, _tmp: Path) -> None:
    words = ["--data", str(world.store.directory), *(["--database", database] if database else [])]
    assert main(["rollout", "create", "--release", new.name, "--all", "--policy", POLICY, "--start", *words]) == 0


def by_console(world: World, new: Release, _database: str, _tmp: Path) -> None:
    client = visitor(world.store)
    given = {"release": new.name, "own": POLICY, "start": "1", "csrf": proof(client, "/rollouts")}
    assert client.post("/rollouts", data=given, follow_redirects=False).status_code == 303


def by_folder(world: World, _new: Release, _database: str, tmp: Path) -> None:
    with world.store.write() as db:
        folders.add(db, folders.Binding(tmp, "phone", "firmware", auto=True, policy=waves.policy(POLICY)), 1.0)
    arrival.arrive(world.store, Upload(image(3), "phone", "3", envelope=enveloped(image(3), 3)), world.now)


@pytest.mark.parametrize("door", [by_command, by_console, by_folder])
def test_no_door_counts_a_fleet_while_nobody_else_can_write(door, world, database, counts, tmp_path) -> None:
    for number in range(4):
        world.terminal(f"t{number}")
    world.start(world.release("1", image(1), 1))
    new = world.release("2", image(2), 2)
    counts.clear()
    door(world, new, database, tmp_path)
    assert [(name, inside) for name, inside in counts if inside] == []
    assert {name for name, _ in counts} == {"targets", "gate"}
    with world.store.read() as db:
        made = rollout.all_rollouts(db)[0]
        stands = rollout.tally(db, made, world.now)
    assert (made.state, made.policy, stands.targets, stands.admitted) == ("running", POLICY, 4, 2)


def test_the_number_that_comes_is_foreseen_and_who_is_quicker_makes_it_count_again(world, counts) -> None:
    for number in range(4):
        world.terminal(f"t{number}")
    new = world.release("2", image(2), 2)
    plan = Plan(new, None, policy=waves.policy(POLICY))
    for again in range(2):  # the first number of all, and one after others
        with world.store.read() as db:
            before, number = begin.foreseen(db, plan, world.now), next_number(db, rollouts.c.id)
        assert before is not None
        counts.clear()
        with world.store.write() as db:
            made = begin.begin(db, plan, before, world.now)
            assert made.id == number == (db.scalar(select(func.max(rollouts.c.id))) or 0), again
        assert counts == []
    with world.store.read() as db:
        before = begin.foreseen(db, plan, world.now)
    with world.store.write() as db:
        rollout.create(db, plan, world.now)  # somebody was quicker
    with world.store.write() as db:
        made = begin.begin(db, plan, before, world.now)
        assert rollout.tally(db, made, world.now).admitted == 2
    assert counts
