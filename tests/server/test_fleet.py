"""A fleet's life: lists of any length, who leaves and who takes his place, ids used twice, channels, filters, tenants that see
nothing of each other, and an answer to "why" that is never a blank."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from neurath.errors import DataError, NeurathError, NotFound, NothingToDo, RefusedError, UsageError
from neurath.server.fleet import (
    access,
    actions,
    filters,
    life,
    progress,
    reach,
    rollout,
    selection,
    stop,
    target,
    telling,
    waves,
)
from neurath.server.fleet.access import Enrolment, Wanted
from neurath.server.fleet.enrol import Import, rows
from neurath.server.fleet.rollout import Plan
from neurath.server.software.catalog import Upload, add
from neurath.server.software.models import add_plain_model
from neurath.server.store.tables import terminal as terminals
from neurath.wire.report import Phase, Report, Verdict
from tests.parts import ASSURANCE
from tests.server.test_http import DEVICE_ROUTES, Client, serving
from tests.server.world import image, open_world


def find(world, name: str, tenant: str = "DEFAULT"):
    with world.store.read() as db:
        return access.find(db, name, tenant)


def write(world, what, *rest):
    with world.store.write() as db:
        return what(db, *rest)


# ---- lists of any length -------------------------------------------------------------------------------------------------


def test_a_list_is_read_whole_before_anything_is_written(world):
    world.terminal("taken")
    good = ["id,model,token,link\n", "a1,phone,,9600\n", f"a2,phone,{'q' * 40},\n"]
    with Import(world.store, rows(good)) as found:
        (batch,) = found.write(1.0)
    assert [(one.id, len(one.token)) for one in batch] == [("a1", 48), ("a2", 0)]
    assert find(world, "a1").link == 9600
    with world.store.read() as db:
        assert access.admit(db, "DEFAULT", "a1", f"TargetToken {batch[0].token}").id == "a1"
        assert access.admit(db, "DEFAULT", "a2", f"TargetToken {'q' * 40}").id == "a2"
    for lines, kind in (
        (["id,model\n", "b1,phone\n", "taken,phone\n"], RefusedError),
        (["id,model\n", "b1,phone\n", "b2,absent\n"], NotFound),
        (["id,model\n", "b1,phone\n", "b1,phone\n"], DataError),
        (["id,model\n", "b1,phone\n", "b/2,phone\n"], DataError),
        (["id,model,token\n", "b1,phone,\n", "b2,phone,short\n"], DataError),
        (["id,model\n", "b1,phone\n", "b" * 5000 + ",phone\n"], DataError),
        (["name\n", "b1\n"], DataError),
    ):
        with pytest.raises(kind), Import(world.store, rows(lines)) as found:
            list(found.write(1.0))
        with pytest.raises(NotFound):
            find(world, "b1")
    with Import(world.store, rows(["id,model\n", "taken,phone\n", "b1,phone\n"])) as found:
        assert (found.count, found.known) == (2, 1)
        done = list(found.write(1.0, skip_known=True))
    assert [[(one.id, bool(one.token)) for one in batch] for batch in done] == [[("taken", False), ("b1", True)]]
    assert not list(world.store.directory.glob("import-*"))  # nothing of a list stays behind


@given(st.text(max_size=200))
def test_no_text_crashes_the_reader_of_lists(text):
    for lines in ([text], ["id,model,link\n", *text.splitlines(keepends=True)]):
        try:
            list(rows(lines))
        except NeurathError:
            continue


def test_a_long_list_takes_no_memory_and_keeps_nobody_waiting(world, figures):
    """2,000,000 rows in make assurance."""
    count = 2_000_000 if ASSURANCE else 20_000
    lines = itertools.chain(["id,model\n"], (f"T-{n:07},phone\n" for n in range(count)))
    if not ASSURANCE:
        tracemalloc.start()
    with Import(world.store, rows(lines)) as found:
        slowest, last, done = 0.0, time.monotonic(), 0
        begun, spent = last, time.process_time()
        for batch in found.write(1.0):
            done += len(batch)
            slowest, last = max(slowest, time.monotonic() - last), time.monotonic()
    if not ASSURANCE:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8_000_000  # a batch, not the list
    assert done == found.count == count
    with world.store.read() as db:
        assert db.scalar(select(func.count()).select_from(terminals)) == count
    assert slowest < 10.0
    took = f"{time.monotonic() - begun:.0f} s, {time.process_time() - spent:.0f} s of CPU"
    figures("import", f"{count:,} rows of a list are written in {took}; the longest batch took {slowest:.2f} s.")


# ---- leaving and coming --------------------------------------------------------------------------------------------------


def test_one_out_of_service_may_not_speak_and_counts_nowhere(world):
    with serving(world.store.directory.parent / "other") as running:
        client = running.enrol("gone")
        running.world.release("1", image(1), 1)
        made = running.world.start(running.world.release("2", image(2), 2))
        client.checks_in(running.world.says(image(1)))
        assert client.link("deploymentBase")
        terminal = find(running.world, "gone")
        write(running.world, life.decommission, terminal, time.time(), "scrapped")
        assert client.ask("GET", "").status == 401
        with running.world.store.read() as db:
            assert rollout.tally(db, rollout.find(db, made.id), 0.0).targets == 0
            assert access.all_terminals(db) == []
            assert [one.id for one in access.page(db, Wanted(retired=True))] == ["gone"]
            assert actions.current_actions(db, terminal.n) == []
            assert progress.timeline(db, terminal.n)[-1].kind == "decommissioned"  # its history stays
        with pytest.raises(NothingToDo):
            write(running.world, life.decommission, find(running.world, "gone"), time.time())
        token = write(running.world, life.recommission, find(running.world, "gone"), time.time())
        assert client.ask("GET", "").status == 401  # the old token was out of our hands
        assert Client(client.port, token, "gone").ask("GET", "").status == 200


def test_another_device_takes_a_terminals_place(world):
    old = world.terminal("old", link=9600)
    one, two = world.release("1", image(1), 1), world.release("2", image(2), 2)
    made = world.start(two, old)
    write(world, access.tag, old, {"field"}, set())
    write(world, life.put_on, old, "beta")
    write(world, rollout.pin, old, one, "firmware")
    token = write(world, life.replace, find(world, "old"), "new", 5.0)
    new = find(world, "new")
    with world.store.read() as db:
        assert access.admit(db, "DEFAULT", "new", f"TargetToken {token}") == new
        assert (new.model, new.link, new.channel) == ("phone", 9600, "beta")
        assert [t.id for t in access.page(db, Wanted(target="tag:field"))] == ["new"]
        assert selection.select_release(db, new, "firmware").release == one
        assert reach.admits(db, rollout.course(db, rollout.find(db, made.id)), new.n)
        assert not reach.admits(db, rollout.course(db, rollout.find(db, made.id)), old.n)
    assert find(world, "old").replaced_by == "new"
    with pytest.raises(RefusedError):
        write(world, life.replace, new, "old", 6.0)


def test_two_devices_under_one_id_are_found_and_given_nothing(world):
    terminal = world.terminal("t1")
    world.release("1", image(1), 1)
    world.start(world.release("2", image(2), 2))
    one, two, three = (bytes([n]) * 8 for n in (1, 2, 3))

    def checks_in(nonce: bytes):
        return world.delivery.check(find(world, "t1"), world.says(image(1), nonce=nonce), world.now)

    for nonce in (one, one, two, two, three):  # a terminal that installs, and installs again
        assert checks_in(nonce) is not None
    assert checks_in(two) is not None  # once can be a late packet
    assert checks_in(three) is None  # twice is another device
    assert find(world, "t1").twin == world.now
    assert "two devices" in world.delivery.why(find(world, "t1"), "firmware", world.now)
    with world.store.read() as db:
        assert [one.kind for one in progress.timeline(db, terminal.n)].count("twin") == 1
    write(world, life.one_again, find(world, "t1"))
    assert checks_in(three) is not None
    with pytest.raises(NothingToDo):
        write(world, life.one_again, find(world, "t1"))


def test_a_board_that_is_wiped_and_updated_again_and_again_is_one_device(world):
    world.terminal("t1")
    world.release("1", image(1), 1)
    world.start(world.release("2", image(2), 2))
    wiped, updated = b"wiped---", b"updated-"

    def checks_in(bank: bytes, nonce: bytes, sequence: int):
        world.now += 10
        return world.delivery.check(find(world, "t1"), world.says(bank, sequence, nonce=nonce), world.now)

    for _ in range(4):
        offer = checks_in(image(1), wiped, 1)
        assert offer is not None
        with world.store.read() as db:
            action = actions.of_terminal(db, find(world, "t1").n, offer.action)
        for report in (Report(offer.action, Phase.OFFERED, secured=offer.size), Report(offer.action, Phase.UPDATING)):
            world.delivery.reported(action, report, world.now)
        assert checks_in(image(2), updated, 2) is None
        assert checks_in(image(2), updated, 2) is None
    assert find(world, "t1").twin is None


# ---- channels and filters --------------------------------------------------------------------------------------------------


def test_a_release_goes_to_its_channels_and_to_everybody_where_it_has_none(world):
    usual, beta = world.terminal("usual"), world.terminal("beta")
    write(world, life.put_on, beta, "beta")
    release = world.release("2", image(2), 2)
    made = world.start(release)

    def have() -> set[str]:
        with world.store.read() as db:
            chosen = {t.id for t in access.all_terminals(db) if selection.select_release(db, t, "firmware") is not None}
            assert {one.channel.partition("/")[2] for one in telling.lacking(db, rollout.find(db, made.id))} == chosen
            assert rollout.tally(db, rollout.find(db, made.id), 0.0).targets == len(chosen)
        return chosen

    assert have() == {"usual", "beta"}
    write(world, life.publish, release, ["beta"])
    assert have() == {"beta"}
    write(world, life.publish, release, ["beta", "stable"])
    assert have() == {"usual", "beta"}
    write(world, life.put_on, beta, "nightly")
    assert have() == {"usual"}
    write(world, rollout.pin, find(world, "beta"), release, "firmware")  # a pin is a person's word about this one
    with world.store.read() as db:
        assert selection.select_release(db, access.find(db, "beta"), "firmware") is not None
    with pytest.raises(DataError):
        write(world, life.publish, release, ["a b"])
    assert usual.channel == ""


def test_filters_are_kept_by_name_and_written_out_where_they_are_used(world):
    for name, tags in (("a", {"field"}), ("b", {"lab"}), ("c", set())):
        write(world, access.tag, world.terminal(name), tags, set())
    write(world, filters.keep, "field", "tag:field", 1.0)
    write(world, filters.keep, "both", "saved:field or tag:lab", 2.0)
    with world.store.read() as db:
        assert [one.name for one in filters.all_kept(db)] == ["both", "field"]
        assert filters.expanded(db, "not (saved:field) and id:saved:x") == "not ((tag:field)) and id:saved:x"
        asked = filters.expanded(db, "not saved:both")
        assert [t.id for t in access.page(db, Wanted(target=asked))] == ["c"]
        assert filters.count(db, filters.find(db, "both")) == 2
        assert [
            t.id for t in access.page(db, Wanted(target="tenant:DEFAULT and channel:stable and model:ph* and not id:c"))
        ] == [
            "a",
            "b",
        ]
        with pytest.raises(NotFound):
            filters.expanded(db, "saved:absent")
        target.clause(filters.expanded(db, "(saved:both or id:x) and (saved:field)"))
    made = write(world, rollout.create, Plan(world.release("2", image(2), 2), None, target="saved:field"), 3.0)
    write(world, filters.forget, "field")
    assert made.target == "(tag:field)"  # it means what the name meant
    with pytest.raises(NotFound):
        write(world, filters.forget, "field")
    with pytest.raises(UsageError):
        write(world, filters.keep, "bad", "tag:", 1.0)


def test_pages_of_terminals_meet_without_gap_or_overlap(world):
    names = random.Random(4).sample([f"{tenant}/{n}" for tenant in ("DEFAULT", "east", "x") for n in range(12)], 30)
    for name in names:
        tenant, _, own = name.partition("/")
        write(world, access.register, Enrolment(own, "phone", tenant), 0.0)
    for size in (1, 7, 30, 31):
        seen, last = [], ("", "")
        while True:
            with world.store.read() as db:
                page = access.page(db, Wanted(after=last, limit=size))
            if not page:
                break
            seen += [f"{one.tenant}/{one.id}" for one in page]
            last = (page[-1].tenant, page[-1].id)
        assert sorted(seen) == sorted(names)
        assert len(set(seen)) == len(seen)


# ---- tenants -------------------------------------------------------------------------------------------------------------


def test_tenants_see_nothing_of_each_other_on_any_route(tmp_path):
    """The same id in two tenants, with the same software on its way to both."""
    with serving(tmp_path / "data") as running:
        write(running.world, add_plain_model, "lab", 0.0)
        package = add(running.world.store, Upload(b"x" * 5000, "lab", "2.0", kind="swu", filename="f.swu"), 0.0)
        tokens = {
            tenant: write(running.world, access.register, Enrolment("dev", "lab", tenant), 0.0) for tenant in ("east", "west")
        }
        running.world.start(package)
        clients = {tenant: Client(running.port, token, "dev") for tenant, token in tokens.items()}

        def ask(tenant, path, method="GET", whose=None, body=None):
            url = path if path.startswith("/") else f"/{tenant}/controller/v1/dev{'/' + path if path else ''}"
            return clients[whose or tenant].ask(method, url, body)

        numbers, files = {}, {}
        for tenant in clients:
            href = ask(tenant, "").json["_links"]["deploymentBase"]["href"]
            numbers[tenant] = href.rsplit("/", 1)[1].partition("?")[0]
            body = ask(tenant, f"deploymentBase/{numbers[tenant]}").json
            link = body["deployment"]["chunks"][0]["artifacts"][0]["_links"]["download"]["href"]
            assert f"/{tenant}/" in link
            files[tenant] = "/" + link.split("/", 3)[3]
        assert numbers["east"] != numbers["west"]
        for mine, other in (("east", "west"), ("west", "east")):
            # Another tenant's token opens nothing here, on any route there is.
            for method, path in DEVICE_ROUTES:
                where = path.replace("/DEFAULT/", f"/{mine}/").replace("/t1/", "/dev/")
                assert ask(mine, where, method, whose=other, body=b"{}").status == 401
            assert ask(mine, files[mine], whose=other).status == 401
            # Nor does the own token open another's action under the own path.
            for path in ("deploymentBase/{}", "cancelAction/{}", "confirmationBase/{}", "installedBase/{}"):
                assert ask(mine, path.format(numbers[other])).status == 404
            word = {"status": {"execution": "closed", "result": {"finished": "failure"}}}
            assert ask(mine, f"deploymentBase/{numbers[other]}/feedback", "POST", body=word).status == 404
        done = {"status": {"execution": "closed", "result": {"finished": "success"}}}
        assert ask("east", f"deploymentBase/{numbers['east']}/feedback", "POST", body=done).status == 200
        assert "deploymentBase" in ask("west", "").json["_links"]  # what one did is not the other's
        with running.world.store.read() as db:
            verdicts = {t: progress.entries(db, progress.Wanted(access.find(db, "dev", t).n))[0].verdict for t in tokens}
        assert verdicts == {"east": "confirmed", "west": "pending"}


# ---- why -----------------------------------------------------------------------------------------------------------------

MOVES = (
    "check", "check again", "confirm", "fail", "refuse", "pause", "resume", "retry", "abort", "stop", "go on", "pin", "unpin",
    "decommission", "recommission", "channel", "publish", "later", "start", "torn", "sound",
)  # fmt: skip


POLICIES = (
    "at-once", "at-once confirm=yes", "default approve=yes", "at-once window=mon,03:00-04:00,UTC",
    "at-once from=2030-01-01T00:00Z", "at-once until=1970-01-01T00:00Z",
)  # fmt: skip


@settings(max_examples=25 if not ASSURANCE else 2000, deadline=None)
@given(st.lists(st.sampled_from(MOVES), max_size=14), st.sampled_from(POLICIES))
def test_there_is_always_an_answer_to_why(tmp_path_factory, moves, policy):
    world = open_world(tmp_path_factory.mktemp("why") / "data")
    try:
        Life(world, policy).live(moves)
    finally:
        world.delivery.deltas.close()
        world.store.close()


class Life:
    """One terminal's life, and the question after each step of it."""

    def __init__(self, world, policy: str) -> None:
        self.world = world
        world.terminal("t1")
        self.old, self.new = world.release("1", image(1), 1), world.release("2", image(2), 2)
        with world.store.write() as db:
            self.rollout = rollout.create(db, Plan(self.new, None, policy=waves.policy(policy)), world.now).id

    def live(self, moves: list[str]) -> None:
        self.ask()
        for move in moves:
            with contextlib.suppress(NothingToDo, RefusedError):  # what cannot be is refused, and asked about all the same
                self.step(move)
            self.ask()

    def ask(self) -> None:
        for component in ("firmware", "map"):
            said = self.world.delivery.why(find(self.world, "t1"), component, self.world.now)
            assert said.strip()
            assert "None" not in said

    def step(self, move: str) -> None:
        world, terminal = self.world, find(self.world, "t1")
        match move:
            case "check" | "check again" | "torn" | "sound":
                self.checks_in(terminal, move)
            case "confirm" | "fail" | "refuse":
                self.reports({"confirm": Verdict.CONFIRMED, "fail": Verdict.FAILED, "refuse": Verdict.REFUSED}[move], terminal)
            case "pause" | "resume" | "retry" | "abort" | "start":
                write(world, rollout.move, self.rollout, move, world.now)
            case "later":
                world.now += 40_000
            case _:
                self.said(move, terminal)

    def said(self, move: str, terminal) -> None:
        """What an operator does."""
        now = self.world.now
        what = {
            "stop": (stop.stop, stop.Stop(now)),
            "go on": (stop.go_on,),
            "pin": (rollout.pin, terminal, self.new, "firmware"),
            "unpin": (rollout.pin, terminal, None, "firmware"),
            "decommission": (life.decommission, terminal, now),
            "recommission": (life.recommission, terminal, now),
            "channel": (life.put_on, terminal, "beta"),
            "publish": (life.publish, self.new, ["stable"]),
        }[move]
        write(self.world, *what)

    def checks_in(self, terminal, how: str) -> None:
        with self.world.store.read() as db:
            open_ = [a for a in actions.current_actions(db, terminal.n) if a.state == "open"]
        torn = bytes.fromhex(open_[0].file)[:16] if how == "torn" and open_ else b""
        nonce = b"other---" if how == "check again" else b"nonce---"
        self.world.delivery.check(terminal, self.world.says(image(1), open_file=torn, nonce=nonce), self.world.now)

    def reports(self, verdict: Verdict, terminal) -> None:
        with self.world.store.read() as db:
            found = actions.current_action(db, terminal.n, "firmware")
        if found is not None:
            bank = bytes.fromhex(self.new.image) if verdict is Verdict.CONFIRMED else b""
            phase = Phase.UPDATED if bank else Phase.FAILED
            word = Report(str(found.id), phase, verdict, bank=bank, reason="so")
            self.world.delivery.reported(found, word, self.world.now)


