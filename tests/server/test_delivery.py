"""Delivery keeps its contract, called directly; and each of its answers has a reason that a person can read."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from neurath.errors import DataError, RefusedError
from neurath.ids import Floor, digest
from neurath.server.delivery import tickets
from neurath.server.delivery.calls import Sync
from neurath.server.fleet import actions, progress, rollout, selection
from neurath.server.software import catalog
from neurath.server.software.catalog import Upload
from neurath.wire import manifest, ticket
from neurath.wire.offer import Kind
from neurath.wire.report import Phase, Report, Verdict
from tests.contracts.delivery import NEW, OLD, DeliveryContract
from tests.server.world import KEY, MODEL, OVERHEAD, World, build, image


class Directly:
    def __init__(self, world: World) -> None:
        self.world = world
        self.terminal = world.terminal()
        self.release = world.release
        self.start = world.start

    def check(self, check):
        self.world.now += 1
        return self.world.delivery.check(self.terminal, check, self.world.now)

    def answer(self, file, offset, room):
        return self.world.delivery.answer(self.terminal, Sync(file, offset), room, self.world.now)

    def report(self, report):
        with self.world.store.read() as db:
            action = actions.of_terminal(db, self.terminal.n, report.action)
        self.world.delivery.reported(action, report, self.world.now)

    def says(self, bank, sequence, **more):
        return self.world.says(bank, sequence, **more)

    def stop(self, made):
        self.world.move(made, "abort")


class TestDirectly(DeliveryContract):
    @pytest.fixture(autouse=True)
    def _world(self, world: World) -> None:
        self.world = world

    def open(self) -> Directly:
        return Directly(self.world)


@pytest.fixture
def phone(world):
    """A world in which 1.0 runs and 1.1 is rolled out, and its terminal."""
    world.release("1.0", OLD, 1)
    new = world.release("1.1", NEW, 2)
    hands = Directly(world)
    hands.new, hands.rollout = new, world.start(new)
    return hands


def why(hands):
    return hands.world.delivery.why(hands.terminal, "firmware", hands.world.now)


def test_the_ticket_is_for_this_terminal_nonce_file_and_base(phone):
    offer = phone.check(phone.says(OLD, 1))
    key = phone.world.delivery.key.public
    found = ticket.verify(offer.ticket, [key])
    assert found.device == ticket.device_of("t1")
    assert found.nonce == b"nonce---"
    assert found.file == offer.file[:16]
    assert found.file_size == offer.size
    assert found.envelope.hex() == phone.new.envelope_digest[:32]
    assert found.base == phone.says(OLD, 1).bank[:16]
    assert found.serial >= phone.world.now


def test_serials_grow_even_when_the_store_came_back_from_an_old_backup(phone):
    key = phone.world.delivery.key.public
    serials = [ticket.verify(phone.check(phone.says(OLD, 1)).ticket, [key]).serial for _ in range(3)]
    assert serials == sorted(set(serials))
    phone.world.now += 1000
    assert ticket.verify(phone.check(phone.says(OLD, 1)).ticket, [key]).serial > serials[-1] + 900


def test_the_ticket_key_is_made_once(tmp_path):
    assert tickets.load_key(tmp_path).public == tickets.load_key(tmp_path).public
    assert (tmp_path / "ticket.pem").stat().st_mode & 0o077 == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ticket.pem", "ticket.pub.pem"]


def test_an_unknown_bank_gets_the_full_image_or_the_reason(phone):
    odd = image(99, 20_000)
    assert phone.check(phone.says(odd, 1)).kind is Kind.FULL
    phone.report(Report(str(phone.check(phone.says(odd, 1)).action), Phase.FAILED, Verdict.FAILED, reason="x"))
    phone.world.now += 10_000
    assert phone.check(phone.says(odd, 1, ram=6000)) is None
    assert "not known here" in why(phone)
    assert "cannot lend" in why(phone)


def test_too_little_ram_says_by_how_much(phone):
    offer = phone.check(phone.says(OLD, 1))
    needed = offer.size + 1024 + OVERHEAD
    assert offer.need == needed
    fresh = Directly.__new__(Directly)
    fresh.world, fresh.terminal = phone.world, phone.world.terminal("t2")
    assert fresh.check(phone.says(OLD, 1, ram=needed - 1)) is None
    assert why(fresh) == f"cannot lend {-(-needed // 1024)} KiB: needs {needed:,}, lends {needed - 1:,}"
    assert fresh.check(phone.says(OLD, 1, ram=needed)) is not None


def test_durable_staging_needs_no_ram_for_the_file(phone):
    offer = phone.check(phone.says(OLD, 1, ram=6000, stage=1 << 20))
    assert offer.need == 1024 + OVERHEAD


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "other"}, "says it is a other"),
        ({"floor": Floor(0, 9)}, "below its floor"),
        ({"floor": Floor(1, 0)}, "below its floor"),
    ],
)
def test_each_obstacle_has_its_words(phone, change, words):
    assert phone.check(replace(phone.says(OLD, 1), **change)) is None
    assert words in why(phone)


def test_reasons_follow_the_story(phone):
    assert "has not shown what its bank holds" in why(phone)
    assert phone.check(phone.says(OLD, 1)) is not None
    assert "offered as action" in why(phone)
    assert phone.check(phone.says(NEW, 1)) is None
    assert "not confirmed yet" in why(phone)
    assert phone.check(phone.says(NEW, 2)) is None
    assert why(phone) == "runs 1.1 already"
    phone.stop(phone.rollout)
    assert "no running rollout" in why(phone)


def test_a_failure_backs_off_and_after_three_waits_for_a_person(phone):
    for tries in range(1, 4):
        offer = phone.check(phone.says(OLD, 1))
        assert offer is not None, why(phone)
        phone.report(Report(offer.action, Phase.FAILED, Verdict.FAILED, reason="rehearsal failed"))
        assert phone.check(phone.says(OLD, 1)) is None
        assert "rehearsal failed" in why(phone)
        phone.world.now += 60 * 2**tries
    assert phone.check(phone.says(OLD, 1)) is None
    assert "failed 3 times" in why(phone)
    with phone.world.store.write() as db:
        rollout.pin(db, phone.terminal, phone.new, "firmware")
    assert phone.check(phone.says(OLD, 1)) is not None


def test_a_pin_beats_the_newest_and_none_gives_it_back(phone):
    newer = phone.world.release("1.2", image(3, 20_000), 3)
    phone.world.start(newer)
    assert phone.check(phone.says(OLD, 1)).version == "1.2"
    with phone.world.store.write() as db:
        rollout.pin(db, phone.terminal, phone.new, "firmware")
    assert phone.check(phone.says(OLD, 1)).version == "1.1"
    with phone.world.store.write() as db:
        rollout.pin(db, phone.terminal, None, "firmware")
    assert phone.check(phone.says(OLD, 1)).version == "1.2"


def test_files_stay_held_until_a_verdict(phone):
    def held(offer):
        with phone.world.store.read() as db:
            return actions.held_file(db, offer.file.hex()[:32])

    first = phone.check(phone.says(OLD, 1))
    assert held(first) == first.file.hex()
    phone.world.start(phone.world.release("1.2", image(3, 20_000), 3))
    second = phone.check(phone.says(OLD, 1))
    assert second.file != first.file
    assert held(first) == first.file.hex()
    phone.report(Report(second.action, Phase.FAILED, Verdict.FAILED, reason="x"))
    assert held(first) is None
    assert held(second) is None


def test_another_terminals_file_is_not_answered(phone):
    offer = phone.check(phone.says(OLD, 1))
    phone.report(Report(offer.action, Phase.OFFERED, secured=offer.size))
    other = phone.world.terminal("t2")
    assert phone.world.delivery.answer(other, Sync(offer.file, 0), 300, 1.0) == b""


def test_heard_is_written_in_batches_and_read_at_once(phone):
    delivery = phone.world.delivery
    delivery.heard(phone.terminal, "http", "127.0.0.1", 5.0)
    delivery.heard(phone.terminal, "coap", "127.0.0.2", 6.0)
    assert delivery.last_heard(phone.terminal) == 6.0
    delivery.flush()
    with phone.world.store.read() as db:
        from neurath.server.fleet import access

        found = access.find(db, "t1")
    assert (found.heard, found.carrier, found.address) == (6.0, "coap", "127.0.0.2")


def test_both_outcomes_of_the_one_rule_follow_link_limit_and_ram(world):
    """A5: measured speed before declared speed, the rollout's limit, and what the terminal lends."""
    world.release("1.0", OLD, 1)
    release = world.release("1.1", NEW, 2)  # its full file has 10,000 bytes, its delta 2,500
    made = {}
    for name, link, limit, more in (
        ("fast", 1000, 10.0, {}),
        ("slow", 999, 10.0, {}),
        ("measured", 1000, 10.0, {"link": 999}),
        ("tight", 1000, 10.0, {"ram": 10_000}),
        ("unknown", 0, 10.0, {}),
    ):
        terminal = world.terminal(name, link=link)
        world.start(release, terminal, limit=limit)
        made[name] = world.delivery.check(terminal, world.says(OLD, 1, **more), 2000.0).kind
    assert made == {
        "fast": Kind.FULL,
        "slow": Kind.DELTA,
        "measured": Kind.DELTA,
        "tight": Kind.DELTA,
        "unknown": Kind.DELTA,
    }


