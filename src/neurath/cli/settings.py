"""What an option is where the command line does not say: NEURATH_* of the environment, else the settings file, else its own
default. It knows names and where a value comes from; it must never know what an option is for."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurath.cli.tree import below
from neurath.errors import DataError, NotFound, UsageError

#: Options that mean the same under every verb: NEURATH_DATA, or `data = ...` at the head of the file.
SHARED = ("data", "database", "store")
#: Commands that work for long, started by whatever starts a machine: what they take once need not be typed.
LASTING = (("serve",), ("agent", "run"), ("station", "run"), ("station", "sync"), ("carrier",))
#: What is decided each time, by whoever starts it.
EACH_TIME = frozenset(
    "dry-run once agent.kill-at station.label station.release station.reason station.accept-keys carrier-dhcp.observe "
    "carrier-dhcp.drain".split()
)
TRUTHS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
#: A password in an address, and options that are a secret as a whole.
PASSWORD, SECRETS = re.compile(r"(?<=//)([^/@:]*):[^/@]*@"), ("token",)


@dataclass(frozen=True, slots=True)
class Setting:
    """One option and what it is now; `origin`: default, environment NAME, or file PATH."""

    name: str
    value: object
    origin: str

    @property
    def shown(self) -> str:
        """Its value without what opens something."""
        if self.value in (None, ""):
            return "-"
        if self.name.rpartition(".")[2] in SECRETS:
            return "(set)"
        return PASSWORD.sub(r"\1:...@", str(self.value))


@dataclass(frozen=True, slots=True)
class Sources:
    """Where settings come from, the environment before the file."""

    environ: Mapping[str, str]
    file: Path | None = None
    held: dict[str, Any] = field(default_factory=dict)

    def find(self, scope: str, option: str) -> tuple[str, str] | None:
        """Text and origin of one option, None where nobody says."""
        for name in _variables(scope, option):
            if self.environ.get(name):  # an empty one says nothing
                return self.environ[name], f"environment {name}"
        table = self.table(scope)
        if option in table:
            value = table[option]
            return str(value).lower() if isinstance(value, bool) else str(value), f"file {self.file}"
        return None

    def table(self, scope: str) -> dict[str, Any]:
        """What the file holds under one head; its beginning where the scope is ""."""
        found = self.held.get(scope, {}) if scope else self.held
        if not isinstance(found, dict):
            raise UsageError(f"{scope} is no table in {self.file}", "its keys stand under a head", f"[{scope}]")
        return found


def sources(environ: Mapping[str, str] = os.environ) -> Sources:
    """The file that NEURATH_CONFIG names, else the user's own, else the machine's: the first that is there, alone."""
    named = environ.get("NEURATH_CONFIG", "")
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/")) / ".config")
    places = [Path(named)] if named else [home / "neurath/neurath.toml", Path("/etc/neurath/neurath.toml")]
    file = next((place for place in places if os.access(place, os.R_OK)), None)
    if file is None:
        if named:
            raise NotFound(f"no settings file {named}", "NEURATH_CONFIG names it", "unset NEURATH_CONFIG", id="NRT-151")
        return Sources(environ)
    from neurath import toml

    try:
        held = toml.parse(file.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise DataError(f"{file} is no settings file", str(fault), "neurath config show --help has its form") from None
    return Sources(environ, file, held)


def settle(parser: argparse.ArgumentParser, verb: str, told: Sources) -> list[Setting]:
    """Gives the options of a verb their defaults from outside, and says what each is now. UsageError for a value that is
    none, and for a key of the verb's own table that is no option."""
    found: dict[str, Setting] = {}
    scopes = set()
    for words, command in below([verb], parser):
        scope = _scope(words)
        scopes.add(scope)
        for action in command._actions:
            option = max(action.option_strings, key=len, default="").removeprefix("--")
            if option in SHARED:
                found[option] = _settled(action, option, told.find("", option))
            elif scope and _is_setting(action, scope, option):
                name = f"{scope}.{option}"
                found[name] = _settled(action, name, told.find(scope, option))
    for scope in scopes - {""}:
        refuse_unknown(told, scope, [name.removeprefix(f"{scope}.") for name in found if name.startswith(f"{scope}.")])
    return list(found.values())


def refuse_unknown(told: Sources, scope: str, known: list[str]) -> None:
    """UsageError for a key of the file that nothing takes."""
    for key in told.table(scope):
        if key not in known:
            where = f"[{scope}] of {told.file}" if scope else f"{told.file}"
            raise UsageError(f"{key} is no setting in {where}", "there are: " + " ".join(sorted(known)), "neurath config show")


def _scope(words: list[str]) -> str:
    """The table that a command's own options stand in; "" where it has none. Each carrier is a program of its own."""
    if not any(tuple(words[: len(one)]) == one for one in LASTING):
        return ""
    return "-".join(words[:2]) if words[0] == "carrier" else words[0]


def _is_setting(action: argparse.Action, scope: str, option: str) -> bool:
    """One value, or yes and no: what may be repeated is said on the command line."""
    kinds = (argparse._StoreAction, argparse._StoreTrueAction)
    each_time = {option, f"{scope}.{option}"} & EACH_TIME
    return isinstance(action, kinds) and bool(option) and not each_time and action.nargs in (None, 0)


def _variables(scope: str, option: str) -> Iterator[str]:
    yield "_".join(("NEURATH", *scope.upper().split("-"), *option.upper().split("-"))).replace("__", "_")
    if option == "token" and scope.partition("-")[0] in ("agent", "carrier"):
        yield "NEURATH_TOKEN"


def _settled(action: argparse.Action, name: str, given: tuple[str, str] | None) -> Setting:
    if given is None:
        return Setting(name, action.default, "default")
    text, origin = given
    try:
        value = TRUTHS[text.lower()] if action.nargs == 0 else (action.type or str)(text)  # type: ignore[operator]
        if action.choices is not None and value not in action.choices:
            raise ValueError(f"it takes {', '.join(map(str, action.choices))}")
    except (KeyError, TypeError, ValueError, argparse.ArgumentTypeError) as fault:
        why = "it takes yes or no" if isinstance(fault, KeyError) else str(fault)
        raise UsageError(f"{text!r} is no {name}", f"{origin} says so: {why}", "mend it there, or take it away") from None
    action.default, action.required = value, False
    return Setting(name, value, origin)


def every(told: Sources) -> list[Setting]:
    """Each setting of each verb. UsageError where the file holds something else."""
    from neurath.cli import main

    seen: dict[str, Setting] = {}
    for verb in dict.fromkeys(one[0] for one in LASTING):
        for one in settle(main.unsettled(verb), verb, told):
            seen.setdefault(one.name, one)
    refuse_unknown(told, "", [*SHARED, *{name.partition(".")[0] for name in seen if "." in name}])
    return list(seen.values())
