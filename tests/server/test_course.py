"""The course that is kept for a terminal changes no answer: any history of rollouts, pins, check-ins, verdicts, lost files and
other processes' writes gives the same answers with it and without it. And nothing is asked of the database while it stands."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event

from neurath.carriers.base import Seen
from neurath.server.delivery.riding import ServerRiding
from neurath.server.delivery.trickle import Trickle
from neurath.server.fleet import access, actions, rollout
from neurath.server.software import catalog
from neurath.server.store import Store
from neurath.wire import trickle
from neurath.wire.report import Phase, Report, Verdict
from neurath.wire.trickle import Ask, State
from tests.server.world import World, image, open_world

IMAGES = [image(n, 30_000) for n in range(1, 5)]
STEPS = 120


class Twin:
    """One server and its history. `keeps`: its courses are kept; else every heartbeat reads anew."""

    def __init__(self, folder: Path, *, keeps: bool) -> None:
        self.world = open_world(folder)
        self.releases = [self.world.release(f"1.{n}", data, n) for n, data in enumerate(IMAGES, 1)]
        for name in ("a", "b"):
            self.world.terminal(name)
            with self.world.store.read() as db:
                found = access.find(db, name)
            self.world.delivery.record(found, self.world.says(IMAGES[0], stage=1 << 20), self.world.now)
        self.world.start(self.releases[-1])
        self.other = Store(folder)  # another process on the same directory
        self.riding = ServerRiding(Trickle(self.world.delivery))
        self.keeps = keeps
        self.syncs: dict[tuple[str, bytes], int] = {}
        self.asked: dict[str, bytes] = {}

    def beat(self, name: str, link: int, back: int) -> bytes:
        if not self.keeps:
            self.riding.trickle._courses._kept.clear()
            self.riding._known.clear()
        program = self.asked.get(name, trickle.NOTHING)
        sync = max(0, self.syncs.get((name, program), 0) - back)
        state = State(Ask.PIECES, program, sync, link=link) if program != trickle.NOTHING else State(link=link)
        data = self.riding.answer(Seen(name, "twin"), trickle.encode_state(state), 2000, self.world.now)
        reply = trickle.decode_reply(data) if data else trickle.Reply()
        self.asked[name] = reply.program
        if reply.pieces:
            self.syncs[name, reply.program] = reply.first + len(reply.pieces)
        return data

    def act(self, rng: random.Random) -> None:
        """One thing that happens; the same for both twins, since they share the seed."""
        deeds: list[Callable[[random.Random], None]] = [
            self.starts, self.stops, self.pins, self.checks_in, self.ends, self.loses, self.revokes, self.flushes, self.waits,
        ]  # fmt: skip
        rng.choices(deeds, (8, 2, 4, 5, 1, 3, 2, 3, 2))[0](rng)

    def store(self, rng: random.Random) -> Store:
        return rng.choice((self.world.store, self.other))

    def starts(self, rng: random.Random) -> None:
        release = rng.choice(self.releases)
        with self.store(rng).write() as db:
            try:
                made = rollout.create(db, rollout.Plan(release, None), self.world.now)
                rollout.move(db, made.id, "start", self.world.now)
            except Exception:
                db.rollback()

    def stops(self, rng: random.Random) -> None:
        with self.store(rng).write() as db:
            running = [r for r in rollout.all_rollouts(db) if r.state == "running"]
            if running:
                rollout.move(db, rng.choice(running).id, rng.choice(("pause", "abort")), self.world.now)

    def pins(self, rng: random.Random) -> None:
        release = rng.choice([*self.releases, None])
        with self.store(rng).write() as db:
            try:
                rollout.pin(db, access.find(db, rng.choice("ab")), release, "firmware")
            except Exception:
                db.rollback()

    def checks_in(self, rng: random.Random) -> None:
        name, bank, stage = rng.choice("ab"), rng.choice((0, 0, 1, 3)), rng.choice((0, 1 << 20, 1 << 20))
        with self.world.store.read() as db:
            found = access.find(db, name)
        self.world.delivery.record(found, self.world.says(IMAGES[bank], bank + 1, stage=stage), self.world.now)

    def ends(self, rng: random.Random) -> None:
        verdict = rng.choice((Verdict.REFUSED, Verdict.FAILED))
        with self.world.store.read() as db:
            found = actions.current_actions(db, access.find(db, rng.choice("ab")).n)
        for action in found:
            self.world.delivery.reported(action, Report(str(action.id), Phase.FAILED, verdict, reason="so"), self.world.now)

    def loses(self, rng: random.Random) -> None:
        with self.world.store.read() as db:
            found = actions.current_actions(db, access.find(db, rng.choice("ab")).n)
        for action in found:
            path = self.world.store.files.path(action.file)
            if rng.random() < 0.5:
                path.unlink(missing_ok=True)
            elif path.exists():
                path.write_bytes(b"rotten" + path.read_bytes()[6:])

    def revokes(self, rng: random.Random) -> None:
        release, now = rng.choice(self.releases), rng.choice((self.world.now, None, None))
        with self.store(rng).write() as db:
            query = catalog.releases.update().where(catalog.releases.c.id == release.id)
            db.execute(query.values(revoked=now))

    def flushes(self, rng: random.Random) -> None:
        self.world.delivery.flush()
        self.riding.trickle.flush()

    def waits(self, rng: random.Random) -> None:
        self.world.now += rng.choice((30.0, 61.0, 4000.0))

    def close(self) -> None:
        self.other.close()
        self.world.delivery.deltas.close()
        self.world.store.close()


@pytest.mark.parametrize("history", range(3))
def test_any_history_gives_the_same_answers_with_and_without_the_course(history: int, seed: int, tmp_path: Path) -> None:
    answers: list[list[bytes]] = []
    for keeps in (True, False):
        rng = random.Random(seed * 31 + history)
        twin = Twin(tmp_path / f"twin {keeps}", keeps=keeps)
        came = []
        for _ in range(STEPS):
            twin.world.now += 10
            if rng.random() < 0.35:
                twin.act(rng)
            came.append(twin.beat(rng.choice("ab"), rng.choice((0, 0, 60, 200)), rng.choice((0, 0, 0, 3))))
        twin.close()
        answers.append(came)
    assert answers[0] == answers[1]
    assert any(answers[0]), "nothing was ever answered"


@pytest.fixture
def under_way(world: World) -> tuple[World, ServerRiding]:
    world.release("1.0", IMAGES[0], 1)
    terminal = world.terminal()
    world.delivery.record(terminal, world.says(IMAGES[0], stage=1 << 20), world.now)
    world.start(world.release("1.1", IMAGES[1], 2))
    riding = ServerRiding(Trickle(world.delivery))
    for _ in range(3):
        beat(world, riding)
    return world, riding


def beat(world: World, riding: ServerRiding, sync: int | None = None, program: bytes = b"") -> trickle.Reply:
    world.now += 60
    state = State() if sync is None else State(Ask.PIECES, program, sync)
    return trickle.decode_reply(riding.answer(Seen("t1", "toy"), trickle.encode_state(state), 1000, world.now))


def test_a_heartbeat_with_nothing_changed_asks_the_database_nothing(under_way: tuple[World, ServerRiding]) -> None:
    world, riding = under_way
    program = beat(world, riding).program
    said: list[str] = []
    for engine in (world.store._database.engine, world.store._database._writer):
        event.listen(engine, "before_cursor_execute", lambda *told: said.append(told[2]))
    for sync in range(1, 20):
        reply = beat(world, riding, sync, program)
        assert (reply.first, len(reply.pieces)) == (sync, 1)
        seen = Seen("t1", "toy")
        assert riding.at_once(seen, trickle.encode_state(State(Ask.PIECES, program, sync)), 1000, world.now)
    assert said == []
    world.delivery.flush()  # who was heard and what was confirmed is written in batches, and changes no course
    riding.trickle.flush()
    assert said
    said.clear()
    beat(world, riding, 20, program)
    assert said == []


def test_another_process_is_heeded_at_the_next_heartbeat(under_way: tuple[World, ServerRiding]) -> None:
    world, riding = under_way
    program = beat(world, riding).program
    other = Store(world.store.directory)
    with other.write() as db:
        rollout.move(db, 1, "abort", world.now)
    other.close()
    assert beat(world, riding, 5, program) == trickle.Reply()


def test_what_is_written_about_one_terminal_leaves_the_others_courses(under_way: tuple[World, ServerRiding]) -> None:
    world, riding = under_way
    other = world.terminal("t2")  # concerns everybody
    program = beat(world, riding).program
    state = trickle.encode_state(State(Ask.PIECES, program, 3))
    world.delivery.record(other, world.says(IMAGES[0]), world.now)
    assert riding.at_once(Seen("t1", "toy"), state, 1000, world.now) is not None
    with world.store.read() as db:
        own = access.find(db, "t1")
    world.delivery.record(own, world.says(IMAGES[0], stage=0), world.now)
    assert riding.at_once(Seen("t1", "toy"), state, 1000, world.now) is None
    assert beat(world, riding, 3, program) == trickle.Reply()
