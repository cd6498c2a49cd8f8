"""Rollouts: the list of them, each one's waves, course over time, failures and predicted finish, and the buttons that steer
it. It knows which buttons there are; what each does, and whether it may, is in server.fleet.rollout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from neurath.console import charts
from neurath.console.frame import Fields, Frame, number_in
from neurath.console.sheet import Sheet
from neurath.errors import NotFound
from neurath.server.access import gate
from neurath.server.access.roles import Role
from neurath.server.fleet import back, begin, flow, reach, rollout, spread, stop, waves
from neurath.server.fleet.flow import Flow, Reason, Saved
from neurath.server.fleet.rollout import MOVES, Person, Plan
from neurath.server.fleet.spread import Rollout
from neurath.server.fleet.stop import Stop
from neurath.server.fleet.waves import Policy
from neurath.server.software import catalog
from neurath.units import UnixTime

#: Rollouts on the list.
MOST = 100
#: What each command is called on its button, and the least role for it (server/access/rights.py has the same).
BUTTONS = {
    "pause": ("Halt", Role.OPERATOR),
    "start": ("Start", Role.RELEASER),
    "resume": ("Go on", Role.RELEASER),
    "approve": ("Approve", Role.RELEASER),
    "deny": ("Deny", Role.OPERATOR),
    "retry": ("Try those that failed again", Role.RELEASER),
    "abort": ("End for good", Role.OPERATOR),
    "back": ("Take it back", Role.RELEASER),
}
#: Policies that are offered by name; another one is typed.
POLICIES = ("waves=5% go-on=90% halt=10% patience=1d", "waves=1,10%,50% go-on=95% halt=5% patience=12h", "at-once")


@dataclass(frozen=True, slots=True)
class Rollouts:
    """The list, what could be rolled out, and whether everything is stopped."""

    rollouts: list[Rollout]
    releases: list[str]
    stopped: Stop | None


@dataclass(frozen=True, slots=True)
class One:
    """One rollout: `left` of those it is open to do not run it yet and have not failed; `finish` is when they will, `halts`
    how many failures halt it (None: none do)."""

    rollout: Rollout
    policy: Policy
    flow: Flow
    finish: UnixTime | None
    left: int
    halts: int | None
    opened: list[tuple[int, float]]
    reasons: list[Reason]
    saved: Saved
    commands: list[str]


def rollouts_routes(frame: Frame) -> list[BaseRoute]:
    """`/rollouts`, `/rollouts/N`, their twins, and the buttons."""
    desk = frame.desk

    def everything(_request: Request, now: UnixTime) -> Rollouts:
        with desk.store.read() as db:
            names = [one.name for one in catalog.list_releases(db) if one.offerable]
            return Rollouts(spread.rollouts(db, now, MOST, desk.memory.figures.get), names, stop.stopped(db))

    def one(request: Request, now: UnixTime) -> One:
        number = _number(request)
        with desk.store.read() as db:
            found = rollout.find(db, number)
            make: Callable[[], One] = lambda: read(db, found, now)  # noqa: E731 (typed)
            return desk.memory.figures.get(f"rollout page {number} {found.state} {found.step}", make)

    return [
        *frame.both(("/rollouts", "rollouts.html"), everything, _list),
        *frame.both(("/rollouts/{number}", "rollout.html"), one, _shown, _told),
        *_acts(frame),
    ]


def _acts(frame: Frame) -> list[BaseRoute]:
    """What people do to rollouts, and to all of them at once."""
    desk = frame.desk

    def create(request: Request, fields: Fields) -> str:
        now, before = desk.clock(), None
        if fields.get("start"):
            with desk.store.read() as db:
                before = begin.foreseen(db, _plan(db, fields), now)
        with desk.store.write() as db:
            plan = _plan(db, fields)
            if fields.get("start"):
                return f"/rollouts/{begin.begin(db, plan, before, now, _person(request, '')).id}"
            return f"/rollouts/{rollout.create(db, plan, now).id}"

    def stop_all(request: Request, fields: Fields) -> str:
        person = _person(request, fields.get("why", ""))
        with desk.store.write() as db:
            stop.stop(db, Stop(desk.clock(), person.name, person.why))
        return "/rollouts"

    def go_on(_request: Request, _fields: Fields) -> str:
        with desk.store.write() as db:
            stop.go_on(db)
        return "/rollouts"

    def take_back(request: Request, fields: Fields) -> str:
        with desk.store.write() as db:
            order = back.Order(_person(request, fields.get("why", "")))
            made = back.take_back(db, _number(request), order, desk.clock())
        return f"/rollouts/{made.rollouts[0].id}" if len(made.rollouts) == 1 else "/rollouts"

    def button(command: str) -> Route:
        def press(request: Request, fields: Fields) -> str:
            with desk.store.read() as db:
                counted = rollout.counted(db, _number(request), command, desk.clock())
            person = _person(request, fields.get("why", ""))
            with desk.store.write() as db:
                rollout.moved(db, counted, command, desk.clock(), person)
            return f"/rollouts/{_number(request)}"

        return frame.act(f"/rollouts/{{number}}/{command}", press, "Not changed")

    return [
        frame.act("/rollouts", create, "Not created"),
        *(button(command) for command in MOVES),
        frame.act("/rollouts/{number}/back", take_back, "Not changed"),
        frame.act("/stop", stop_all, "Not stopped"),
        frame.act("/go-on", go_on, "Not changed"),
    ]


def _plan(db: Connection, fields: Fields) -> Plan:
    release = catalog.find_release(db, fields.get("release", ""))
    policy = waves.policy(fields.get("own", "").strip() or fields.get("policy", "") or "default")
    return Plan(release, None, policy=policy, target=fields.get("target", "").strip())


def read(db: Connection, found: rollout.Rollout, now: UnixTime) -> One:
    """One rollout's page."""
    seen = spread.rollout_now(db, found.id, now)
    begin = found.started or found.created
    stands = found.state in ("paused", "halted", "aborted")
    end = max(begin, found.stopped or found.ended or now) if stands else now
    fleet = reach.each(db, rollout.course(db, found), catalog.find_release(db, str(found.release)))
    opened = [(step, at) for step, _, at in rollout.opened(db, found.id)]
    course = flow.flow(db, fleet, (begin, max(end, begin + 1)), [at for _, at in opened])
    policy = waves.policy(found.policy)
    left = max(0, seen.admitted - seen.confirmed - seen.failed - seen.silent)
    running = found.state == "running"
    return One(
        rollout=seen,
        policy=policy,
        flow=course,
        finish=flow.finish(course, left) if running else None,
        left=left,
        halts=None if policy.halt >= 1.0 else int(policy.halt * seen.admitted) + 1,
        opened=opened,
        reasons=flow.reasons(db, fleet),
        saved=flow.saved(db, fleet),
        commands=[
            *(name for name, (allowed, _) in MOVES.items() if found.state in allowed and _sensible(name, found, seen)),
            *(["back"] if found.started is not None and (seen.confirmed or seen.working) else []),
        ],
    )


