"""The entry of the `neurath` command: finds the verb, runs it, turns errors into three lines and an exit code. It knows
which module holds which verb; it must never import one that was not asked for (`--help` answers within 0.35 s)."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

from neurath import __version__, lazily
from neurath.cli.output import Output
from neurath.errors import NeurathError, UsageError

#: verb -> (module under neurath.cli, one line of help). A module has `configure(parser)` and `run(args, out) -> int`.
VERBS: dict[str, tuple[str, str]] = {
    "serve": ("serve", "server and console"),
    "image": ("image", "software store: add, list, show"),
    "watch": ("watch", "folders whose files become releases: add, list, remove"),
    "sign": ("sign", "sign an image where the key is (never on the server)"),
    "verify": ("sign", "verify an image against its envelope"),
    "key": ("key", "keys and lists of keys: create, show, delegate, rotate, revoke, sign, publish"),
    "repository": ("repository", "the software store for stations and mirrors: create, add, sign, publish, mirror"),
    "delta": ("delta", "create, apply and show update files"),
    "model": ("model", "memory maps of kinds of terminals"),
    "tenant": ("tenant", "how a tenant's devices show who they are"),
    "terminal": ("terminal", "add, list, show, why, pin terminals"),
    "import": ("importing", "terminals of another server: hawkbit"),
    "filter": ("filter", "target filters kept under a name"),
    "rollout": ("rollout", "offer a release to terminals"),
    "store": ("store", "how full the disk is, and what may go from it: show, prune"),
    "backup": ("backup", "the whole of a server in one directory: create, show, restore"),
    "alert": ("alert", "who is told when something wants a person: add, list, remove, test, show"),
    "carrier": ("carrier", "carriers' server halves, beside the server or at a site"),
    "agent": ("agent", "terminal agent for this machine"),
    "doctor": ("doctor", "what is wrong on this machine, and the cure"),
    "config": ("config", "what each setting is, and who says so: show"),
    "completion": ("completion", "completion for bash, zsh and fish"),
    "operator": ("operator", "who may sign in, with which role: add, list, set, remove, oidc"),
    "audit": ("audit", "who changed what: verify, show, head, export"),
    "token": ("token", "tokens of scripts: add, list, revoke"),
    "gateway": ("gateway", "carrier servers at sites: add, assign, list, revoke"),
    "station": ("station", "restoration station"),
    "sim": ("sim", "simulated fleet, power cuts, links"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb and gives its exit code: 0 done, 1 failed, 2 usage, 3 nothing to do, 4 not found, 5 refused,
    6 unreachable, 7 not trusted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    out = Output(json_lines="--json" in own)
    try:
        return _run(arguments, out)
    except NeurathError as error:
        return _failed(error, arguments, out)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0
    except OSError as fault:
        # Files and sockets named by the user: a full disk or a busy port is no bug of ours.
        name = f" {fault.filename}" if fault.filename else ""
        kind = 4 if isinstance(fault, FileNotFoundError) else 1
        failure = NeurathError(
            f"cannot use{name}", fault.strerror or str(fault), "check the path and the space left", id="NRT-140"
        )
        return _failed(failure, arguments, out, kind)


def _run(arguments: list[str], out: Output) -> int:
    words = [a for a in arguments if not a.startswith("-")]
    if "--version" in arguments and not words:
        out.data(f"neurath {__version__}", version=__version__)
        return 0
    if not words:
        out.data(_help())
        return 0 if {"-h", "--help"} & set(arguments) else 2
    verb = words[0]
    if verb not in VERBS:
        near = _near(verb, VERBS)
        raise UsageError(
            f"no verb {verb!r}",
            "the verbs are: " + " ".join(VERBS),
            f"did you mean `neurath {near}`?" if near else "neurath --help",
        )
    if verb == "agent":
        lazily.put_off(*lazily.HARDLY_USED, *lazily.HARDLY_READ)
        argparse._ = str  # type: ignore[attr-defined]  # its words in other languages would load `locale`; ours are English
    args = _parsed(verb, arguments)  # the parser itself is gone afterwards
    return int(_module(verb).run(args, out))


def _module(verb: str) -> ModuleType:
    return importlib.import_module(f"neurath.cli.{VERBS[verb][0]}")


def parser(verb: str) -> Parser:
    """The parser of one verb, whole: what help, completion and the reference are made from; settings are its defaults."""
    from neurath.cli import settings

    made = unsettled(verb)
    settings.settle(made, verb, settings.sources())
    return made


def unsettled(verb: str) -> Parser:
    """The same before anybody outside has set anything."""
    made = Parser(prog=f"neurath {verb}", description=VERBS[verb][1])
    made.set_defaults(verb=verb, json=False, debug=False)
    _module(verb).configure(made)
    return made


def _parsed(verb: str, arguments: list[str]) -> argparse.Namespace:
    # What follows `--` is another program's.
    end = arguments.index("--") if "--" in arguments else len(arguments)
    rest = [a for a in arguments[:end] if a not in ("--json", "--debug")] + arguments[end:]
    rest.remove(verb)
    return parser(verb).parse_args(rest)


#: A usage line names so many options at most; beyond, those that may be left out are only said to be there.
FEW = 6


class Form(argparse.HelpFormatter):
    """argparse's, which loads archivers and compressors to learn how wide a terminal is, and asks with every option."""

    def __init__(self, prog: str, indent_increment: int = 2, max_help_position: int = 24, width: int | None = None) -> None:
        super().__init__(prog, indent_increment, max_help_position, _width() if width is None else width)

    def add_usage(
        self, usage: str | None, actions: Iterable[argparse.Action], groups: Iterable[Any], prefix: str | None = None
    ) -> None:
        every = list(actions)
        left = [one for one in every if one.required or not one.option_strings]
        if len(every) - len(left) > FEW:
            self._prog, every, groups = f"{self._prog} [options]", left, ()
        super().add_usage(usage, every, groups, prefix)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        # An option broken at its hyphen could not be copied.
        import textwrap

        return textwrap.fill(
            text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
        )


