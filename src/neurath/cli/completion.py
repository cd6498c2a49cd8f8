"""`neurath completion`: what may come next on a command line, for bash, zsh and fish. It knows the parsers and asks the verbs
that list things for their names; it must never know a verb, an option or an id by itself."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from typing import Any

from neurath.cli.output import Output
from neurath.cli.tree import children
from neurath.errors import NeurathError

#: One small function a shell; each asks `neurath completion words` at every Tab, so that none of them can be out of date.
SCRIPTS = {
    "bash": """_neurath() {
  local line; COMPREPLY=()
  while IFS=$'\\t' read -r line _; do COMPREPLY+=("$line"); done < <(
    neurath completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _neurath neurath""",
    "zsh": """#compdef neurath
_neurath() {
  local line; local -a found
  while IFS=$'\\t' read -r line _; do found+=("$line"); done < <(
    neurath completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( $#found )); then compadd -- $found; else _files; fi
}
compdef _neurath neurath""",
    "fish": """function __neurath
    neurath completion words -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null
end
complete -c neurath -a '(__neurath)'""",
}
#: What an argument is called in help -> the verb that lists such things, and the field that names one.
LISTED = {
    "ID": ("terminal list", "id"),
    "TERMINAL": ("terminal list", "id"),
    "MODEL/VERSION": ("image list", "name"),
    "NUMBER": ("rollout show", "id"),
    "NAME": ("", "name"),
}
WHERE = ("--data", "--database", "--store", "--tenant")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=[*SCRIPTS, "words"], help="a shell, for its script; words: what may come next")
    parser.add_argument(
        "rest", nargs="*", metavar="WORD", help="for `words`: what stands on the line, the last one unfinished"
    )
    parser.epilog = "example: neurath completion bash > /etc/bash_completion.d/neurath"


def run(args: argparse.Namespace, out: Output) -> int:
    if args.shell != "words":
        out.data(SCRIPTS[args.shell], name=args.shell, script=SCRIPTS[args.shell])
        return 0
    for word, text in candidates(args.rest or [""]):
        out.data(f"{word}\t{text}", word=word, text=text)
    return 0


def candidates(words: list[str]) -> list[tuple[str, str]]:
    """What the last word may become, each with one line of help. Empty: a file name, or anything."""
    from neurath.cli.main import VERBS, parser

    *before, last = words
    if not before:
        found = [(verb, text) for verb, (_, text) in VERBS.items()]
    elif before[0] not in VERBS:
        return []
    else:
        with contextlib.suppress(NeurathError, OSError):
            return [(word, text) for word, text in _next(parser(before[0]), before, last) if word.startswith(last)]
        return []
    return [(word, text) for word, text in found if word.startswith(last)]


def _next(parser: argparse.ArgumentParser, before: list[str], last: str) -> list[tuple[str, str]]:
    path, taken, waiting = before[:1], 0, None
    for word in before[1:]:
        if waiting is not None:
            waiting = None
        elif word in children(parser):
            parser, taken = children(parser)[word], 0
            path.append(word)
        elif word.startswith("-"):
            action = parser._option_string_actions.get(word)
            waiting = action if action is not None and action.nargs != 0 else None
        else:
            taken += 1
    if waiting is not None:
        return _values(waiting, path, before)
    commands = children(parser)
    if commands and not last.startswith("-"):
        return [(name, child.description or "") for name, child in commands.items()]
    if last.startswith("-"):
        return _options(parser)
    places = [action for action in parser._actions if not action.option_strings]
    at = min(taken, len(places) - 1)
    return _values(places[at], path, before) if places and (at == taken or places[at].nargs in ("*", "+")) else []


def _options(parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    found = [
        (o, (a.help or "").split("(")[0].strip() % {}) for a in parser._actions for o in a.option_strings if o[:2] == "--"
    ]
    return [*found, ("--json", "one object a line"), ("--debug", "tracebacks")]


def _values(action: argparse.Action, path: list[str], before: list[str]) -> list[tuple[str, str]]:
    """What one argument may be: its choices, or the names of what is there."""
    if action.choices is not None:
        return [(str(choice), "") for choice in action.choices]
    name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    verb, field = LISTED.get(name, ("", ""))
    if name == "NAME":  # operators, tokens, gateways, filters: each under its own verb
        verb = f"{path[0]} list"
    if path == ["model", "show"] or name in ("M", "MODEL"):
        verb, field = "model list", "name"
    return [(one, "") for one in _listed(verb, field, before)] if verb else []


def _listed(verb: str, field: str, before: list[str]) -> list[str]:
    """The names that a verb lists, asked with the store that the line names."""
    from neurath.cli.main import VERBS, main

    words = verb.split()
    if words[0] not in VERBS:
        return []
    at = [i for i, word in enumerate(before[:-1]) if word in WHERE]
    heard = io.StringIO()
    with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(io.StringIO()):
        main([*words, *(word for i in at for word in before[i : i + 2]), "--json"])
    lines: list[dict[str, Any]] = [json.loads(line) for line in heard.getvalue().splitlines()]
    return [str(line[field]) for line in lines if field in line]
