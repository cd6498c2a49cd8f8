"""`neurath config`: what each setting is and who says so. It must never change one: a file has its own editor."""

from __future__ import annotations

import argparse

from neurath.cli import data
from neurath.cli.output import Output

FORM = (
    "A flag goes first, then NEURATH_* of the environment, then one file: the one that NEURATH_CONFIG names, else "
    "~/.config/neurath/neurath.toml, else /etc/neurath/neurath.toml. In it `data` stands at the head, `port` under [serve]; "
    "in the environment the same are NEURATH_DATA and NEURATH_SERVE_PORT."
)


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="show")
    show = commands.add_parser("show", help="every setting, its value, and who says so", description=FORM)
    show.add_argument("name", nargs="?", default="", metavar="PREFIX", help="only those that begin so: serve, agent.token")
    show.add_argument("--set", dest="only", action="store_true", help="only those that somebody has set")
    parser.epilog = "example: neurath config show serve"


def run(args: argparse.Namespace, out: Output) -> int:
    """3 where there is nothing to show."""
    from neurath.cli import settings

    data.chosen(args)
    told = settings.sources()
    found = [
        one for one in settings.every(told) if one.name.startswith(args.name) and (one.origin != "default" or not args.only)
    ]
    for one in found:
        out.data(f"{one.name:28} {one.shown:32} {one.origin}", setting=one.name, value=one.shown, origin=one.origin)
    out.talk(f"settings file: {told.file or 'none'}")
    return 0 if found else 3
