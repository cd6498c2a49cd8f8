"""The options that say when the software of this machine is in use. It knows options; who uses what is the gate's to see."""

from __future__ import annotations

import argparse
from pathlib import Path

from neurath.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds --in-use, --in-use-lock and --in-use-command."""
    parser.add_argument(
        "--in-use",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="nothing is fetched or installed while a process runs, maps or has open PATH (may be given several times)",
    )
    parser.add_argument("--in-use-lock", type=Path, action="append", default=[], metavar="FILE", help="... or has locked FILE")
    parser.add_argument("--in-use-command", action="append", default=[], metavar="CMD", help="... or while CMD ends with 0")


def commands(args: argparse.Namespace) -> tuple[tuple[str, ...], ...]:
    """The commands of --in-use-command, in words."""
    import shlex

    found = []
    for text in args.in_use_command:
        try:
            words = shlex.split(text)
        except ValueError as fault:
            raise UsageError(
                f"--in-use-command {text!r} is no command", str(fault), "--in-use-command 'pgrep -x NAME'"
            ) from None
        if not words:
            raise UsageError("--in-use-command is empty", "it names a program", "--in-use-command 'pgrep -x NAME'")
        found.append(tuple(words))
    return tuple(found)
