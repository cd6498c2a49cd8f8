"""`neurath agent key`: which key speaks for this terminal, as its server is to know it. It reads a bank or a setup; it must
never show the private half."""

from __future__ import annotations

import argparse

from neurath.cli.output import Output
from neurath.errors import UsageError


def key(args: argparse.Namespace, out: Output) -> int:
    from neurath.wire import enrolment, keys

    public = keys.from_seed(_seed(args)).public
    text, shown = enrolment.key_text(public), keys.fingerprint(public)
    out.data(f"{text}\nfingerprint {shown}", key=text, fingerprint=shown)
    return 0


def _seed(args: argparse.Namespace) -> bytes:
    from neurath.terminal.install import open_bank
    from neurath.terminal.setup import setup_from_toml
    from neurath.terminal.software.kinds import device_key

    bank, model = args.bank, args.model
    if args.setup is not None:
        found = setup_from_toml(args.setup.read_text(encoding="utf-8"), args.setup.parent)
        banks = [one for one in found.components if one.installer == "bank"]
        if not banks:
            assert found.state is not None  # a setup without is none
            return device_key(found.state)
        bank, model = banks[0].path, banks[0].model
    if bank is None or model is None:
        raise UsageError("whose key?", "--setup, or --bank and --model", "neurath agent key --setup AGENT.toml")
    nor = open_bank(model, bank)
    return nor.identify().device_key
