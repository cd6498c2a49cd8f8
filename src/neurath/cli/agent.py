"""`neurath agent`: a terminal on this machine, its flash in one bank file, or components of it as a setup file says. It knows
options; how an agent is put together is terminal.compose's to know, and what happens the machine's."""

from __future__ import annotations

import argparse
import dataclasses
import gc
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import in_use
from neurath.cli.agent_lines import Progress, history
from neurath.cli.output import Output
from neurath.errors import LinkError, NeurathError, RefusedError, TrustError, UsageError

if TYPE_CHECKING:
    from neurath.flash.geometry import Layout
    from neurath.terminal.acts import Ending
    from neurath.terminal.agent import Agent
    from neurath.terminal.setup import Setup

#: The control socket where nobody says otherwise.
CONTROL = "/run/neurath/agent.sock"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example: neurath agent run --server http://127.0.0.1:8642 --bank t1.bank --model phone.toml --token T --once"
    )
    verbs = parser.add_subparsers(dest="what", required=True, metavar="run|provision|status|answer|remind")
    run_ = _sub(verbs, "run", "check in, update, go on after a power cut", parser.epilog.removeprefix("example: "))
    run_.add_argument("--setup", type=Path, metavar="AGENT.toml", help="everything below, and components beside the firmware")
    _terminal(run_, required=False)
    run_.add_argument("--server", metavar="URL")
    run_.add_argument("--token", default="", metavar="T", help="default: $NEURATH_TOKEN")
    run_.add_argument("--tenant", default="DEFAULT")
    run_.add_argument("--once", action="store_true", help="end after one session (0 updated, 3 nothing newer)")
    run_.add_argument("--poll", type=float, metavar="S", help="seconds between check-ins (default: the server's)")
    run_.add_argument("--ram", type=int, metavar="N", help="bytes of RAM it can lend (default: the model's)")
    run_.add_argument(
        "--stage", default="ram", metavar="DIR|ram", help="where a file gathers: a directory survives power cuts"
    )
    text = "send a heartbeat so often; updates ride on its answers, into --stage DIR"
    run_.add_argument("--trickle", type=float, metavar="SECONDS", help=text)
    text = "while full answers are all that holds an update back, send heartbeats down to so often (default: never)"
    run_.add_argument("--hurry", type=float, default=0.0, metavar="SECONDS", help=text)
    run_.add_argument("--spare", type=int, default=0, metavar="N", help="bytes of RAM that nobody wants, for --trickle")
    run_.add_argument("--heartbeat", default="", metavar="CARRIER", help="what --trickle rides on (default: as --server)")
    run_.add_argument("--wire", type=Path, metavar="LINK", help="offer the restoration wire as a pty with this name")
    in_use.configure(run_)
    run_.add_argument("--no-push", action="store_true", help="poll only; do not keep a stream of notices open")
    run_.add_argument("--push", default="", metavar="URL", help="listen for notices at a broker: mqtt://HOST[:1883]")
    run_.add_argument("--ca", type=Path, metavar="FILE.pem", help="who vouches for the server (default: the system's)")
    run_.add_argument("--proxy", default="", metavar="URL", help="a proxy on the way: http://[USER:WORD@]HOST:PORT")
    run_.add_argument("--trace", type=Path, metavar="FILE", help="append what happens, one JSON object a line")
    run_.add_argument("--confirm", choices=("contact", "boot"), default="contact", help="what confirms a new image")
    run_.add_argument("--kill-at", type=int, metavar="N", help="SIGKILL in the N-th flash operation: a power cut")
    run_.add_argument("--dry-run", action="store_true", help="check in, say what is offered, change nothing")
    example = "neurath agent provision --bank B --model M --image app.bin --envelope app.env --id t1 --release-key r.pub.pem"
    new = _sub(verbs, "provision", "what the factory does: birth record, image, state log", example)
    _terminal(new)
    new.add_argument("--image", required=True, type=Path, metavar="FILE.bin")
    new.add_argument("--envelope", required=True, type=Path, metavar="FILE.env")
    new.add_argument("--id", required=True)
    new.add_argument("--release-key", required=True, type=Path, action="append", metavar="PUB.pem", help="one to four")
    new.add_argument("--ticket-key", type=Path, metavar="PUB.pem", help="the server's; without it only the wire can update")
    new.add_argument("--roots", type=Path, metavar="LIST", help="key list 1: whose roots may change these keys, two of three")
    new.add_argument("--dry-run", action="store_true")
    status = _sub(
        verbs, "status", "what a running agent does, or what a bank file says", "neurath agent status --bank B --model M"
    )
    _terminal(status, required=False)
    status.add_argument("--stage", type=Path, metavar="DIR", help="with --bank: also what trickles into this directory")
    _reach(status)
    said = _sub(verbs, "answer", "say whether an update may be installed", "neurath agent answer recorder tonight")
    said.add_argument("component", metavar="COMPONENT")
    said.add_argument("answer", choices=("now", "hour", "tonight", "no"), help="close and update, in 1 hour, tonight, no")
    said.add_argument("--dry-run", action="store_true")
    _reach(said)
    again = _sub(verbs, "remind", "have people asked again", "neurath agent remind recorder")
    again.add_argument("component", metavar="COMPONENT")
    again.add_argument("--dry-run", action="store_true")
    _reach(again)


