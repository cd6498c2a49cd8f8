"""`neurath operator`: who may sign in at console and API, with which role, and which identity provider vouches for others."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from neurath.cli import data
from neurath.cli.output import Output
from neurath.clock import agreed
from neurath.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from neurath.server.access.people import Operator

ROLES = ("viewer", "operator", "releaser", "admin")


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="add|list|set|remove|oidc")
    add = commands.add_parser("add", help="another one; after the first, who is an admin, everybody signs in")
    add.add_argument("name", metavar="NAME")
    add.add_argument("--role", choices=ROLES, default="viewer", help="(default viewer)")
    _password(add, "a password is asked for, or read from this file (- for standard input)")
    everyone = commands.add_parser("list", help="everyone who may sign in")
    change = commands.add_parser("set", help="change one; his sessions end")
    change.add_argument("name", metavar="NAME")
    change.add_argument("--role", choices=ROLES)
    change.add_argument("--password", action="store_true", help="a new password, asked for")
    _password(change, "a new password, read from this file (- for standard input)")
    change.add_argument("--disabled", choices=("yes", "no"))
    remove = commands.add_parser("remove", help="for good, with sessions and tokens")
    remove.add_argument("name", metavar="NAME")
    provider = commands.add_parser("oidc", help="an identity provider that vouches for operators; without --issuer: shows it")
    provider.add_argument("--issuer", metavar="URL", help="https://...; `none`: none vouches any more")
    provider.add_argument("--client", default="", metavar="ID")
    provider.add_argument("--client-secret-file", metavar="FILE", help="(- for standard input)")
    provider.add_argument("--scope", default="openid profile email", metavar="WORDS")
    provider.add_argument("--claim", default="groups", metavar="NAME", help="where a person's groups stand (default groups)")
    text = "a group's role; may be repeated"
    provider.add_argument("--group", action="append", default=[], metavar="GROUP=ROLE", help=text)
    provider.add_argument("--others", default="", choices=("", *ROLES), help="role of who is in none (default: not let in)")
    for each in (add, change, remove, provider):
        data.dry_run(each)
    for each in (add, everyone, change, remove, provider):
        data.option(each)
    parser.epilog = "example: neurath operator add mila --role admin"


def _password(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--password-file", metavar="FILE", help=text)


def run(args: argparse.Namespace, out: Output) -> int:
    from neurath.server.access import people
    from neurath.server.store.marks import NOBODY

    command = data.chosen(args)
    store = data.store(args, create=command == "add" and not args.dry_run)
    if command == "list":
        with store.read() as db:
            for one in people.everyone(db):
                _say(one, out)
        return 0
    given = _given(args, command)
    with data.writing(store, args, out, NOBODY) as db:
        if command == "oidc":
            _provider(db, args, given, out)
        elif command == "remove":
            people.remove(db, people.find(db, args.name))
            out.data(f"{args.name} may not sign in any more", name=args.name, removed=True)
        else:
            _say(_added(db, args, given) if command == "add" else _changed(db, args, given), out)
    return 0


def _given(args: argparse.Namespace, command: str) -> str:
    """The password or secret that goes with a command, "" for none; asked for before anything is held."""
    if command == "oidc":
        return _read(args.client_secret_file) if args.client_secret_file else ""
    if command == "remove":
        return ""
    if args.password_file:
        return _read(args.password_file)
    if command == "set" and not args.password:
        return ""
    import getpass

    first = getpass.getpass("password: ")
    if getpass.getpass("again: ") != first:
        raise UsageError("the two are not the same", "", "once more")
    return first


def _read(name: str) -> str:
    if name == "-":
        return sys.stdin.readline().rstrip("\r\n")
    with open(name, encoding="utf-8") as source:
        return source.readline().rstrip("\r\n")


def _added(db: Connection, args: argparse.Namespace, password: str) -> Operator:
    from neurath.server.access import people, roles
    from neurath.server.access.people import Newcomer

    return people.add(db, Newcomer(args.name, roles.role(args.role), people.checked(password)), agreed())


def _changed(db: Connection, args: argparse.Namespace, password: str) -> Operator:
    from neurath.server.access import people, roles

    found = people.find(db, args.name)
    if args.role:
        people.set_role(db, found, roles.role(args.role))
    if password:
        people.set_password(db, found, password)
    if args.disabled:
        people.disable(db, people.find(db, args.name), agreed() if args.disabled == "yes" else None)
    return people.find(db, args.name)


def _say(one: Operator, out: Output) -> None:
    how = "by password" if one.password else "by identity provider"
    text = f"{one.name:24} {one.role.word:9} {how}{', disabled' if one.disabled else ''}, since {data.when(one.added)}"
    out.data(text, name=one.name, role=one.role.word, disabled=one.disabled, subject=one.subject, added=one.added)


def _provider(db: Connection, args: argparse.Namespace, secret: str, out: Output) -> None:
    from neurath.server.access import oidc
    from neurath.server.access.oidc import Provider

    if args.issuer is not None:
        groups = dict(one.rpartition("=")[::2] for one in args.group)
        named = Provider(args.issuer, args.client, secret, args.scope, args.claim, groups, args.others)
        oidc.keep(db, None if args.issuer == "none" else named)
    found = oidc.find(db)
    if found is None:
        out.data("no identity provider vouches", issuer="")
        return
    given = ", ".join(f"{group} is {role}" for group, role in found.groups.items()) or "no group has a role"
    text = f"{found.issuer} vouches for {found.client}: {given}, others {found.others or 'not let in'}"
    out.data(text, issuer=found.issuer, client=found.client, claim=found.claim, groups=found.groups, others=found.others)