def _width() -> int:
    """As shutil.get_terminal_size has it, less the two columns that argparse leaves free."""
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given):
        return int(given) - 2
    try:
        return (os.get_terminal_size(1).columns or 80) - 2
    except OSError:
        return 78


class Parser(argparse.ArgumentParser):
    """argparse whose errors are ours: three lines and exit code 2. A shortened option is none: one day it would be another."""

    def __init__(self, *words: Any, **named: Any) -> None:
        usual: dict[str, Any] = {"formatter_class": Form, "allow_abbrev": False}
        super().__init__(*words, **(usual | named))

    def format_help(self) -> str:
        if not self.epilog:
            from neurath.cli.examples import EXAMPLES

            words = EXAMPLES.get(self.prog)
            self.epilog = words and f"example: {self.prog} {words}"
        return super().format_help()

    def error(self, message: str) -> None:  # type: ignore[override]  # argparse says NoReturn; raising is that
        raise UsageError(message, " ".join(self.format_usage().split()), f"{self.prog} --help")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """A command or a word that is none of those that can stand there."""
        if action.choices is None or value in action.choices:
            return
        known, option = [str(one) for one in action.choices], "/".join(action.option_strings)
        near = _near(str(value), known)
        typed = f"{option} {near}" if option else f"{self.prog} {near}"
        raise UsageError(
            f"{option or self.prog}: {str(value)[:60]!r} is none of its words",
            f"there are: {', '.join(known)}",
            f"did you mean `{typed}`?" if near else f"{self.prog} --help",
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Nothing is left for somebody else to look at: what no command knows is said by the command itself."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            near = _near(rest[0].partition("=")[0], [one for one in self._option_string_actions if one.startswith("--")])
            raise UsageError(
                f"{self.prog}: nothing here is called {rest[0][:60]!r}",
                " ".join(self.format_usage().split()),
                f"did you mean `{near}`?" if near else f"{self.prog} --help",
            )
        return found, rest


def _near(word: str, known: Iterable[str]) -> str:
    """What somebody may have meant, or ""."""
    import difflib

    return next(iter(difflib.get_close_matches(word, list(known), n=1)), "")


def _help() -> str:
    lines = ["usage: neurath VERB ...", "", "Over-the-air updates for devices with one firmware bank.", ""]
    lines += [f"  {verb:10} {text}" for verb, (_, text) in VERBS.items()]
    lines += ["", "example: neurath sim power old.bin new.bin", "every verb: --help, --json, --debug"]
    return "\n".join(lines)


def _failed(error: NeurathError, arguments: list[str], out: Output, code: int | None = None) -> int:
    if "--debug" in arguments:
        import traceback

        traceback.print_exc()
    out.error(error)
    return error.exit_code if code is None else code


if __name__ == "__main__":
    sys.exit(main())
