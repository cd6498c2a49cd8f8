"""Eight processes that race for one piece of work, again and again; run by test_workers.py. Prints one JSON line a round: how
many did it, and how many results there are. Usage: race.py deltas|rollout FOLDER DATABASE ROUNDS"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from pathlib import Path

from sqlalchemy import func, select

from neurath.errors import RefusedError
from neurath.server.delivery.pace import Built
from neurath.server.fleet import rollout
from neurath.server.fleet.rollout import Plan
from neurath.server.fleet.waves import policy
from neurath.server.software import catalog
from neurath.server.software.catalog import Upload
from neurath.server.software.deltas import Deltas
from neurath.server.software.models import add_model
from neurath.server.store import Store
from neurath.server.store.tables import delta, notice, rollout_wave
from tests.server.world import KEY, MODEL, Here, build, image, manifest, model_to_toml, public_pem

WORKERS = 8


def put(store: Store, data: bytes) -> str:
    name = store.files.put(data).hex()
    with store.write() as db:
        catalog.keep_file(db, name, data, 0.0)
    return name


def deltas(store: Store, folder: Path, number: int, meet: object) -> bool:
    """Asks for the file of this round until it is there; True: this process built it."""
    built = []

    def one(job: object) -> object:
        built.append(1)
        return build(job)

    mine = Deltas(store, builder=one, pool=Here())
    old, new = image(number, 2000), image(number + 1, 2000)
    names = [store.files.put(data).hex() for data in (old, new)]
    meet.wait()
    deadline = time.monotonic() + 60
    while not isinstance(mine.get(*names, MODEL.layout), Built):
        if time.monotonic() > deadline:
            raise SystemExit("not built within a minute")
        time.sleep(0.002)
    return bool(built)


def step(store: Store, _folder: Path, _number: int, meet: object) -> bool:
    """As a server does: told to try later, it tries later. On a machine that starves who holds the lock, all others are."""
    meet.wait()
    deadline = time.monotonic() + 600
    while True:
        try:
            return rollout.advance(store, time.time())
        except RefusedError:
            if time.monotonic() > deadline:
                raise


def first(what: str, store: Store, number: int) -> None:
    """What there is to race for."""
    if what == "deltas":
        for at in (number, number + 1):
            put(store, image(at, 2000))
        return
    if number == 0:
        with store.write() as db:
            add_model(db, model_to_toml(MODEL), [public_pem(KEY.public).decode()], 0.0)
    data = image(number, 2000)
    signed = manifest.sign(manifest.contents_of(data, MODEL, sequence=number + 1, version=f"{number}"), KEY)
    release = catalog.add(store, Upload(data, MODEL.name, f"{number}", envelope=signed), 0.0)
    with store.write() as db:
        made = rollout.create(db, Plan(release, None, policy=policy("waves=1 halt=5% from=2001-01-01T00:00Z")), 0.0)
        rollout.move(db, made.id, "start", 0.0)
        if number:
            rollout.move(db, made.id - 1, "abort", 0.0)  # what has been raced for is counted no more


def result(what: str, store: Store) -> int:
    with store.read() as db:
        if what == "deltas":
            return int(db.scalar(select(func.count()).select_from(delta)) or 0)
        waves = int(db.scalar(select(func.count()).select_from(rollout_wave)) or 0)
        assert waves == db.scalar(select(func.count(notice.c.rollout.distinct())))
        return waves


def main() -> None:
    what, folder, database, rounds = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    context = multiprocessing.get_context("fork")
    meet, told = context.Barrier(WORKERS + 1), context.SimpleQueue()
    work = {"deltas": deltas, "rollout": step}[what]
    Store(folder, database).close()

    def racer() -> None:
        store = Store(folder, database)
        for number in range(rounds):
            meet.wait()  # it is there
            try:
                told.put(work(store, folder, number, meet))
            except BaseException as fault:  # whoever counts must not wait for one that is gone
                told.put(f"{type(fault).__name__}: {fault}")
                os._exit(1)
        os._exit(0)

    racers = [context.Process(target=racer, daemon=True) for _ in range(WORKERS)]
    for one in racers:
        one.start()
    store = Store(folder, database)
    for number in range(rounds):
        first(what, store, number)
        meet.wait()
        meet.wait()
        answers = [told.get() for _ in racers]
        if any(isinstance(one, str) for one in answers):
            raise SystemExit(f"round {number}: {answers}")
        did = sum(answers)
        sys.stdout.write(json.dumps({"round": number, "did": did, "there": result(what, store)}) + "\n")
    for one in racers:
        one.join(30)
    store.close()


main()
