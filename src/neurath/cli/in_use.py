"""The options that say when the software of this machine is in use, and the gate they make. It knows options; who uses what is
the gate's to see."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.errors import UsageError

if TYPE_CHECKING:
    from neurath.terminal.gate import Gate


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


def gate(args: argparse.Namespace, ended: Callable[[], None]) -> Gate:
    """What has to end before anything is installed; always open where nothing was named."""
    import shlex

    from neurath.terminal import inuse
    from neurath.terminal.gate import Open

    subjects: list[inuse.Subject] = [inuse.FileInUse(path) for path in args.in_use]
    subjects += [inuse.LockInUse(path) for path in args.in_use_lock]
    for text in args.in_use_command:
        try:
            words = shlex.split(text)
        except ValueError as fault:
            raise UsageError(
                f"--in-use-command {text!r} is no command", str(fault), "--in-use-command 'pgrep -x NAME'"
            ) from None
        if not words:
            raise UsageError("--in-use-command is empty", "it names a program", "--in-use-command 'pgrep -x NAME'")
        subjects.append(inuse.CommandInUse(words))
    return inuse.InUse(subjects, ended) if subjects else Open()
