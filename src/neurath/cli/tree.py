"""Every verb and command with its parser, as a tree. It knows argparse's own shape; it must never know a verb by name."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

#: Words of a command, and what parses what follows them.
Command = tuple[list[str], argparse.ArgumentParser]


def tree() -> Iterator[Command]:
    """Every verb and command with its parser, a verb before its commands."""
    from neurath.cli.main import VERBS, parser

    for verb in VERBS:
        yield from below([verb], parser(verb))


def below(words: list[str], parser: argparse.ArgumentParser) -> Iterator[Command]:
    """This one and all under it."""
    yield words, parser
    for name, child in children(parser).items():
        yield from below([*words, name], child)


def children(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """What may follow: command -> its parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}
