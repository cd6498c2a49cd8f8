"""Attacks over the whole terminal: installer, machine, carrier and the real core, against a server that was taken over (it
has the ticket key, never the release key) and a mirror that lies. Each ends with the bank as it was, no erase in bank or
scratch, and a stated reason; and the same terminal then takes the honest update."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice, repeat
from pathlib import Path

import pytest

from neurath import delta
from neurath.carriers.memory import Memory
from neurath.delta.match import Segment
from neurath.errors import NeurathError
from neurath.flash.bank import Why
from neurath.flash.geometry import Model
from neurath.flash.native import Nor, PowerCut
from neurath.ids import ModelName, TerminalId, Version, digest
from neurath.terminal.machine import Policy, Step, events
from neurath.wire import keys, manifest, ticket
from neurath.wire.offer import Kind, Offer
from neurath.wire.report import Report, Verdict
from tests.attack.test_decoder import filed, headed
from tests.parts import ASSURANCE
from tests.terminal.world import DEVICE, MODEL, NAME, NEW, OLD, RELEASE, TICKET, World, envelope_of, image

EVIL = image(66, 24_000)[: len(NEW)]
LAYOUT = MODEL.layout


class Site:
    """A terminal that runs OLD, in the hands of an attacker who holds the ticket key."""

    def __init__(self, folder: Path | None = None) -> None:
        self.world = World.fresh(folder=folder, policy=Policy(back_off=3600.0))
        self.world.nor.forget()
        self.serial = 10

    @property
    def told(self) -> list[Report]:
        return self.world.far.told

    def offers(self, data: bytes, signed: bytes, **forged: object) -> Offer:
        """An offer with a true ticket for whatever this is; `forged` replaces fields of ticket or offer."""
        self.serial += 1
        file = digest(data)
        fields = {
            "device": ticket.device_of(NAME),
            "nonce": self.world._identity(),
            "serial": self.serial,
            "kind": ticket.DELTA,
            "envelope": named(signed),
            "file": file[:16],
            "file_size": len(data),
            "base": digest(OLD)[:16],
            "blocks": digest(b"")[:16],
        }
        fields |= {name: value for name, value in forged.items() if name in fields}
        signer = forged.get("signer", TICKET)
        made = ticket.sign(ticket.Ticket(**fields), signer)  # type: ignore[arg-type]  # fields by name
        kind = Kind(fields["kind"])
        offer = Offer(kind, file, len(data), len(data) + 24_000, signed, made, Version("9"), action=str(self.serial))
        offer = replace(offer, **{name: value for name, value in forged.items() if name in ("size", "need")})
        self.world.far.offer, self.world.far.files[file] = offer, data
        return offer

    def suffers(self, waits: int = 8) -> str:
        """Lets the attack run; the reasons that were told. Nothing but the state log may have been written."""
        world = self.world
        before = flash_of(world.nor)
        world.agent.power_up()
        for _ in range(waits):
            world.agent.wait(700)
        assert flash_of(world.nor) == before
        for span in (*LAYOUT.bank, LAYOUT.scratch):
            assert all(world.nor.erases(at) == 0 for at in range(span.base, span.end, 1024)), "an erase before the gates"
        assert world.bank.facts.broken == 0
        assert not world.bank.facts.plan_open
        assert all(program.unharmed() for program in world.programs.values() if program.length)
        return " / ".join([str(shown) for shown in world.shown] + [report.reason for report in self.told])

    def then_takes_the_honest_update(self) -> None:
        """In the same life, without a restart."""
        world = self.world
        self.serial += 1
        world.far.told.clear()
        world.publish(serial=self.serial)
        if world.agent.machine.step is Step.DARK:
            world.agent.power_up()
        for _ in range(12):
            world.agent.wait()
            world.clock.sleep(1800)
            if any(report.verdict is Verdict.CONFIRMED for report in self.told):
                break
        assert world.holds(NEW)
        assert self.told[-1].verdict is Verdict.CONFIRMED
        assert world.nor.violations == 0


def flash_of(nor: Nor) -> bytes:
    """Everything but the state log."""
    log = {at for span in LAYOUT.log for at in range(span.base, span.end, 1024)}
    return b"".join(nor.read_raw(at, 1024) for at in range(0, LAYOUT.size, 1024) if at not in log)


def named(envelope: bytes) -> bytes:
    try:
        return manifest.verify(envelope, [RELEASE.public]).digest[:16]
    except NeurathError:  # an envelope nobody signed is named by whatever the attacker likes
        return digest(envelope)[:16]


def file_of(old: bytes, new: bytes) -> bytes:
    return delta.build(old, new, LAYOUT).data


HONEST = envelope_of(NEW, 2)
GOOD = file_of(OLD, NEW)


def site(tmp_path: Path, durable: bool) -> Site:
    return Site(tmp_path / "stage" if durable else None)


BOTH = pytest.mark.parametrize("durable", [False, True], ids=["ram", "durable"])


def test_the_honest_update_is_taken_by_itself() -> None:
    Site().then_takes_the_honest_update()


# ---- a server that was taken over ------------------------------------------------------------------------------------


@BOTH
def test_another_image_under_the_envelope_of_a_true_release_is_refused(durable: bool, tmp_path: Path) -> None:
    victim = site(tmp_path, durable)
    victim.offers(file_of(OLD, EVIL), HONEST)
    assert "digest" in victim.suffers(30)
    assert victim.world.bank.facts.failed_proofs == 3
    victim.then_takes_the_honest_update()


def test_a_full_image_that_nobody_signed_is_refused() -> None:
    victim = Site()
    victim.offers(delta.full(EVIL, LAYOUT).data, HONEST, kind=ticket.FULL, base=b"")
    assert "digest" in victim.suffers()
    victim.then_takes_the_honest_update()


def test_a_hazard_delta_to_a_release_that_is_signed_is_refused_before_it_can_destroy_what_it_reads() -> None:
    new = bytes(b ^ 0xFF for b in OLD[:2048]) + OLD[:2048] + OLD[4096:]
    table = [Segment(2048, 0, 2048)]
    victim = Site()
    victim.offers(filed(headed(OLD, new, (0, 1), table), OLD, new, table), envelope_of(new, 2))
    assert "erased by then" in victim.suffers()
    victim.then_takes_the_honest_update()


def forged_envelopes() -> dict[str, bytes]:
    other = Model(ModelName("other"), LAYOUT, ram=MODEL.ram)
    contents = manifest.contents_of(NEW, MODEL, sequence=2)
    thief = keys.from_seed(b"x" * 32)
    good = bytearray(HONEST)
    good[len(good) // 2] ^= 1
    return {
        "another model": manifest.sign(manifest.contents_of(NEW, other, sequence=2), RELEASE),
        "another vendor": manifest.sign(replace(contents, vendor=bytes(16)), RELEASE),
        "the floor itself": envelope_of(image(5), 1),
        "the server's key": manifest.sign(contents, TICKET),
        "a stranger's key": manifest.sign(contents, thief),
        "a flipped bit": bytes(good),
        "nothing": b"",
        "too large for the bank": manifest.sign(replace(contents, image_size=1 << 20), RELEASE),
        "other leaves": manifest.sign(replace(contents, leaf=4096), RELEASE),
    }


@pytest.mark.parametrize("name", forged_envelopes())
def test_an_envelope_that_is_not_for_this_terminal_now_costs_no_transfer(name: str) -> None:
    victim = Site()
    victim.offers(GOOD, forged_envelopes()[name])
    assert victim.suffers()
    assert [report.verdict for report in victim.told if report.verdict is not Verdict.PENDING] == [Verdict.REFUSED]
    assert victim.told[-1].reason
    assert not any(report.secured for report in victim.told)
    victim.then_takes_the_honest_update()


FORGED_TICKETS: dict[str, dict[str, object]] = {
    "of another terminal": {"device": ticket.device_of(TerminalId("unit-2"))},
    "of another time": {"nonce": bytes(8)},
    "for another file": {"file": digest(b"x")[:16]},
    "for another size": {"file_size": len(GOOD) + 1},
    "for another base": {"base": digest(EVIL)[:16]},
    "for another release": {"envelope": bytes(16)},
    "by another key": {"signer": keys.from_seed(b"x" * 32)},
    "by the release key": {"signer": RELEASE},
    "with other blocks": {"blocks": bytes(16)},
}


@pytest.mark.parametrize("name", FORGED_TICKETS)
def test_a_ticket_that_is_not_for_this_transfer_is_refused(name: str) -> None:
    victim = Site()
    victim.offers(GOOD, HONEST, **FORGED_TICKETS[name])
    if name == "with other blocks":
        assert victim.world.far.offer is not None
        victim.world.far.offer = replace(victim.world.far.offer, blocks=bytes(16))
    victim.suffers()
    assert victim.told[-1].verdict is Verdict.REFUSED
    assert victim.told[-1].reason
    assert not any(report.secured for report in victim.told)
    victim.then_takes_the_honest_update()


def test_a_ticket_that_was_replaced_does_not_come_back() -> None:
    victim = Site()
    victim.offers(file_of(OLD, EVIL), HONEST)
    victim.suffers(2)
    assert victim.world.bank.facts.serial == 11
    victim.offers(GOOD, HONEST, serial=10)
    victim.suffers(2)
    assert victim.told[-1].verdict is Verdict.REFUSED
    victim.then_takes_the_honest_update()


def test_the_ticket_of_an_update_that_was_done_is_worth_nothing_afterwards() -> None:
    victim = Site()
    victim.then_takes_the_honest_update()
    used = victim.world.far.offer
    assert used is not None
    victim.world.nor.forget()
    victim.offers(file_of(NEW, EVIL), envelope_of(EVIL, 3), nonce=ticket.nonce(DEVICE, named(envelope_of(OLD, 1)), 0))
    assert victim.suffers()
    assert victim.told[-1].verdict is Verdict.REFUSED


MOST = 0xFFFF_FFFF
NUMBERS: dict[str, dict[str, object]] = {
    "no memory": {"need": 0},
    "a byte too little": {"need": 1},
    "all memory there is": {"need": MOST},
    "no bytes": {"size": 0},
    "four gigabytes": {"size": MOST, "file_size": MOST},
    "four gigabytes and the memory for it": {"size": MOST, "file_size": MOST, "need": MOST},
    "one byte more": {"size": len(GOOD) + 1, "file_size": len(GOOD) + 1},
    "one byte less": {"size": len(GOOD) - 1, "file_size": len(GOOD) - 1},
    "a megabyte": {"size": 1 << 20, "file_size": 1 << 20},
    "two megabytes": {"size": 2 << 20, "file_size": 2 << 20},
}


@BOTH
@pytest.mark.parametrize("name", NUMBERS)
def test_an_offer_of_absurd_numbers_is_refused_or_ends_without_harm(name: str, durable: bool, tmp_path: Path) -> None:
    victim = site(tmp_path, durable)
    victim.offers(GOOD, HONEST, **NUMBERS[name])
    assert victim.suffers()
    assert room_taken(tmp_path) <= victim.world.agent.parts.stage_room + 65536
    victim.then_takes_the_honest_update()


def room_taken(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# ---- a mirror that lies, a link that drips ----------------------------------------------------------------------------

Bend = Callable[[bytes, int, int], Iterator[bytes]]


class Mirror(Memory):
    """Hands on what it likes."""

    bend: Bend

    def _stream(self, file: bytes, offset: int, length: int) -> Iterator[bytes]:
        return self.bend(self.far.file(file), offset, length)


def endless(data: bytes, offset: int, length: int) -> Iterator[bytes]:
    yield from repeat(b"\xa5" * 64)


def more_than_asked(data: bytes, offset: int, length: int) -> Iterator[bytes]:
    yield data[offset : offset + length]
    yield bytes(100)


def nothing(data: bytes, offset: int, length: int) -> Iterator[bytes]:
    yield from ()


def empty_words(data: bytes, offset: int, length: int) -> Iterator[bytes]:
    yield from islice(repeat(b""), 10_000)


def half(data: bytes, offset: int, length: int) -> Iterator[bytes]:
    yield data[offset : offset + length // 2]


def another_file(data: bytes, offset: int, length: int) -> Iterator[bytes]:
    yield random.Random(5).randbytes(length)


def swapped_amid(data: bytes, offset: int, length: int) -> Iterator[bytes]:
    other = file_of(OLD, EVIL).ljust(len(data), b"\0")
    yield data[offset : offset + length // 2]
    yield other[offset + length // 2 : offset + length]


def from_elsewhere(data: bytes, offset: int, length: int) -> Iterator[bytes]:
    yield (data[1:] + data[:1])[offset : offset + length]


@BOTH
@pytest.mark.parametrize(
    "bend", [endless, more_than_asked, nothing, empty_words, half, another_file, swapped_amid, from_elsewhere]
)
def test_a_mirror_that_lies_costs_air_time_and_nothing_else(bend: Bend, durable: bool, tmp_path: Path) -> None:
    victim = site(tmp_path, durable)
    honest = victim.world.carrier
    lying = Mirror(victim.world.far)
    lying.bend = bend
    victim.world.carrier = lying
    victim.world.power()
    victim.offers(GOOD, HONEST)
    assert victim.suffers(4)
    assert room_taken(tmp_path) < 65536
    lying.bend = lambda data, offset, length: honest._stream(digest(data), offset, length)
    victim.then_takes_the_honest_update()


#: All of them are shared out among as many tests, for as many workers.
parts = pytest.mark.parametrize("part", range(PARTS := 8 if ASSURANCE else 1))


def spoilt(count: int, seed: int, part: int) -> Iterator[bytes]:
    """This part of the good file cut short and with bits flipped; every one of them under NEURATH_ASSURANCE=1."""
    return islice(_spoilt(count, seed), part, None, PARTS)


def _spoilt(count: int, seed: int) -> Iterator[bytes]:
    dice = random.Random(seed)
    lengths, bits = range(1, len(GOOD)), range(len(GOOD) * 8)
    for length in lengths if ASSURANCE else dice.sample(lengths, count):
        yield GOOD[:length]
    for bit in bits if ASSURANCE else dice.sample(bits, count):
        flipped = bytearray(GOOD)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


@parts
def test_a_truncated_or_flipped_file_under_a_true_ticket_is_refused_or_makes_the_signed_image(seed: int, part: int) -> None:
    refused = 0
    for data in spoilt(12, seed, part):
        victim = Site()
        victim.offers(data, HONEST)
        world = victim.world
        world.agent.power_up()
        for _ in range(3):
            world.agent.wait(700)
        assert world.holds(NEW) or world.holds(OLD)
        refused += world.holds(OLD)
        if world.holds(OLD):
            assert all(world.nor.erases(at) == 0 for at in range(LAYOUT.scratch.base, LAYOUT.bank[0].end, 1024))
            assert any(report.reason for report in victim.told)
    assert refused > 12


@parts
def test_a_file_that_is_spoilt_on_the_way_is_refused_by_its_digest(seed: int, part: int) -> None:
    for data in spoilt(6, seed + 1, part):
        victim = Site()
        victim.offers(GOOD, HONEST)
        victim.world.far.files[digest(GOOD)] = data
        assert victim.suffers(2)
        assert victim.world.bank.facts.failed_proofs == 0


# ---- a chip that fails, a medium that lies ----------------------------------------------------------------------------


@pytest.mark.parametrize("silent", [False, True])
def test_scratch_that_fails_before_the_first_commit_leaves_the_old_image_running(silent: bool) -> None:
    """Nothing was erased in the bank: that is no reason to call for a visit."""
    world = World.fresh()
    world.nor.fault(LAYOUT.scratch.base, silent=silent)
    world.publish()
    world.until_rest()
    assert world.holds(OLD)
    assert world.far.told[-1].verdict is Verdict.REFUSED
    assert world.far.told[-1].reason
    world.power().power_up()
    assert world.bank.fate is events.Fate.BOOT
    assert world.bank.facts.broken == 0


@pytest.mark.parametrize("place", [0, 1])
def test_a_log_that_cannot_be_written_at_power_up_ends_at_the_wire_and_not_in_the_agents_death(place: int) -> None:
    world = World.fresh()
    world.publish()
    world.nor.cut_at(60, "early")
    with pytest.raises(PowerCut):
        world.until_rest()
    world.nor.power(0)
    world.nor.fault(LAYOUT.log[place].base)
    world.power().power_up()
    assert world.holds(NEW) or world.agent.machine.step in (Step.RESTORING, Step.PARKED, Step.CONTACTING)


def test_both_spans_of_the_state_log_unreadable_asks_for_the_wire_and_keeps_the_identity() -> None:
    world = World.fresh()
    for span in LAYOUT.log:
        world.nor.write_raw(span.base, bytes(span.length))
    world.publish()
    world.agent.power_up()
    for _ in range(4):
        world.agent.wait()
    assert world.agent.machine.step is Step.RESTORING
    assert world.bank.identify().id == NAME
    assert world.bank.facts.broken is Why.BLANK
    assert world.holds(OLD)


@pytest.mark.parametrize("head", [b"NRM1" + bytes(40), b"NRM1" + b"\xff" * 40, b"NRM1", b"NRM1" + bytes(8) + b"\1" * 32])
def test_a_map_of_nonsense_in_the_staging_folder_is_no_more_than_nothing(head: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "stage"
    victim = Site(folder)
    folder.mkdir(exist_ok=True)
    (folder / f"{digest(GOOD)[:16].hex()}.map").write_bytes(head)
    (folder / "aa.map").write_bytes(head)
    victim.then_takes_the_honest_update()


def test_staged_bytes_that_are_not_what_their_map_says_are_fetched_anew(tmp_path: Path) -> None:
    """The map of a whole file, and no file: as after a cut that kept one name and lost the other."""
    folder = tmp_path / "stage"
    victim = Site(folder)
    victim.offers(GOOD, HONEST)
    victim.world.carrier.line.left = 4000
    victim.suffers(2)
    for path in folder.glob("*.nru"):
        path.write_bytes(b"")
    victim.world.carrier.line.mend()
    victim.then_takes_the_honest_update()