def test_components_of_one_terminal_go_their_own_ways(world):
    terminal = world.terminal()
    world.release("1.0", OLD, 1)
    firmware = world.release("1.1", NEW, 2)
    radio_old, radio_new = image(7, 10_000), image(8, 10_000)
    radio = [
        catalog.add(
            world.store,
            Upload(data, "phone", version, component="radio", envelope=signed(data, number)),
            world.now,
        )
        for number, (version, data) in enumerate((("r1", radio_old), ("r2", radio_new)), 1)
    ]
    world.start(firmware)
    world.start(radio[1])
    first = world.delivery.check(terminal, world.says(OLD, 1), 2000.0)
    second = world.delivery.check(terminal, world.says(radio_old, 1, component="radio"), 2000.0)
    assert (first.component, first.version) == ("firmware", "1.1")
    assert (second.component, second.version) == ("radio", "r2")
    assert first.action != second.action
    with world.store.read() as db:
        assert len(actions.current_actions(db, terminal.n)) == 2
        assert sorted(e.component for e in progress.entries(db)) == ["firmware", "radio"]
        assert selection.components_of(db, terminal) == ["firmware", "radio"]


def signed(data, sequence):
    return manifest.sign(manifest.contents_of(data, MODEL.of_component("radio"), sequence=sequence), KEY)