def _sensible(command: str, found: rollout.Rollout, seen: Rollout) -> bool:
    """Whether a button is worth its place: `start` goes on too, but the word for that is another."""
    if command == "start":
        return found.state == "draft"
    return command != "retry" or bool(seen.failed or seen.silent)


def _number(request: Request) -> int:
    text = str(request.path_params["number"])
    number = number_in(text, 0, 0)
    if not number:
        raise NotFound(f"no rollout {text[:20]!r}", "rollouts have numbers", "neurath rollout show", id="NRT-135")
    return number


def _person(request: Request, why: str) -> Person:
    actor = gate.visit(request.scope).actor
    return Person(actor.name if actor.known else "", " ".join(why.split())[:512])


def _list(seen: Rollouts, sheet: Sheet) -> dict[str, object]:
    return {
        "title": sheet.t("Rollouts"),
        "section": "/rollouts",
        "seen": seen,
        "policies": POLICIES,
        "chosen": sheet.request.query_params.get("release", "")[:130],
    }


def _shown(seen: One, sheet: Sheet) -> dict[str, object]:
    one = seen.rollout
    role = sheet.visit.actor.role
    return {
        "title": f"{one.model} {one.version}",
        "section": "/rollouts",
        "seen": seen,
        "one": one,
        "chart": charts.course(seen.flow, sheet.t),
        "split": charts.split(one, sheet.t),
        "threshold": charts.threshold(one.failed + one.silent, seen.halts, one.admitted, sheet.t) if seen.halts else "",
        "buttons": [
            (name, sheet.t(word)) for name, (word, least) in BUTTONS.items() if name in seen.commands and role >= least
        ],
    }


def _told(seen: One) -> dict[str, object]:
    return asdict(seen) | {"policy": str(seen.policy), "saved": asdict(seen.saved) | {"bytes": seen.saved.bytes}}
