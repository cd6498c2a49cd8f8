"""The store as verbs name it: `--data DIR`, else ./neurath-data; and `--database URL`, else the file in that directory
(each also a setting, cli.settings). It opens the store beside a running server or without one; it must never
create a directory for a verb that only reads."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.clock import agreed
from neurath.errors import NotFound, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from neurath.cli.output import Output
    from neurath.server.access.roles import Actor
    from neurath.server.store import Store
    from neurath.server.store.acts import Act

DEFAULT = "neurath-data"


def option(parser: argparse.ArgumentParser) -> None:
    """Adds --data."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        default=Path(DEFAULT),
        help=f"the server's data (NEURATH_DATA, ./{DEFAULT})",
    )
    parser.add_argument(
        "--database",
        metavar="URL",
        default="",
        help="postgresql://[USER@]HOST[:PORT]/NAME, not the file in --data (NEURATH_DATABASE)",
    )
    parser.add_argument(
        "--store",
        metavar="URL",
        default="",
        help="s3://BUCKET[/PREFIX][?endpoint=URL&region=R] for files (NEURATH_STORE)",
    )


def dry_run(parser: argparse.ArgumentParser) -> None:
    """Adds --dry-run."""
    parser.add_argument("--dry-run", action="store_true", help="check everything, change nothing")


def store(args: argparse.Namespace, *, create: bool) -> Store:
    """The store in the directory; NotFound where there is none and none is to be made."""
    from neurath.server.store import Store

    directory: Path = args.data
    if not create and not args.database and not (directory / "neurath.db").exists():
        raise NotFound(
            f"no store in {directory}",
            "a server or `neurath model add` makes one",
            "--data DIR names another place",
            id="NRT-142",
        )
    opened = Store(directory, args.database, args.store)
    _may(args, opened)
    return opened


def _may(args: argparse.Namespace, opened: Store) -> None:
    """Who may write the data directory may do everything with it; who gives a token in NEURATH_TOKEN, what that may."""
    from neurath.server.access import rights, roles

    command = getattr(args, "command", None)
    verb = f"{args.verb} {command}" if command else str(args.verb)
    who = actor(opened)
    roles.demand(who, rights.of_verb(verb), f"neurath {verb}")
    opened.act = _act(args, who)


def local_act(args: argparse.Namespace) -> Act:
    """What is done to a store that is not there yet, by whoever is logged in here."""
    return _act(args, _logged_in())


def _act(args: argparse.Namespace, who: Actor) -> Act:
    from neurath.server.store.acts import Act

    command = getattr(args, "command", None)
    verb = f"{args.verb} {command}" if command else str(args.verb)
    apart = ("verb", "command", "json", "debug", "data", "database", "dry_run")
    given = {
        key: str(value)[:200] for key, value in vars(args).items() if key not in apart and value not in (None, "", [], False)
    }
    return Act(who.name, who.role.word, who.way, "", f"neurath {verb}", "", dict(given))


def actor(opened: Store) -> Actor:
    """Who gives the command: a token's name, else whoever is logged in on this machine."""

    from neurath.server.access import tokens
    from neurath.server.access.roles import NoRight

    given = os.environ.get("NEURATH_TOKEN", "")
    if given:
        with opened.read() as db:
            found = tokens.admit(db, given, agreed())
        if found is None:
            raise NoRight("this token is not known here", "unknown, revoked or too old", "unset NEURATH_TOKEN", id="NRT-365")
        return found[0]
    return _logged_in()


def _logged_in() -> Actor:
    import getpass

    from neurath.server.access.roles import Actor, Role

    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        name = ""
    return Actor(name, Role.ADMIN, "command")


class _Undone(Exception):  # noqa: N818 (not a fault)
    """Raised inside a write to undo it."""


@contextlib.contextmanager
def writing(store: Store, args: argparse.Namespace, out: Output, about: int | None = None) -> Iterator[Connection]:
    """One write (`about` as the store has it); with --dry-run everything is checked and nothing kept, and that is said."""
    try:
        with store.write() if about is None else store.write(about) as db:
            yield db
            if args.dry_run:
                raise _Undone
    except _Undone:
        out.talk("nothing was changed (--dry-run)")


def chosen(args: argparse.Namespace) -> str:
    """The command under a verb; UsageError where none was given."""
    command: str | None = args.command
    if command is None:
        raise UsageError("no command given", f"neurath {args.verb} takes one", f"neurath {args.verb} --help")
    return command


def when(moment: float | None) -> str:
    """A moment for people, UTC; a dash where it has not come."""
    import datetime

    if moment is None:
        return "-"
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
