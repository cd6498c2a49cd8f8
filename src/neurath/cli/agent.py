"""`neurath agent`: a terminal on this machine, its flash in one bank file, or components of it as a setup file says. It knows
options; how an agent is put together is terminal.compose's to know, and what happens the machine's."""

from __future__ import annotations

import argparse
import dataclasses
import gc
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import in_use
from neurath.cli.agent_lines import Progress
from neurath.cli.output import Output
from neurath.errors import LinkError, NeurathError, RefusedError, TrustError, UsageError

if TYPE_CHECKING:
    from neurath.terminal.acts import Ending
    from neurath.terminal.agent import Agent
    from neurath.terminal.setup import Setup

    _Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

#: The control socket where nobody says otherwise.
CONTROL = "/run/neurath/agent.sock"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example: neurath agent run --server http://127.0.0.1:8642 --bank t1.bank --model phone.toml --token T --once"
    )
    verbs = parser.add_subparsers(dest="what", required=True, metavar="run|provision|status|key|answer|remind")
    _run_words(verbs, parser.epilog.removeprefix("example: "))
    _provision_words(verbs)
    _asked_words(verbs)


def _run_words(verbs: _Verbs, example: str) -> None:
    run_ = _sub(verbs, "run", "check in, update, go on after a power cut", example)
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
    run_.add_argument("--sign", action="store_true", help="sign what is said over HTTP with the device key; show no token")
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
    run_.add_argument(
        "--confirm", choices=("contact", "boot"), default="contact", metavar="HOW", help="a new image: by contact, boot"
    )
    run_.add_argument("--kill-at", type=int, metavar="N", help="SIGKILL in the N-th flash operation: a power cut")
    run_.add_argument("--dry-run", action="store_true", help="check in, say what is offered, change nothing")


def _provision_words(verbs: _Verbs) -> None:
    example = "neurath agent provision --bank B --model M --image app.bin --envelope app.env --id t1 --release-key r.pub.pem"
    new = _sub(verbs, "provision", "what the factory does: birth record, image, state log", example)
    _terminal(new)
    new.add_argument("--image", required=True, type=Path, metavar="FILE", help="the image: raw, Intel hex or ELF, as for sign")
    new.add_argument("--envelope", required=True, type=Path, metavar="FILE.env")
    new.add_argument("--id", required=True)
    new.add_argument("--release-key", required=True, type=Path, action="append", metavar="PUB.pem", help="one to four")
    new.add_argument("--ticket-key", type=Path, metavar="PUB.pem", help="the server's; without it only the wire can update")
    new.add_argument("--roots", type=Path, metavar="LIST", help="key list 1: whose roots may change these keys, two of three")
    new.add_argument("--dry-run", action="store_true")


def _asked_words(verbs: _Verbs) -> None:
    """What is asked of an agent, or of a bank, that is there."""
    status = _sub(
        verbs, "status", "what a running agent does, or what a bank file says", "neurath agent status --bank B --model M"
    )
    _terminal(status, required=False)
    status.add_argument("--stage", type=Path, metavar="DIR", help="with --bank: also what trickles into this directory")
    _reach(status)
    own = _sub(verbs, "key", "the public half of its device key, for `neurath terminal key`", "neurath agent key --setup A")
    _terminal(own, required=False)
    own.add_argument("--setup", type=Path, metavar="AGENT.toml", help="instead of a bank: makes the key if there is none")
    said = _sub(verbs, "answer", "say whether an update may be installed", "neurath agent answer recorder tonight")
    said.add_argument("component", metavar="COMPONENT")
    said.add_argument("answer", choices=("now", "hour", "tonight", "no"), help="close and update, in 1 hour, tonight, no")
    said.add_argument("--dry-run", action="store_true")
    _reach(said)
    again = _sub(verbs, "remind", "have people asked again", "neurath agent remind recorder")
    again.add_argument("component", metavar="COMPONENT")
    again.add_argument("--dry-run", action="store_true")
    _reach(again)


def _sub(verbs: _Verbs, name: str, text: str, example: str) -> argparse.ArgumentParser:
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
    if args.what == "run":
        return _run(args, out)
    # What an agent that runs never does is not loaded with it.
    if args.what == "provision":
        from neurath.cli.agent_made import provision

        return provision(args, out)
    if args.what == "key":
        from neurath.cli.agent_key import key

        return key(args, out)
    from neurath.cli import agent_seen

    return (agent_seen.status if args.what == "status" else agent_seen.say)(args, out)


def _run(args: argparse.Namespace, out: Output) -> int:
    _checked(args)
    setup = _setup(args)
    if args.dry_run:
        from neurath.cli.agent_seen import ask_only

        return ask_only(args, out)
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


def _checked(args: argparse.Namespace) -> None:
    """UsageError where the words of `run` contradict each other."""
    if args.kill_at is not None and args.kill_at < 1:
        raise UsageError("--kill-at counts from 1", str(args.kill_at), "--kill-at 1 is the first flash operation")
    roomless = args.stage == "ram" and not args.spare and args.setup is None
    if args.trickle is not None and (args.trickle <= 0 or roomless):
        why = "what trickles in stays for days: a directory survives power cuts, RAM that nobody wants does not"
        raise UsageError("--trickle needs seconds and a place", why, "--trickle 60 --stage DIR, or --spare BYTES")
    if args.hurry and not 0 < args.hurry <= (args.trickle or 0):
        raise UsageError("--hurry needs seconds, no more than --trickle", str(args.hurry), "--trickle 1800 --hurry 300")


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
        sign=args.sign,
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