def test_an_envelope_of_one_component_is_not_taken_for_another(world):
    firmware = manifest.sign(manifest.contents_of(NEW, MODEL, sequence=1), KEY)
    with pytest.raises(RefusedError):
        catalog.add(world.store, Upload(NEW, "phone", "r9", component="radio", envelope=firmware), world.now)
    catalog.add(world.store, Upload(NEW, "phone", "r9", component="radio", envelope=signed(NEW, 1)), world.now)
    with pytest.raises(RefusedError):
        catalog.add(world.store, Upload(NEW, "phone", "r9", envelope=signed(NEW, 1)), world.now)


def test_a_component_without_its_delta_gets_the_file_as_it_is(world):
    terminal = world.terminal()
    data = image(8, 10_000)
    upload = Upload(data, "phone", "r2", component="radio", envelope=signed(data, 2))
    world.start(catalog.add(world.store, upload, world.now))
    offer = world.delivery.check(terminal, world.says(b"unknown here", 1, component="radio"), 2000.0)
    assert (offer.kind, offer.file, offer.size, offer.need) == (Kind.FULL, digest(data), len(data), 0)


def test_asking_why_builds_and_opens_nothing(world):
    terminal = world.terminal()
    world.release("1.0", OLD, 1)
    world.start(world.release("1.1", NEW, 2))
    world.delivery.record(terminal, world.says(OLD, 1), 2000.0)
    assert world.delivery.why(terminal, "firmware", 2000.0) == "its update file is not built yet"
    assert world.delivery.deltas.builds == 0
    with world.store.read() as db:
        assert actions.current_actions(db, terminal.n) == []


@pytest.mark.parametrize(
    ("more", "tried"),
    [
        ({}, [2]),
        ({"profiles": 0b0111, "ram": 8 << 20}, [2]),
        ({"profiles": 0b1111, "ram": 8 << 20}, [3]),
        ({"profiles": 0b1111, "ram": 1 << 20}, [2]),
        ({"profiles": 0b1111, "ram": 4_000_000}, [3, 2]),
        ({"profiles": 0b10000}, [4]),
        ({"profiles": 0b100111}, [5]),
        ({"profiles": 0b101111, "ram": 8 << 20}, [3]),
        ({"profiles": 0b10111, "ram": 24_000}, [2, 4]),
    ],
)
def test_a_bank_gets_the_profile_that_its_terminal_names_and_has_the_memory_for(phone, more, tried):
    """The stand-in's files of the large profile want 4 MB, those of the small one 20,000 bytes, the others little."""
    asked = []

    def builder(job):
        if job.new.name == hashlib.sha256(NEW).hexdigest():  # not the file for the way back
            asked.append(job.profile)
        made = build(job)
        return replace(made, workspace={3: 4_000_000, 2: 20_000}.get(job.profile, made.workspace))

    phone.world.delivery.deltas.builder = builder
    assert phone.check(phone.says(OLD, 1, **more)) is not None
    assert asked == tried


def test_the_way_back_is_built_before_the_first_offer_whatever_rescues_the_terminal(phone) -> None:
    """Also where its wire does: the file is there when the server is not reached any more. There a build that fails holds
    nothing up."""
    built = []

    def builder(job):
        built.append((job.old and job.old.name, job.new.name))
        return build(job)

    deltas = phone.world.delivery.deltas
    deltas.builder = builder
    old, new = (hashlib.sha256(data).hexdigest() for data in (OLD, NEW))
    assert phone.check(phone.says(OLD, 1)) is not None
    assert built == [(old, new), (new, old)]


def test_no_way_back_holds_up_nobody_whom_the_wire_brings_back(phone) -> None:
    def builder(job):
        if job.new.name == hashlib.sha256(OLD).hexdigest():
            raise DataError("this way cannot be built", "it is a test")
        return build(job)

    phone.world.delivery.deltas.builder = builder
    assert phone.check(phone.says(OLD, 1)) is not None


def test_a_lost_report_is_made_good_by_the_bank_also_where_its_image_was_signed_twice(world: World) -> None:
    phone = world.terminal()
    first = world.release("2", image(2), 2)
    world.start(first)
    world.delivery.check(phone, world.says(image(1)), world.now)
    again = world.release("2b", image(2), 5)  # the same bytes, under a higher sequence
    world.delivery.check(phone, world.says(image(2), 2), world.now)
    entry = world.entry(phone, first)
    assert entry is not None
    assert entry.verdict == "confirmed"
    assert world.entry(phone, again) is None