# ---- over the API ----------------------------------------------------------------------------------------------------------


def test_the_api_does_all_of_it_a_page_at_a_time(tmp_path):
    with serving(tmp_path / "data") as running:
        anyone = Client(running.port)

        def ask(method, path, body=None, status=200):
            got = anyone.ask(method, f"/api/v1/{path}", body, **({"Content-Type": "application/json"} if body else {}))
            assert got.status == status, got.body
            return got

        listed = "id,model\n" + "".join(f"T-{n:04},phone\n" for n in range(2500))
        got = ask("POST", "terminals/import", listed.encode(), 201)
        made = [json.loads(line) for line in got.body.splitlines()]
        assert (len(made), len(made[7]["token"])) == (2500, 48)
        assert ask("POST", "terminals/import", listed.encode(), 409).json["what"]
        assert ask("POST", "terminals/import", b"id,model\nx,y\n", 404).json["why"]
        assert len(ask("POST", "terminals/import?skip_known=true", listed.encode(), 201).body.splitlines()) == 2500
        seen, path = [], "terminals?limit=900"
        while path:
            page = ask("GET", path)
            seen += [one["id"] for one in page.json]
            link = page.headers.get("link", "")
            path = link.partition("<")[2].partition(">")[0].removeprefix("/api/v1/")
        assert seen == sorted(one["id"] for one in made)
        assert ask("GET", "terminals?limit=0", status=422)
        ask("PUT", "filters/few", {"text": "id:T-000*"})
        assert ask("GET", "filters").json[0]["terminals"] == 10
        assert len(ask("GET", "terminals?target=saved:few").json) == 10
        assert ask("PUT", "filters/bad", {"text": "tag:"}, 400).json["what"]
        assert ask("POST", "terminals/T-0001/decommission", {"why": "lost"}).json["decommissioned"]
        assert len(ask("GET", "terminals?target=saved:few").json) == 9
        assert len(ask("GET", "terminals?target=saved:few&retired=true").json) == 10
        assert ask("POST", "terminals/T-0001/recommission").json["token"]
        assert ask("POST", "terminals/T-0002/replace", {"id": "N-1"}, 201).json["id"] == "N-1"
        assert "replaced by N-1" in ask("GET", "terminals/T-0002/why").json["firmware"]
        assert ask("PUT", "terminals/N-1/channel", {"channel": "beta"}).json["channel"] == "beta"
        assert ask("POST", "terminals/N-1/one", status=409)
        assert ask("POST", "terminals/N-1/confirmation", {"confirmed": True}, 409)
        running.world.release("1.0", image(1), 1)
        assert ask("PUT", "releases/phone/1.0/channels", {"channels": ["beta"]}).json["channels"] == ["beta"]
        assert ask("PUT", "stop", {"by": "ann", "why": "smoke"}).json["stopped"]
        assert ask("GET", "stop").json["by"] == "ann"
        assert "stopped by ann" in ask("GET", "terminals/N-1/why").json["firmware"]
        assert ask("DELETE", "stop").json["stopped"] is False
        assert ask("POST", "releases/phone/1.0/revoke", {"why": "bad"}).json["revoked_why"] == "bad"
        ask("DELETE", "filters/few", status=204)
