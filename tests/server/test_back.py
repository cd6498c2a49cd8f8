"""A rollout taken back: who runs its release gets what it held before, by a release signed above its floor; who only might,
too; who never had it is left alone. And where no signed release leads back, nothing at all is changed."""

from __future__ import annotations

import hashlib

import pytest
from starlette.testclient import TestClient

from neurath.errors import NothingToDo, RefusedError, UsageError
from neurath.ids import Floor
from neurath.server.alerts import causes
from neurath.server.api import management
from neurath.server.fleet import access, actions, back, progress, rollout
from neurath.server.fleet.back import Order, Step, Taken
from neurath.server.fleet.rollout import Person
from neurath.server.store import audit
from neurath.server.store.tables import rollout as rollouts
from neurath.server.store.tables import rollout_terminal as members
from neurath.wire.report import Phase, Report, Verdict
from tests.console.serving import proof, visitor
from tests.contracts.delivery import NEW, OLD
from tests.server.world import World, image

OLDER = image(81)


class Fleet:
    """Terminals on 1.0 (and one on 0.9) that a rollout of 2.0 found: confirmed, under way, failed, not asking yet."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.older, self.old = world.release("0.9", OLDER, 1), world.release("1.0", OLD, 2)
        self.new = world.release("2.0", NEW, 3)
        names = ("confirmed", "underway", "failed", "fresh", "late")
        self.terminals = {name: world.terminal(name) for name in names}
        for name in ("confirmed", "underway", "failed", "fresh"):
            self.check(name, OLD, 2)
        self.check("late", OLDER, 1)

    def check(self, name: str, bank: bytes, sequence: int):
        self.world.now += 1
        said = self.world.says(bank, sequence, nonce=hashlib.sha256(f"{name} {sequence}".encode()).digest()[:8])
        return self.world.delivery.check(self.terminals[name], said, self.world.now)

    def report(self, name: str, offer, report: Report):
        self.world.now += 1
        with self.world.store.read() as db:
            found = actions.of_terminal(db, self.terminals[name].n, offer.action)
        return self.world.delivery.reported(found, report, self.world.now)

    def installs(self, name: str, base: bytes, floor: int, bank: bytes) -> None:
        offer = self.check(name, base, floor)
        self.report(name, offer, Report(offer.action, Phase.OFFERED, secured=offer.size))
        done = Report(offer.action, Phase.UPDATED, Verdict.CONFIRMED, bank=hashlib.sha256(bank).digest())
        assert self.report(name, offer, done) is Verdict.CONFIRMED

    def take_back(self, number: int, **order):
        self.world.now += 1
        with self.world.store.write() as db:
            return back.take_back(db, number, Order(Person("ann", "the screen stays dark"), **order), self.world.now)

    def found(self, number: int) -> rollout.Rollout:
        with self.world.store.read() as db:
            return rollout.find(db, number)

    def tally(self, number: int):
        with self.world.store.read() as db:
            return rollout.tally(db, rollout.find(db, number), self.world.now)

    def why(self, name: str) -> str:
        return self.world.delivery.why(self.terminals[name], "firmware", self.world.now)

    def members(self, number: int) -> set[str]:
        with self.world.store.read() as db:
            return {name for name, one in self.terminals.items() if rollout_has(db, number, one.n)}


def rollout_has(db, number: int, terminal: int) -> bool:
    row = db.execute(members.select().where(members.c.rollout == number, members.c.terminal == terminal)).first()
    return row is not None


@pytest.fixture
def fleet(world):
    made = Fleet(world)
    made.number = world.start(made.new).id
    made.installs("confirmed", OLD, 2, NEW)
    offer = made.check("underway", OLD, 2)
    made.report("underway", offer, Report(offer.action, Phase.DOWNLOADED, done=offer.size, secured=offer.size))
    offer = made.check("failed", OLD, 2)
    made.report("failed", offer, Report(offer.action, Phase.FAILED, Verdict.FAILED, reason="no"))
    return made


def test_whoever_runs_it_or_may_come_to_gets_its_old_image_again(fleet):
    again = fleet.world.release("1.0-again", OLD, 4)
    made = fleet.take_back(fleet.number)
    assert fleet.found(fleet.number).state == "aborted"
    assert fleet.found(fleet.number).why == "taken back: the screen stays dark"
    (way,) = made.rollouts
    assert (way.release, way.back, way.state, way.author) == (again.id, fleet.number, "running", "")
    assert fleet.members(way.id) == {"confirmed", "underway"}, "not who failed, nor who never asked"
    assert fleet.check("fresh", OLD, 2) is None
    # Confirmed: a delta from the new image to the old one, under the new envelope.
    offer = fleet.check("confirmed", NEW, 3)
    assert offer.version == "1.0-again"
    assert f"takes rollout {fleet.number} back" in fleet.why("confirmed")
    fleet.report("confirmed", offer, Report(offer.action, Phase.OFFERED, secured=offer.size))
    done = Report(offer.action, Phase.UPDATED, Verdict.CONFIRMED, bank=hashlib.sha256(OLD).digest())
    assert fleet.report("confirmed", offer, done) is Verdict.CONFIRMED
    # Under way: it has the file, and may still come to run it; as long as it holds the old image nothing is to be done.
    assert fleet.check("underway", OLD, 2) is None
    assert fleet.why("underway").startswith("runs 1.0-again already")
    assert (fleet.tally(way.id).targets, fleet.tally(way.id).confirmed) == (2, 2)
    assert fleet.check("underway", NEW, 3).version == "1.0-again", "it came to run it after all"
    assert fleet.tally(way.id).confirmed == 1
    with fleet.world.store.read() as db:
        kinds = [(one.kind, one.text) for one in progress.timeline(db, fleet.terminals["confirmed"].n)]
    assert ("taken back", f"rollout {way.id} takes rollout {fleet.number} back: the screen stays dark") in kinds


def test_without_a_signed_way_back_nothing_is_changed_and_the_command_is_said(fleet):
    fleet.installs("late", OLDER, 1, NEW)
    with pytest.raises(RefusedError) as refused:
        fleet.take_back(fleet.number)
    fault = refused.value
    assert fault.id == "NRT-393"
    assert fault.what == "there is no signed way back from phone/2.0 for 3 terminals"
    assert "2 held phone/1.0, 1 of them have confirmed phone/2.0: they take nothing below sequence 4" in fault.why
    assert "1 held phone/0.9, 1 of them have confirmed phone/2.0" in fault.why
    assert "--model phone.toml --version 1.0-again-4 --sequence 4 --epoch 0 --key" in fault.hint
    assert fleet.found(fleet.number).state == "running"
    # One of two is not enough; with both signed, each has its own rollout.
    fleet.world.release("1.0-again", OLD, 4)
    with pytest.raises(RefusedError, match=r"for 1 terminal$"):
        fleet.take_back(fleet.number)
    assert fleet.found(fleet.number).state == "running"
    fleet.world.release("0.9-again", OLDER, 5)
    made = fleet.take_back(fleet.number)
    assert [fleet.members(one.id) for one in made.rollouts] == [{"confirmed", "underway"}, {"late"}]
    assert fleet.check("late", NEW, 3).version == "0.9-again"
    with pytest.raises(NothingToDo, match="already"):
        fleet.take_back(fleet.number)


def test_who_has_not_confirmed_takes_the_old_release_as_it_is(world):
    fleet = Fleet(world)
    first = world.start(fleet.old)
    fleet.installs("late", OLDER, 1, OLD)
    number = world.start(fleet.new).id
    offer = fleet.check("late", OLD, 2)
    fleet.report("late", offer, Report(offer.action, Phase.JUDGING, done=offer.size, secured=offer.size))
    fleet.check("late", NEW, 2)  # it runs the new image, and has not confirmed it
    world.move(first, "abort")
    (way,) = fleet.take_back(number).rollouts
    assert way.release == fleet.old.id
    assert (fleet.tally(way.id).targets, fleet.tally(way.id).confirmed) == (1, 0), "that it was confirmed once counts no more"
    offer = fleet.check("late", NEW, 2)
    assert offer.version == "1.0"
    fleet.report("late", offer, Report(offer.action, Phase.OFFERED, secured=offer.size))
    done = Report(offer.action, Phase.UPDATED, Verdict.CONFIRMED, bank=hashlib.sha256(OLD).digest())
    assert fleet.report("late", offer, done) is Verdict.CONFIRMED
    assert fleet.tally(way.id).confirmed == 1


def test_one_release_may_be_named_and_has_to_be_one_that_they_take(fleet):
    better = fleet.world.release("2.1", image(82), 4)
    with pytest.raises(RefusedError, match="no signed way back"):
        fleet.take_back(fleet.number, only="phone/1.0")
    with pytest.raises(UsageError, match="no way back"):
        fleet.take_back(fleet.number, only="phone/2.0")
    (way,) = fleet.take_back(fleet.number, only="phone/2.1").rollouts
    assert (way.release, fleet.members(way.id)) == (better.id, {"confirmed", "underway"})


def test_nobody_is_taken_back_into_another_rollout_of_the_same_release(fleet):
    other = fleet.world.start(fleet.new, access_of(fleet, "fresh"))
    fleet.world.release("1.0-again", OLD, 4)
    with pytest.raises(RefusedError, match=f"rollout {other.id} gives phone/2.0 too"):
        fleet.take_back(fleet.number)
    fleet.world.move(other, "abort")
    assert len(fleet.take_back(fleet.number).rollouts) == 1
    with pytest.raises(NothingToDo, match="holds no terminal"):
        fleet.take_back(other.id)


def test_the_management_plane_takes_back_and_says_what_is_missing(fleet):
    api = TestClient(management(fleet.world.store, fleet.world.delivery))
    refused = api.post(f"/rollouts/{fleet.number}/back")
    assert (refused.status_code, refused.json()["error"]) == (409, "NRT-393")
    assert "neurath sign" in refused.json()["try"]
    fleet.world.release("1.0-again", OLD, 4)
    said = {"by": "ann", "why": "dark", "policy": "waves=1 halt=0%"}
    made = api.post(f"/rollouts/{fleet.number}/back", json=said)
    assert made.status_code == 201
    assert made.json()["ways"] == [{"release": "phone/1.0-again", "terminals": 2, "confirmed": 1}]
    (way,) = made.json()["rollouts"]
    assert (way["back"], way["state"], way["policy"][:7]) == (fleet.number, "running", "waves=1")
    with fleet.world.store.write() as db:
        db.execute(rollouts.update().where(rollouts.c.id == way["id"]).values(state="halted", why="no"))
        (cause,) = causes.standing(db)
    assert f"which takes rollout {fleet.number} back, halted: no" in cause.text


def test_a_button_of_the_console_takes_it_back(fleet):
    fleet.world.release("1.0-again", OLD, 4)
    client = visitor(fleet.world.store, fleet.world.delivery.why)
    page = f"/rollouts/{fleet.number}"
    assert f'action="/rollouts/{fleet.number}/back"' in client.get(page).text.replace('action="..', 'action="')
    pressed = client.post(f"{page}/back", data={"csrf": proof(client, page)}, follow_redirects=False)
    assert (pressed.status_code, pressed.headers["location"][-2:]) == (303, f"/{fleet.number + 1}")
    assert f"Takes rollout {fleet.number} back" in client.get(f"/rollouts/{fleet.number + 1}").text
    with fleet.world.store.read() as db:
        audited = [one.what for one in audit.page(db)]
    assert "POST /rollouts/{number}/back" in audited
    again = client.post(f"{page}/back", data={"csrf": proof(client)}, follow_redirects=False)
    assert "already" in client.get(again.headers.get("location", page)).text + again.text


def access_of(fleet: Fleet, name: str):
    with fleet.world.store.read() as db:
        return access.find(db, name)


def step(brings, base, sequence, *, held=False, confirmed=None, bank="", said=1, checked=5.0):
    after = confirmed is not None and confirmed >= checked
    return Step(7, brings, Floor(0, sequence), base, held, confirmed, bank, Floor(0, said), after)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([step("c", "a", 3, bank="a")], None),  # it failed, or was refused
        ([step("c", "a", 3, held=True, bank="a")], Taken(7, "a", Floor(0, 1), False)),
        ([step("c", "a", 3, bank="c")], Taken(7, "a", Floor(0, 1), False)),  # in judgement
        ([step("c", "a", 3, confirmed=6.0, bank="a")], Taken(7, "a", Floor(0, 4), True)),  # said after its last check-in
        ([step("c", "a", 3, confirmed=4.0, bank="a", said=4)], None),  # and has left it since
        ([step("c", "a", 3, bank="c", said=3)], Taken(7, "a", Floor(0, 4), True)),
        # By way of a release between: what it held before the first step; a step alone is left as well.
        (
            [step("b", "a", 2, confirmed=2.0, bank="c", said=3), step("c", "b", 3, bank="c", said=3)],
            Taken(7, "a", Floor(0, 4), True),
        ),
        ([step("b", "a", 2, confirmed=6.0, bank="a")], Taken(7, "a", Floor(0, 3), True)),
    ],
)  # fmt: skip
def test_what_a_terminal_gets_back_follows_from_what_it_was_given(steps, expected):
    assert back.taken(steps) == expected
