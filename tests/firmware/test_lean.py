"""The lean boot core as it is linked for a Cortex-M3: it stays as small as its page says, brings an update to its end with
signatures checked, goes on after a cut by itself where the file lies in free flash, is restored over the wire where it does
not, and says what it lacks."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import random
import re
import subprocess
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cbor2
import pytest

from neurath.delta.budget import Wish
from neurath.delta.build import build
from neurath.flash.bank import ImageRecord
from neurath.flash.geometry import Layout, Model, model_from_toml
from neurath.flash.native import KINDS, Core, Nor, lib, write_bank
from neurath.flash.profiles import QUICK, SIMPLE, SMALL, TINY
from neurath.flash.trust import Birth
from neurath.ids import TerminalId
from neurath.sim.unicorn_cuts import Known, Met
from neurath.sim.unicorn_lean import CONFIRM, ECHO, HANG, IDLE, UPDATE, End, LeanChip, Said
from neurath.sim.unicorn_rig import FLASH, Operation, Program
from neurath.wire import keys, manifest, package, smp, ticket
from neurath.wire.keys import Alg
from neurath.wire.smp import Deframer, Message
from tests.parts import ASSURANCE, need

pytestmark = pytest.mark.heavy
ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "examples" / "lean-m3"
PAGE = ROOT / "docs" / "assurance" / "phone.md"
KEY, TICKET = keys.create(Alg.ES256), keys.create(Alg.ES256)
NAME = "lean-1"
SIZE = 20_000
#: Flash of everything from boot to verdict (docs/assurance/phone.md).
GOAL = 32_768


@functools.cache
def built(decoder: str = "small") -> Path:
    need("arm-none-eabi-gcc")
    out = ROOT / "out" / f"lean-m3-{decoder}"
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            ["make", "-C", str(HOME), f"OUT={out}", f"LEAN_DECODER={decoder}"], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return out


@functools.cache
def model() -> Model:
    return model_from_toml((HOME / "lean.toml").read_text())


def image_of(version: int) -> bytes:
    """An application of this version, and what else such an image holds."""
    app = (built() / f"app-{version}.bin").read_bytes()
    rest = bytearray(random.Random(1).randbytes(SIZE))
    for at in (3_000, 9_000, 17_000) if version > 1 else ():
        rest[at : at + 90] = random.Random(at).randbytes(90)
    return app + bytes(rest[len(app) :])


@dataclass(frozen=True)
class Case:
    """One terminal and the update it is offered."""

    decoder: str
    old: bytes
    new: bytes
    envelope: bytes
    file: bytes

    @property
    def layout(self) -> Layout:
        return model().layout

    @property
    def program(self) -> Program:
        return Program.of(built(self.decoder) / "lean.elf")

    def birth(self) -> Birth:
        m = model()
        return Birth(NAME, m.name, m.vendor, m.klass, bytes(range(32)), (KEY.public,), TICKET.public)

    def flash(self, *, staged: bool = True) -> Nor:
        nor = Nor.memory(self.layout)
        nor.write_raw(0, self.program.code)
        write_bank(nor, self.old)
        core = Core(self.layout, nor)
        core.write_birth(self.birth())
        core.provision(ImageRecord(hashlib.sha256(self.old).digest(), len(self.old), self.named(sign(self.old, 1)), 1, 0))
        if staged:
            nor.write_raw(self.layout.stage.base, self.file)
        nor.forget()
        return nor

    def named(self, envelope: bytes) -> bytes:
        return manifest.verify(envelope, [KEY.public]).digest[:16]

    def offer(self, signer: keys.SigningKey = TICKET) -> bytes:
        """Ticket and envelope as the boot core takes them (docs/spec/rescue.md 3). The same each time, although a signature
        has chance in it: chips that are told apart by their states must not differ by it."""
        return _offer(self, signer)

    def chip(self, nor: Nor, **more: object) -> LeanChip:
        return LeanChip(self.program, nor, **more)  # type: ignore[arg-type]

    def update(self, chip: LeanChip, *, seed: int = 0) -> Said:
        return chip.run(UPDATE, self.offer(), None, FLASH + self.layout.stage.base, seed=seed)

    def holds(self, nor: Nor) -> bytes:
        return nor.read_raw(self.layout.bank[0].base, len(self.new))

    def finish(self, chip: LeanChip) -> int:
        """Power-ups until the new application is confirmed, by the boot core and the application alone."""
        for life in range(1, 7):
            said = chip.run(CONFIRM, seed=life)
            if said.end is End.DONE and said.version == 2:
                assert said.result == 0
                return life
            if said.end is End.DONE:
                assert self.update(chip, seed=life).end in (End.RESTART, End.DONE)
        raise AssertionError("it never came to its end")


@functools.cache
def _offer(case: Case, signer: keys.SigningKey) -> bytes:
    signed = ticket.sign(
        ticket.Ticket(
            device=ticket.device_of(TerminalId(NAME)),
            nonce=ticket.nonce(bytes(range(32)), case.named(sign(case.old, 1)), 0),
            serial=1,
            kind=ticket.DELTA,
            envelope=case.named(case.envelope),
            file=hashlib.sha256(case.file).digest()[:16],
            file_size=len(case.file),
            base=hashlib.sha256(case.old).digest()[:16],
            blocks=bytes(16),
            key_list=0,
        ),
        signer,
    )
    return b"NRA\1" + b"".join(len(part).to_bytes(2, "little") + part for part in (signed, case.envelope))


def sign(image: bytes, sequence: int) -> bytes:
    return manifest.sign(manifest.contents_of(image, model(), sequence=sequence), KEY)


def case_of(profile: int = SMALL) -> Case:
    old, new = image_of(1), image_of(2)
    decoder = "tiny" if profile == TINY else "small"
    return Case(decoder, old, new, sign(new, 2), build(old, new, model().layout, Wish(profile=profile)).data)


def stated(decoder: str) -> int:
    """In the table of the page: what the lean boot core of examples/lean-m3 is held to with this decoder."""
    found = re.search(rf"^\| \*{decoder}\* \| [\d,]+ \| ([\d,]+) \|", PAGE.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1].replace(",", ""))


@pytest.mark.parametrize("decoder", ["small", "tiny"])
def test_the_lean_boot_core_takes_no_more_flash_than_its_page_says(decoder: str) -> None:
    taken = len(Program.of(built(decoder) / "lean.elf").code)
    assert taken <= stated(decoder)
    assert decoder == "small" or taken <= GOAL


@pytest.mark.parametrize("profile", [QUICK, TINY])
def test_an_update_with_signatures_goes_through_and_is_confirmed(profile: int) -> None:
    case = case_of(profile)
    nor = case.flash()
    chip = case.chip(nor)
    assert chip.run(IDLE) == Said(End.DONE, 1, 0)
    assert case.update(chip).end is End.RESTART
    assert case.holds(nor) == case.new
    assert case.finish(chip) == 1
    assert nor.violations == 0


def test_an_offer_that_nobody_signed_changes_nothing() -> None:
    case = case_of()
    chip = case.chip(case.flash())
    said = chip.run(UPDATE, case.offer(keys.create(Alg.ES256)), None, FLASH + case.layout.stage.base)
    assert said == Said(End.DONE, 1, lib.NRT_E_TRUST)
    assert not chip.operations


def test_a_file_of_a_profile_that_is_not_linked_is_refused_with_the_bank_untouched() -> None:
    case = case_of(SIMPLE)
    chip = case.chip(case.flash())
    said = case.update(chip)
    assert said == Said(End.DONE, 1, lib.NRT_E_FORMAT)
    assert not [o for o in chip.operations if o.at >= case.layout.bank[0].base]


def test_an_application_that_hangs_three_times_is_given_up_and_the_wire_is_open() -> None:
    case = case_of()
    nor = case.flash()
    chip = case.chip(nor)
    assert case.update(chip).end is End.RESTART
    assert [chip.run(HANG, seed=None).end for _ in range(4)] == [End.RESTART] * 3 + [End.SILENT]


def cuts(case: Case, operations: list[Operation]) -> list[int]:
    """Operations to cut at: the first in the bank, and one in the midst of those."""
    bank = case.layout.bank[0]
    places = [n for n, o in enumerate(operations) if bank.base <= o.at < bank.end]
    return sorted({places[0], places[len(places) // 2]})


def torn(case: Case, operations: list[Operation], number: int, kind: str, *, staged: bool = True) -> Nor:
    nor = case.flash(staged=staged)
    nor.cut_at(number, kind, number)
    chip = case.chip(nor)
    assert chip.run(UPDATE, case.offer(), case.file).end is End.CUT
    nor.power(0)
    return nor


@dataclass
class Watched(LeanChip):
    """A chip whose states can be told apart: by its lines and its clock too."""

    def state(self) -> bytes:
        return super().state() + repr((self._in, self._idle, self._millis, self._end)).encode()


def done(nor: Nor, operation: Operation) -> int:
    """The operation again, on this flash."""
    if operation.data:
        return int(lib.nrt_host_program(nor.raw, operation.at, operation.data, len(operation.data)))
    return int(lib.nrt_host_erase(nor.raw, operation.at))


def test_after_a_cut_it_goes_on_by_itself_where_the_file_lies_in_free_flash() -> None:
    """Torn cells that may read either way are read both ways. A life ends where another has been (decision 0443)."""
    case = case_of()
    whole = case.chip(case.flash())
    assert case.update(whole).end is End.RESTART
    operations = whole.operations
    chosen = range(len(operations)) if ASSURANCE else cuts(case, operations)
    front, known, lived = case.flash(), Known(), 0
    seen: set[bytes] = set()
    for number, operation in enumerate(operations):
        for kind in () if number not in chosen else KINDS if ASSURANCE else ("early",):
            for reading in (0, 1) if kind in ("weak", "meta", "ghost") else (0,):
                nor = case.flash()
                lib.nrt_nor_copy(nor.raw, front.raw)
                nor.cut_at(0, kind, number)
                assert done(nor, operation) == lib.NRT_CUT
                nor.power(reading)
                chip = Watched(case.program, nor)
                if (state := chip.state()) in seen:
                    continue  # nothing is torn: the operation before left the same
                seen.add(state)
                known.watch(chip)
                with suppress(Met):
                    case.finish(chip)
                    assert case.holds(nor) == case.new, (number, kind, reading)
                    lived += 1
                known.ends()
        done(front, operation)
    assert lived > 0
    assert case.holds(front) == case.new


def restorer(data: bytes, seen: list[dict[str, object]]) -> Generator[bytes, bytes, None]:
    """What a stock tool says, one request at a time; it is sent what was answered."""
    deframer, off, piece = Deframer(), 0, 256

    def ask(op: int, group: int, command: int, body: dict[str, object]) -> Generator[bytes, bytes, None]:
        heard = list(deframer.feed((yield smp.frame(Message(op, group, command, cbor2.dumps(body), 7, 1)))))
        while not heard:
            heard = list(deframer.feed((yield b"")))
        seen.append(cbor2.loads(heard[0].body))

    yield from ask(2, smp.GROUP, 1, {"id": "x"})
    yield from ask(0, smp.GROUP, smp.IDENTIFY, {})
    while off < len(data):
        body: dict[str, object] = {"off": off, "data": data[off : off + piece]}
        if off == 0:
            body |= {"len": len(data), "sha": hashlib.sha256(data).digest(), "image": 0}
        yield from ask(2, 1, 1, body)
        off = int(str(seen[-1]["off"]))


def test_after_a_cut_without_the_file_the_wire_restores_it_and_says_what_is_not_linked() -> None:
    case = case_of(TINY)
    whole = case.chip(case.flash())
    case.update(whole)
    bank = case.layout.bank[0]
    number = next(n for n, o in enumerate(whole.operations) if o.at >= bank.base) + 2
    nor = torn(case, whole.operations, number, "early", staged=False)
    seen: list[dict[str, object]] = []
    tool = restorer(package.build(case.envelope, case.new, case.layout.leaf), seen)
    begun = False

    def wire(said: bytes) -> bytes:
        nonlocal begun
        try:
            if begun:
                return tool.send(said)
            begun = True
            return next(tool)
        except StopIteration:
            return b""

    chip = case.chip(nor, wire=wire)
    assert chip.run().end is End.RESTART
    assert seen[0] == {"rc": 8}  # MGMT_ERR_ENOTSUP
    assert isinstance(seen[1]["r"], bytes)
    assert smp.decode(seen[1]["r"]).id == NAME
    assert case.holds(nor) == case.new
    chip.wire = None
    assert chip.run(CONFIRM) == Said(End.DONE, 2, 0)


def test_a_datagram_of_the_modem_comes_back_in_its_frame() -> None:
    case = case_of()
    chip = case.chip(case.flash(), air=framed(b"\xc0hello\xdb"))
    assert chip.run(ECHO) == Said(End.DONE, 1, 7)
    assert chip.told == framed(b"\xc0hello\xdb")


def framed(data: bytes) -> bytes:
    """As firmware/air.c frames it: SLIP, and a CRC-16 behind the datagram."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
    data += crc.to_bytes(2, "big")
    return b"\xc0" + data.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"
