"""`neurath station`: the restoration station. It knows options and the screen; what is written is the station's to decide and
the terminal's to accept."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli.output import Output
from neurath.errors import LinkError, RefusedError, TrustError

if TYPE_CHECKING:
    from neurath.flash.trust import PublicKey
    from neurath.wire.smp import Identity

#: Seconds between two lines where the screen is no terminal.
TICK = 5.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example: neurath station run --port /dev/ttyUSB0 --stock stock"
    verbs = parser.add_subparsers(dest="what", required=True, metavar="run|sync|list|records|package|identify|provision|enrol")
    _run_options(verbs)
    _sync_options(verbs)
    _stock(_sub(verbs, "list", "what the stock holds", "neurath station list --stock stock"))
    records = _sub(
        verbs, "records", "what was restored, to print or as CSV", "neurath station records --stock stock --csv shift.csv"
    )
    _stock(records)
    records.add_argument("--hours", type=float, default=8.0, metavar="N", help="of the last N hours (default 8: a shift)")
    records.add_argument("--csv", type=Path, metavar="FILE", help="write them here too")
    package = _sub(verbs, "package", "one .nrp file for any SMP tool", "neurath station package app.bin app.env -o app.nrp")
    package.add_argument("image", type=Path, metavar="IMAGE")
    package.add_argument("envelope", type=Path, metavar="ENVELOPE")
    package.add_argument("-o", "--out", type=Path, required=True, metavar="FILE.nrp")
    package.add_argument("--key", type=Path, action="append", default=[], metavar="PUB", help="also check the signature")
    package.add_argument("--leaf", type=int, default=4096, help="leaf size of the model, bytes")
    package.add_argument("--dry-run", action="store_true")
    _port(_sub(verbs, "identify", "ask a terminal who it is", "neurath station identify --port /dev/ttyUSB0"))
    _provision_options(verbs)
    _enrol_options(verbs)


def _run_options(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run_ = _sub(verbs, "run", "restore terminals", "neurath station run --port /dev/ttyUSB0 --port /dev/ttyUSB1 --stock stock")
    _port(run_, several=True)
    _stock(run_)
    run_.add_argument("--label", default="", metavar="ID", help="the terminal that is meant; another one is not written to")
    run_.add_argument("--web", metavar="[HOST:]PORT", help="show the screen as a web page too (this machine only)")
    run_.add_argument("--plain", action="store_true", help="lines instead of a screen")
    run_.add_argument("--release", metavar="V", help="another release than the rule's; needs --reason")
    run_.add_argument("--reason", metavar="TEXT", default="", help="why; goes into the record")
    run_.add_argument("--name", help="name of this station in the records (default: this machine's)")
    run_.add_argument("--once", action="store_true", help="end when one terminal a port is done")
    run_.add_argument("--dry-run", action="store_true", help="identify and choose, write nothing")


def _sync_options(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    sync = _sub(verbs, "sync", "stock down, records up", "neurath station sync --server http://127.0.0.1:8642 --stock stock")
    sync.add_argument("--server", required=True, metavar="URL")
    sync.add_argument(
        "--token",
        metavar="T",
        default="",
        help="one of its own (neurath token add NAME --role operator) or the one all stations share (station.token in the "
        "server's data), needed from another machine (NEURATH_STATION_TOKEN)",
    )
    text = "the station's certificate in the place of a token (neurath key create NAME --certificate DAYS), and ..."
    sync.add_argument("--certificate", type=Path, metavar="NAME.crt.pem", help=text)
    sync.add_argument("--key", type=Path, metavar="NAME.pem", help="... its private key")
    sync.add_argument(
        "--ca", type=Path, metavar="FILE.pem", help="who vouches for the server (default: the system's authorities)"
    )
    _stock(sync)
    sync.add_argument("--accept-keys", action="store_true", help="take new release keys after comparing them with their owner")
    text = "take software only as these roots' repository signed it, from now on (from their owners' hands)"
    sync.add_argument("--root", type=Path, metavar="1.root.json", help=text)
    text = "the first list of keys, out of its owner's hand: keys are what its roots and their successors say, from now on"
    sync.add_argument("--key-roots", type=Path, metavar="1.keys", help=text)
    sync.add_argument("--dry-run", action="store_true", help="say what waits, change nothing")


def _enrol_options(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
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
    text = "for a terminal without noise: make its key here and send it (the others make their own)"
    enrol.add_argument("--send-key", action="store_true", help=text)
    enrol.add_argument("--dry-run", action="store_true")


def _provision_options(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    example = (
        "neurath station provision --port P --id T-0001 --model m.toml --release-key r.pub.pem --records enrolments.jsonl"
    )
    new = _sub(verbs, "provision", "the factory: a name for a terminal that has none, which makes its key itself", example)
    _port(new)
    new.add_argument("--id", required=True, help="the terminal's id, from its label")
    new.add_argument("--model", required=True, type=Path, metavar="MODEL.toml")
    new.add_argument("--release-key", required=True, type=Path, action="append", metavar="PUB.pem", help="one to four")
    new.add_argument("--ticket-key", type=Path, metavar="PUB.pem", help="the server's; without it only the wire can update")
    new.add_argument("--roots", type=Path, metavar="LIST", help="key list 1: whose roots may change these keys, two of three")
    new.add_argument(
        "--records", required=True, type=Path, metavar="FILE.jsonl", help="what was enrolled: a file that only grows"
    )
    new.add_argument("--by", default="", metavar="NAME", help="who does it, for the record (default: this user)")
    new.add_argument("--name", default="station", help="name of this station in the records")
    new.add_argument("--key", type=Path, metavar="PEM", help="the station's own key: signs each record")
    new.add_argument("--dry-run", action="store_true", help="identify and compare, write nothing")


def _sub(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, example: str
) -> argparse.ArgumentParser:
    return verbs.add_parser(name, help=text, description=text, epilog=f"example: {example}")


def _port(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    text = "serial port or pty" + ("; several, side by side" if several else "")
    parser.add_argument("--port", required=True, metavar="P", help=text, action="append" if several else "store")
    parser.add_argument("--baud", type=int, default=115200)


def _stock(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stock", required=True, type=Path, metavar="DIR")


def run(args: argparse.Namespace, out: Output) -> int:
    work = {
        "run": _run,
        "sync": _sync,
        "list": _list,
        "records": _records,
        "package": _package,
        "identify": _identify,
        "provision": _provision,
        "enrol": _enrol,
    }
    return work[args.what](args, out)


# ---- run ---------------------------------------------------------------------------------------------------------------


def _run(args: argparse.Namespace, out: Output) -> int:
    from neurath.cli import station_run

    return _foresee(args, out) if args.dry_run else station_run.run(args, out)


def _foresee(args: argparse.Namespace, out: Output) -> int:
    """What would be written at each port."""
    from neurath.cli.station_run import wished
    from neurath.station.select import select
    from neurath.station.stock import Stock

    stock, wish, open_ones = Stock(args.stock), wished(args), 0
    for port in args.port:
        identity = _ask(port, args.baud)
        if not identity.open:
            out.data("nothing to restore: it runs its software", port=port, terminal=identity.id)
            continue
        open_ones += 1
        found = select(identity, stock.index().entries, stock.assigned(identity.id), wish)
        text = f"would write {found.entry.version} to {identity.id}: {found.reason}"
        out.data(text, port=port, terminal=identity.id, version=found.entry.version, reason=found.reason)
    return 0 if open_ones else 3


def _records(args: argparse.Namespace, out: Output) -> int:
    from neurath.disk import write_whole
    from neurath.station import records
    from neurath.station.stock import Stock

    stock = Stock(args.stock)
    stock.index()
    found = records.since(stock, time.time() - args.hours * 3600)
    if args.csv is not None:
        write_whole(args.csv, records.table(found).encode())
    if out.json:
        for one in found:
            out.data("", **one)
        return 0
    out.data(records.sheet(found))
    return 0


# ---- identify, enrol ---------------------------------------------------------------------------------------------------


def _ask(port: str, baud: int) -> Identity:
    import asyncio

    from neurath.station.line import Line

    async def ask() -> Identity:
        line = Line(port, baud)
        try:
            await line.open()
            return await line.identity()
        except ConnectionError as fault:
            raise LinkError(f"cannot open {port}", str(fault), f"neurath doctor --serial {port} names the cure") from None
        finally:
            await line.close()

    return asyncio.run(ask())


def _identify(args: argparse.Namespace, out: Output) -> int:
    found = _ask(args.port, args.baud)
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


def _provision(args: argparse.Namespace, out: Output) -> int:
    from neurath.cli import station_provision

    return station_provision.run(args, out)


def _enrol(args: argparse.Namespace, out: Output) -> int:
    import asyncio
    import secrets

    from neurath.flash.geometry import model_from_toml
    from neurath.flash.trust import Birth
    from neurath.ids import checked_name
    from neurath.station.line import Line
    from neurath.station.provision import named
    from neurath.wire import enrolment, keys

    model = model_from_toml(args.model.read_text(encoding="utf-8", errors="replace"))
    birth = Birth(
        id=checked_name(args.id, "terminal id"),
        model=model.name,
        vendor=model.vendor,
        klass=model.klass,
        device_key=secrets.token_bytes(32) if args.send_key else b"",
        release=tuple(keys.load_public(path) for path in args.release_key),
        ticket=keys.load_public(args.ticket_key) if args.ticket_key else None,
    )
    seen = _ask(args.port, args.baud)
    if seen.enrolled:
        raise RefusedError(f"this terminal is {seen.id} already", "a birth record is written once", "nothing is to be done")
    if args.dry_run:
        out.data(f"would enrol {birth.id} as {birth.model}", terminal=birth.id, model=birth.model)
        return 0

    async def write() -> PublicKey:
        line = Line(args.port, args.baud)
        try:
            await line.open()
            await line.enrol(birth, b"" if args.send_key else secrets.token_bytes(32))
            await line.reset()
            if args.send_key:
                return keys.from_seed(birth.device_key).public
            await named(line)
            return (await line.known())[0]
        except ConnectionError as fault:
            raise LinkError(f"cannot open {args.port}", str(fault), "plug the cable in again") from None
        finally:
            await line.close()

    try:
        made = asyncio.run(write())
    except RefusedError as fault:
        hint = fault.hint if args.send_key else "--send-key, if it is one that can make no key"
        raise RefusedError(fault.what, fault.why, hint, id=fault.id) from None
    text = enrolment.key_text(made)
    out.data(
        f"enrolled {birth.id} as {birth.model}; its server is told: neurath terminal key {birth.id} {text}",
        terminal=birth.id,
        model=birth.model,
        device_key=keys.fingerprint(made),
        key=text,
    )
    return 0


# ---- stock -------------------------------------------------------------------------------------------------------------


def _sync(args: argparse.Namespace, out: Output) -> int:
    from neurath.station.stock import Stock
    from neurath.station.sync import Source, signed, sync, sync_signed

    stock, root = Stock(args.stock), b"" if args.root is None else args.root.read_bytes()
    if args.dry_run:
        waiting = len(stock.queued())
        out.data(f"{waiting} records wait for {args.server}", records=waiting)
        return 0
    shown = () if args.certificate is None and args.key is None else (str(args.certificate or ""), str(args.key or ""))
    source = Source(args.server, args.token, "" if args.ca is None else str(args.ca), shown)
    roots = b"" if args.key_roots is None else args.key_roots.read_bytes()
    if root or signed(stock):
        done = sync_signed(stock, source, root)
    else:
        done = sync(stock, source, accept_keys=args.accept_keys, roots=roots)
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
    from neurath.disk import write_whole
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
        write_whole(args.out, built)
    done = "would write" if args.dry_run else "wrote"
    out.data(f"{done} {args.out} ({len(built):,} bytes)", file=str(args.out), size=len(built))
    return 0
