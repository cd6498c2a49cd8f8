"""`neurath station`: the restoration station. It knows options and the screen; what is written is the station's to decide and
the terminal's to accept."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli.output import Output
from neurath.errors import LinkError, RefusedError, TrustError, UsageError

if TYPE_CHECKING:
    from neurath.station.machine import Machine
    from neurath.station.run import Bench, Pace
    from neurath.wire.smp import Identity

#: Seconds between two lines where the screen is no terminal.
TICK = 5.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example: neurath station run --port /dev/ttyUSB0 --stock stock"
    verbs = parser.add_subparsers(dest="what", required=True, metavar="run|sync|list|package|identify|enrol")
    run_ = _sub(verbs, "run", "restore terminals on a port", "neurath station run --port /dev/ttyUSB0 --stock stock --once")
    _port(run_)
    _stock(run_)
    run_.add_argument("--release", metavar="V", help="another release than the rule's; needs --reason")
    run_.add_argument("--reason", metavar="TEXT", default="", help="why; goes into the record")
    run_.add_argument("--name", default="station", help="name of this station in the records")
    run_.add_argument("--once", action="store_true", help="end when one terminal is done")
    run_.add_argument("--dry-run", action="store_true", help="identify and choose, write nothing")
    sync = _sub(verbs, "sync", "stock down, records up", "neurath station sync --server http://127.0.0.1:8642 --stock stock")
    sync.add_argument("--server", required=True, metavar="URL")
    sync.add_argument(
        "--token",
        metavar="T",
        default=os.environ.get("NEURATH_STATION_TOKEN", ""),
        help="the stations' token (station.token in the server's data), needed from another machine",
    )
    _stock(sync)
    sync.add_argument("--accept-keys", action="store_true", help="take new release keys after comparing them with their owner")
    sync.add_argument("--dry-run", action="store_true", help="say what waits, change nothing")
    _stock(_sub(verbs, "list", "what the stock holds", "neurath station list --stock stock"))
    package = _sub(verbs, "package", "one .nrp file for any SMP tool", "neurath station package app.bin app.env -o app.nrp")
    package.add_argument("image", type=Path, metavar="IMAGE")
    package.add_argument("envelope", type=Path, metavar="ENVELOPE")
    package.add_argument("-o", "--out", type=Path, required=True, metavar="FILE.nrp")
    package.add_argument("--key", type=Path, action="append", default=[], metavar="PUB", help="also check the signature")
    package.add_argument("--leaf", type=int, default=4096, help="leaf size of the model, bytes")
    package.add_argument("--dry-run", action="store_true")
    _port(_sub(verbs, "identify", "ask a terminal who it is", "neurath station identify --port /dev/ttyUSB0"))
    enrol = _sub(
        verbs,
        "enrol",
        "a new birth record",
        "neurath station enrol --port P --id lab-7 --model m.toml --release-key r.pub.pem",
    )
    _port(enrol)
    enrol.add_argument("--id", required=True, help="the terminal's id, from its label")
    enrol.add_argument("--model", required=True, type=Path, metavar="MODEL.toml")
    enrol.add_argument("--release-key", required=True, type=Path, action="append", metavar="PUB.pem", help="one to four")
    enrol.add_argument("--ticket-key", type=Path, metavar="PUB.pem", help="the server's; without it only the wire can update")
    enrol.add_argument("--dry-run", action="store_true")


def _sub(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, example: str
) -> argparse.ArgumentParser:
    return verbs.add_parser(name, help=text, description=text, epilog=f"example: {example}", allow_abbrev=False)


def _port(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", required=True, metavar="P", help="serial port or pty")
    parser.add_argument("--baud", type=int, default=115200)


def _stock(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stock", required=True, type=Path, metavar="DIR")


def run(args: argparse.Namespace, out: Output) -> int:
    work = {"run": _run, "sync": _sync, "list": _list, "package": _package, "identify": _identify, "enrol": _enrol}
    return work[args.what](args, out)


# ---- run ---------------------------------------------------------------------------------------------------------------


class _Screen:
    """Draws the whole screen on a terminal, one line now and then elsewhere, events with --json."""

    def __init__(self, out: Output) -> None:
        self.out = out
        self.live = sys.stderr.isatty() and not out.json
        self.last: tuple[object, object] = (None, None)
        self.at = 0.0

    def show(self, state: Machine, pace: Pace) -> None:
        from neurath.station import screen

        if self.live:
            print("\x1b[2J\x1b[H" + screen.text(state, pace, colour=True), file=sys.stderr, flush=True)
            return
        key = (state.step, state.verdict)
        if key == self.last and time.monotonic() - self.at < TICK:
            return
        self.last, self.at = key, time.monotonic()
        self.out.talk(screen.line(state, pace))
        self.out.event(
            "task_progress",
            step=state.step.name.lower(),
            held=state.held,
            total=state.total,
            rate=round(pace.rate),
            unplug=state.unplug.value,
            verdict=state.verdict.value,
            reason=state.reason,
        )


def _run(args: argparse.Namespace, out: Output) -> int:
    import asyncio

    from neurath.ids import Version
    from neurath.station.line import Line
    from neurath.station.run import Bench
    from neurath.station.select import Wish
    from neurath.station.stock import Stock

    if args.release and not args.reason.strip():
        raise UsageError("another release needs a reason", "the record must say why", "add --reason TEXT")
    stock = Stock(args.stock)
    stock.index()
    if args.dry_run:
        return _foresee(args, out)
    if args.once and not Path(args.port).exists():
        raise LinkError(f"no port {args.port}", "it does not exist", "plug the cable in, or name another --port")
    wish = Wish(Version(args.release), args.reason) if args.release else None
    bench = Bench(stock, Line(args.port, args.baud), _Screen(out).show, wish, args.name)
    asyncio.run(bench.run(args.once))
    return _verdict(bench, out)


def _verdict(bench: Bench, out: Output) -> int:
    from neurath.station.machine import Step, Verdict
    from neurath.station.screen import word

    state, pace = bench.state, bench.pace
    if state.step is not Step.UNPLUG:
        raise LinkError(
            "the terminal is gone", state.reason or "it does not answer", "plug it in again: it goes on where it was"
        )
    identity = state.identity
    out.data(
        f"{word(state)}  {identity.id if identity else ''}  {state.reason}".rstrip(),
        verdict=state.verdict.value,
        terminal=identity.id if identity else "",
        model=identity.model if identity else "",
        version=bench.selected.entry.version if bench.selected else "",
        reason=state.reason,
        safe_to_unplug=state.unplug.value,
        bytes=pace.sent,
        seconds=round(pace.seconds, 3),
        rate=round(pace.rate),
    )
    return {Verdict.RESTORED: 0, Verdict.HEALTHY: 3, Verdict.NO_RELEASE: 4, Verdict.REFUSED: 7}.get(state.verdict, 1)


def _foresee(args: argparse.Namespace, out: Output) -> int:
    from neurath.ids import Version
    from neurath.station.select import Wish, select
    from neurath.station.stock import Stock

    stock, identity = Stock(args.stock), _ask(args)
    if not identity.open:
        out.data("nothing to restore: it runs its software", terminal=identity.id)
        return 3
    wish = Wish(Version(args.release), args.reason) if args.release else None
    found = select(identity, stock.index().entries, stock.assigned(identity.id), wish)
    out.data(
        f"would write {found.entry.version} to {identity.id}: {found.reason}", version=found.entry.version, reason=found.reason
    )
    return 0


# ---- identify, enrol ---------------------------------------------------------------------------------------------------


def _ask(args: argparse.Namespace) -> Identity:
    import asyncio

    from neurath.station.line import Line

    async def ask() -> Identity:
        line = Line(args.port, args.baud)
        try:
            await line.open()
            return await line.identity()
        except ConnectionError as fault:
            raise LinkError(f"cannot open {args.port}", str(fault), "plug the cable in, or name another --port") from None
        finally:
            await line.close()

    return asyncio.run(ask())


def _identify(args: argparse.Namespace, out: Output) -> int:
    found = _ask(args)
    installed, target = found.installed, found.target
    fields: dict[str, object] = {
        "terminal": found.id,
        "model": found.model,
        "birth": found.birth.name.lower(),
        "fate": found.fate.name.lower(),
        "why": found.why.name.lower(),
        "installed": installed.image.hex() if installed else "",
        "sequence": installed.sequence if installed else 0,
        "candidate": found.candidate,
        "floor": f"{found.floor.epoch}.{found.floor.sequence}",
        "target": target.release.envelope.hex() if target else "",
        "bank": found.bank,
        "nonce": found.nonce.hex(),
        "installs": found.installs,
    }
    out.data("\n".join(f"{key:10} {value}" for key, value in fields.items()), **fields)
    return 0


def _enrol(args: argparse.Namespace, out: Output) -> int:
    import asyncio
    import secrets

    from neurath.flash.geometry import model_from_toml
    from neurath.flash.trust import Birth
    from neurath.ids import checked_name
    from neurath.station.line import Line
    from neurath.wire import keys

    model = model_from_toml(args.model.read_text(encoding="utf-8", errors="replace"))
    birth = Birth(
        id=checked_name(args.id, "terminal id"),
        model=model.name,
        vendor=model.vendor,
        klass=model.klass,
        device_key=secrets.token_bytes(32),
        release=tuple(keys.load_public(path) for path in args.release_key),
        ticket=keys.load_public(args.ticket_key) if args.ticket_key else None,
    )
    seen = _ask(args)
    if seen.enrolled:
        raise RefusedError(f"this terminal is {seen.id} already", "a birth record is written once", "nothing is to be done")
    if args.dry_run:
        out.data(f"would enrol {birth.id} as {birth.model}", terminal=birth.id, model=birth.model)
        return 0

    async def write() -> None:
        line = Line(args.port, args.baud)
        try:
            await line.open()
            await line.enrol(birth)
            await line.reset()
        except ConnectionError as fault:
            raise LinkError(f"cannot open {args.port}", str(fault), "plug the cable in again") from None
        finally:
            await line.close()

    asyncio.run(write())
    device = keys.fingerprint(keys.from_seed(birth.device_key).public)
    out.data(
        f"enrolled {birth.id} as {birth.model}; device key {device[:16]}; its server knows it by the same id",
        terminal=birth.id,
        model=birth.model,
        device_key=device,
    )
    return 0


# ---- stock -------------------------------------------------------------------------------------------------------------


def _sync(args: argparse.Namespace, out: Output) -> int:
    from neurath.station.stock import Stock
    from neurath.station.sync import Source, sync

    stock = Stock(args.stock)
    if args.dry_run:
        waiting = len(stock.queued())
        out.data(f"{waiting} records wait for {args.server}", records=waiting)
        return 0
    done = sync(stock, Source(args.server, args.token), accept_keys=args.accept_keys)
    out.data(
        f"{done.releases} releases, {done.fetched} images fetched, {done.records} records delivered",
        releases=done.releases,
        fetched=done.fetched,
        records=done.records,
    )
    return 0


def _list(args: argparse.Namespace, out: Output) -> int:
    from neurath.station.stock import Stock

    stock = Stock(args.stock)
    for entry in sorted(stock.index().entries, key=lambda e: (e.model, e.rank)):
        state = "revoked" if entry.revoked else "ready" if stock.has(entry) else "image missing"
        out.data(
            f"{entry.model:16} {entry.version:12} sequence {entry.epoch}.{entry.sequence:<6} {entry.size:>9,} bytes  {state}",
            model=entry.model,
            version=entry.version,
            epoch=entry.epoch,
            sequence=entry.sequence,
            size=entry.size,
            image=entry.image,
            state=state,
        )
    for terminal, version in stock.index().assigned:
        out.data(f"assigned         {terminal} -> {version}", terminal=terminal, version=version)
    return 0


def _package(args: argparse.Namespace, out: Output) -> int:
    from neurath.wire import keys, manifest, package

    image, envelope = args.image.read_bytes(), args.envelope.read_bytes()
    # Without a key nobody can say whose it is, but its form can be seen; a TrustError says that the form is right.
    with contextlib.suppress(TrustError):
        manifest.verify(envelope, [])
    if args.key:
        signed = manifest.verify(envelope, [keys.load_public(path) for path in args.key])
        args.leaf = signed.leaf
        if signed.image != hashlib.sha256(image).digest():
            raise TrustError("this envelope is for another image", "the digests differ", "give the image it was made for")
    built = package.build(envelope, image, args.leaf)
    if not args.dry_run:
        args.out.write_bytes(built)
    done = "would write" if args.dry_run else "wrote"
    out.data(f"{done} {args.out} ({len(built):,} bytes)", file=str(args.out), size=len(built))
    return 0