def _sub(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, example: str
) -> argparse.ArgumentParser:
    return verbs.add_parser(name, help=text, description=text, epilog=f"example: {example}")


def _terminal(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    parser.add_argument(
        "--bank", required=required, type=Path, metavar="FILE", help="the whole flash: a file, /dev/mtdN or a block device"
    )
    parser.add_argument("--model", required=required, type=Path, metavar="MODEL.toml")


def _reach(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--socket", type=Path, metavar="PATH", help=f"the agent's control socket (default: {CONTROL})")
    parser.add_argument("--setup", type=Path, metavar="AGENT.toml", help="or the setup that names it")


def run(args: argparse.Namespace, out: Output) -> int:
    doing = {"run": _run, "provision": _provision, "status": _status, "answer": _say, "remind": _say}
    return doing[args.what](args, out)


# ---- run ---------------------------------------------------------------------------------------------------------------


def _run(args: argparse.Namespace, out: Output) -> int:
    if args.kill_at is not None and args.kill_at < 1:
        raise UsageError("--kill-at counts from 1", str(args.kill_at), "--kill-at 1 is the first flash operation")
    roomless = args.stage == "ram" and not args.spare and args.setup is None
    if args.trickle is not None and (args.trickle <= 0 or roomless):
        why = "what trickles in stays for days: a directory survives power cuts, RAM that nobody wants does not"
        raise UsageError("--trickle needs seconds and a place", why, "--trickle 60 --stage DIR, or --spare BYTES")
    if args.hurry and not 0 < args.hurry <= (args.trickle or 0):
        raise UsageError("--hurry needs seconds, no more than --trickle", str(args.hurry), "--trickle 1800 --hurry 300")
    setup = _setup(args)
    if args.dry_run:
        return _ask_only(args, out)
    gc.collect()  # the parser of these words was large, and is gone
    from neurath.terminal.compose import compose

    agent = compose(setup, Progress(out))
    if args.kill_at is not None:
        _kill_at(agent, args.kill_at)
    if args.wire is not None:
        out.data(f"wire: {args.wire}", wire=str(args.wire))
    try:
        ending = agent.run(once=args.once)
    finally:
        agent.close()
    return _said(ending, out)


def _setup(args: argparse.Namespace) -> Setup:
    """What is to be run: a setup file, or one terminal in a bank file as the options describe it."""
    from neurath.terminal.setup import Component, Setup, Uses, setup_from_toml

    if args.setup is not None and args.dry_run:
        raise UsageError(
            "--dry-run looks at one bank file", "not at a setup", "neurath agent run --bank FILE --model M --dry-run"
        )
    if args.setup is not None:
        found = setup_from_toml(args.setup.read_text(encoding="utf-8"), args.setup.parent)
        given = {"once": args.once, "push": found.push and not args.no_push}
        given |= {name: getattr(args, name) for name in ("server", "token", "poll", "trace") if getattr(args, name)}
        return dataclasses.replace(found, **given)
    if missing := [f"--{name}" for name in ("server", "bank", "model") if getattr(args, name) is None]:
        raise UsageError(f"{', '.join(missing)} missing", "or --setup FILE, which says it all", "neurath agent run --help")
    component = Component(
        path=args.bank,
        model=args.model,
        ram=args.ram,
        stage=None if args.stage == "ram" else Path(args.stage),
        uses=Uses(tuple(args.in_use), tuple(args.in_use_lock), (), in_use.commands(args)),
    )
    return Setup(
        args.server,
        (component,),
        token=args.token,
        tenant=args.tenant,
        poll=args.poll,
        push=not args.no_push,
        broker=args.push,
        ca=str(args.ca or ""),
        proxy=args.proxy,
        once=args.once,
        trickle=args.trickle,
        hurry=args.hurry,
        spare=args.spare,
        heartbeat=args.heartbeat,
        wire=args.wire,
        trace=args.trace,
        confirm_by_contact=args.confirm == "contact",
    )


def _kill_at(agent: Agent, number: int) -> None:
    """Ends this process by SIGKILL in that flash operation."""
    from neurath.terminal.install import SingleBank

    for life in agent.lives:
        if isinstance(life.parts.installer, SingleBank):
            life.parts.installer.nor.kill_at(number - 1)


def _said(ending: Ending, out: Output) -> int:
    if ending.code == 0:
        out.data("updated and confirmed", result="confirmed")
    elif ending.code == 3:
        out.data(ending.reason, result="nothing newer", reason=ending.reason)
    else:
        kinds = {5: RefusedError, 6: LinkError, 7: TrustError}
        why = ending.why or "the old software keeps running, or the state log says how it goes on"
        raise kinds.get(ending.code, NeurathError)(ending.reason, why, ending.hint or "neurath agent status shows its state")
    return ending.code


def _ask_only(args: argparse.Namespace, out: Output) -> int:
    """Checks in from a copy of the bank file and says what is offered; while the server builds the file, again each second."""
    from neurath.carriers.http import Place
    from neurath.carriers.rides import link
    from neurath.terminal.identity import Lending
    from neurath.terminal.install import open_bank
    from neurath.terminal.life import PATIENCE

    with _copy(args.bank) as copy:
        bank = open_bank(args.model, copy)
        bank.start()
        check = bank.check(Lending(bank.model.ram if args.ram is None else args.ram), "idle")
        carrier = link(Place(args.server, bank.name(), args.token, args.tenant, ca=str(args.ca or ""), proxy=args.proxy))
        answer, asked = carrier.check(check), 1
        while (soon := answer.offer is None and (answer.again_in or 60.0) <= 1.5) and asked < PATIENCE:
            time.sleep(answer.again_in or 1.0)
            answer, asked = carrier.check(check), asked + 1
        carrier.close()
    offer = answer.offer
    if offer is None:
        text = "nothing yet; the server asks to be asked again at once, as it does while it builds an update file"
        out.data(text if soon else "nothing newer", result="not yet" if soon else "nothing newer")
        return 3
    text = f"{offer.version} as a {offer.kind.name.lower()} of {offer.size:,} bytes, needs {offer.need:,} bytes of RAM"
    out.data(text, result="offered", version=offer.version, kind=offer.kind.name.lower(), size=offer.size, need=offer.need)
    return 0


# ---- provision and status ----------------------------------------------------------------------------------------------


def _provision(args: argparse.Namespace, out: Output) -> int:
    from neurath.flash.bank import ImageRecord
    from neurath.flash.native import Core, Nor, write_bank
    from neurath.flash.trust import Birth, read_envelope
    from neurath.ids import checked_name, digest
    from neurath.terminal.install import load_model
    from neurath.wire import keylist, keys

    model = load_model(args.model)
    image = args.image.read_bytes()
    release = tuple(keys.load_public(path) for path in args.release_key)
    ticket = None if args.ticket_key is None else keys.load_public(args.ticket_key)
    envelope = read_envelope(args.envelope.read_bytes(), release)
    if digest(image) != envelope.image or (envelope.vendor, envelope.klass) != (model.vendor, model.klass):
        raise TrustError("the envelope is not for this image on this model", str(args.envelope), "neurath sign", id="NRT-287")
    name = checked_name(args.id, "terminal id")
    raw = args.bank.is_block_device() or args.bank.is_char_device()
    if args.bank.exists() and not (raw and _blank(model.layout, args.bank)):
        raise RefusedError(f"{args.bank} exists", "a factory never overwrites a terminal", "choose another file", id="NRT-384")
    fields = {"id": name, "model": model.name, "image": envelope.image.hex(), "version": envelope.version}
    if args.dry_run:
        out.data(f"would make {args.bank}: {name}, {len(image):,} bytes of image", **fields, made=False)
        return 0
    root = b"" if args.roots is None else keylist.unpack(args.roots.read_bytes())[1].roots.digest
    birth = Birth(name, model.name, model.vendor, model.klass, os.urandom(32), release, ticket, root)
    try:
        nor = Nor.file(model.layout, args.bank, create=not raw)
        if raw:
            nor.wipe()
        write_bank(nor, image)
        core = Core(model.layout, nor)
        core.write_birth(birth)
        core.provision(
            ImageRecord(envelope.image, envelope.image_size, envelope.digest[:16], envelope.sequence, envelope.epoch)
        )
        nor.close()
    except Exception:
        if not raw:
            args.bank.unlink(missing_ok=True)  # half a terminal is none
        raise
    out.data(f"{args.bank}: {name}, a {model.name} that runs {envelope.version or 'its first image'}", **fields, made=True)
    return 0


def _blank(layout: Layout, device: Path) -> bool:
    """Whether a raw device has neither birth record nor state log: a factory may take it."""
    from neurath.flash.native import Nor

    nor = Nor.file(layout, device)
    return all(len(set(nor.read_raw(span.base, span.length))) <= 1 for span in (layout.birth, *layout.log))


def _socket(args: argparse.Namespace) -> Path:
    """Where the agent is reached: as asked for, as its setup says, or where systemd puts it."""
    from neurath.terminal.setup import setup_from_toml

    if args.socket is None and args.setup is not None:
        found = setup_from_toml(args.setup.read_text(encoding="utf-8"), args.setup.parent).control
        if found is None:
            raise UsageError(f"{args.setup} names no control socket", "control = PATH is missing", "add it, or give --socket")
        return found
    return args.socket or Path(CONTROL)


def _say(args: argparse.Namespace, out: Output) -> int:
    """An answer or a reminder, to the agent that runs here."""
    from neurath.terminal.control import request

    words = {"do": args.what, "component": args.component} | ({"answer": args.answer} if args.what == "answer" else {})
    if not args.dry_run:
        request(_socket(args), words)
    done = f"{args.component}: {args.answer}" if args.what == "answer" else f"{args.component}: asked again"
    out.data(f"would say: {done}" if args.dry_run else done, **words)
    return 0


def _running(args: argparse.Namespace, out: Output) -> int:
    """Every component of the agent that runs here."""
    from neurath.terminal.control import request

    found = request(_socket(args), {"do": "status"})
    for one in found["components"]:
        line = f"{one['component']:16} {one['phase']}"
        line += f"  {one['offered']}, {one['held']:,} of {one['size']:,} bytes" if "offered" in one else ""
        line += f"  {one['waits']}" if one.get("waits") else ""
        line += f"  (said: {one['answer']})" if one.get("answer") else ""
        line += history(one["last"]) if "last" in one else ""
        out.data(line, **one)
    if restart := found.get("restart"):
        line = f"{'restart':16} wanted for {', '.join(sorted(restart['wanted']))}  {restart.get('waits', '')}".rstrip()
        out.data(line, **({"component": "restart"} | restart))
    return 0


def _status(args: argparse.Namespace, out: Output) -> int:
    if args.bank is None or args.model is None:
        return _running(args, out)
    from neurath.terminal import judge
    from neurath.terminal.install import open_bank
    from neurath.terminal.staging import shown

    with _copy(args.bank) as copy:
        bank = open_bank(args.model, copy)
        model = bank.model
        woken = bank.start()
        facts, birth, good = bank.facts, bank.birth, judge.whole(bank)
    state = {"BOOT": "runs its image", "FETCH": "is in mid-rewrite and needs its file", "RESTORE": "needs the wire"}
    words = [
        f"id         {birth.id if birth else 'lost'}",
        f"model      {birth.model if birth else model.name}",
        f"state      {state[woken.fate.name]}{', not confirmed yet' if facts.candidate else ''}",
        f"image      {facts.installed.image.hex()}  {facts.installed.size:,} bytes, {'whole' if good else 'NOT whole'}",
        f"floor      {facts.confirmed.epoch}.{facts.confirmed.sequence}",
        f"installs   {facts.installs}",
    ]
    coming = [] if args.stage is None else shown.under_way(args.stage)
    for one in coming:
        left = "whole" if one.whole else f"{one.pieces:,} of {one.total:,} pieces, {one.held:,} of {one.size:,} bytes"
        words.append(f"on its way {one.component or one.program} {one.version}  {left}".rstrip())
    out.data(
        "\n".join(words), id=birth.id if birth else None, model=birth.model if birth else None, fate=woken.fate.name.lower(),
        candidate=facts.candidate, image=facts.installed.image.hex(), size=facts.installed.size, whole=good,
        epoch=facts.confirmed.epoch, sequence=facts.confirmed.sequence, installs=facts.installs,
        open_file=facts.target.file.hex() if facts.target.file_size else None, commit=facts.commit, done=facts.done,
        on_its_way=[dataclasses.asdict(one) | {"whole": one.whole} for one in coming],
    )  # fmt: skip
    return 0


# ---- inside ------------------------------------------------------------------------------------------------------------


class _copy:  # noqa: N801 (reads as the verb it is)
    """A copy of a bank file to look at: a power-up writes, and looking must not."""

    def __init__(self, bank: Path) -> None:
        self._bank = bank
        self._folder: Callable[[], None] = lambda: None

    def __enter__(self) -> Path:
        import tempfile

        folder = tempfile.TemporaryDirectory(prefix="neurath-")
        self._folder = folder.cleanup
        import shutil

        return Path(shutil.copy(self._bank, folder.name))

    def __exit__(self, *_: object) -> None:
        self._folder()
