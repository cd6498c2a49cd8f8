"""What people ask about an agent or of it: what would be offered, what it does, their own answer. It knows the control socket
and copies of bank files; it must never change a bank."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from neurath.cli.agent import CONTROL
from neurath.cli.agent_lines import history
from neurath.cli.output import Output
from neurath.errors import UsageError


def ask_only(args: argparse.Namespace, out: Output) -> int:
    """Checks in from a copy of the bank file and says what is offered; while the server builds the file, again each second."""
    from neurath.carriers.http import Place
    from neurath.carriers.rides import link
    from neurath.terminal.identity import Lending
    from neurath.terminal.install import lists_beside, open_bank
    from neurath.terminal.keyring import kept
    from neurath.terminal.life import PATIENCE

    with _copy(args.bank) as copy:
        bank = open_bank(args.model, copy)
        bank.start()
        check = bank.check(Lending(bank.model.ram if args.ram is None else args.ram), "idle")
        place = Place(args.server, bank.name(), args.token, args.tenant, ca=str(args.ca or ""), proxy=args.proxy)
        held = kept(lists_beside(args.bank))  # the copy has none
        carrier = link(dataclasses.replace(place, signed_at=lambda: 0.0 if held is None else float(held.issued)))
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


def _socket(args: argparse.Namespace) -> Path:
    """Where the agent is reached: as asked for, as its setup says, or where systemd puts it."""
    from neurath.terminal.setup import setup_from_toml

    if args.socket is None and args.setup is not None:
        found = setup_from_toml(args.setup.read_text(encoding="utf-8"), args.setup.parent).control
        if found is None:
            raise UsageError(f"{args.setup} names no control socket", "control = PATH is missing", "add it, or give --socket")
        return found
    return args.socket or Path(CONTROL)


def say(args: argparse.Namespace, out: Output) -> int:
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


def status(args: argparse.Namespace, out: Output) -> int:
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
