"""A component that another program installs: a container, a package for swupdate or rauc. It knows three commands of an
operator and what it handed to them; what it cannot read it takes from the command that says what is installed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from neurath.errors import RefusedError
from neurath.terminal.identity import Held
from neurath.terminal.setup import Component
from neurath.terminal.software.component import NOTHING, Data
from neurath.terminal.software.fs import Fs
from neurath.terminal.software.hooks import run


@dataclass(frozen=True, slots=True)
class Commands:
    """`install` with `{file}` where the path goes; `installed` prints the SHA-256 of what is installed, as it was handed
    over; `back` puts back what was there before. The last two may be left out. Each has `time` seconds."""

    install: tuple[str, ...]
    installed: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    time: float = 600.0


class Command:
    """`store` holds `payload` while it is being installed, `done.json` (what the last success handed over) and
    `before.json`."""

    def __init__(self, store: Path, fs: Fs, commands: Commands) -> None:
        self._store = store
        self._fs = fs
        self._commands = commands
        self._payload = store / "payload"
        self._done = store / "done.json"
        self._before = store / "before.json"

    def held(self) -> Held:
        """What the command says, else what the last success handed over: the only thing that could be known."""
        known = self._read(self._done)
        if not self._commands.installed:
            return known
        said = run(self._commands.installed, self._commands.time)
        text = said.text.partition(" ")[0].lower()
        if not said.good or len(text) != 64 or set(text) - set("0123456789abcdef"):
            return NOTHING
        for about in (known, self._read(self._before)):
            if about.digest.hex() == text:
                return about
        return Held(bytes.fromhex(text), 1)

    def _read(self, path: Path) -> Held:
        try:
            found = json.loads(path.read_text())
            return Held(bytes.fromhex(found["image"]), int(found["size"]))
        except (OSError, ValueError, KeyError, TypeError):
            return NOTHING

    def contents(self) -> bytes | None:
        return None

    def check(self, data: Data) -> None:
        if not data:
            raise RefusedError("there is nothing to install", "the file is empty", "build it again")

    def put(self, data: Data, name: bytes) -> None:
        fs = self._fs
        fs.mkdir(self._store, 0o700)
        fs.put(self._before, self._done.read_bytes() if self._done.exists() else b"{}")
        fs.write(self._payload, data, 0o600)
        words = [word.replace("{file}", str(self._payload)) for word in self._commands.install]
        said = run(words, self._commands.time)
        if not said.good:
            raise RefusedError(f"{words[0]} did not install it", said.text, "run it by hand to see why", id="NRT-388")
        fs.put(self._done, json.dumps({"image": name.hex(), "size": len(data)}).encode())
        fs.remove(self._payload)

    def back(self) -> None:
        fs = self._fs
        fs.remove(self._payload)
        if not self._before.exists():
            return
        if self._commands.back:
            said = run(self._commands.back, self._commands.time)
            if not said.good:
                raise RefusedError(f"{self._commands.back[0]} did not put it back", said.text, "run it by hand to see why")
        fs.replace(self._before, self._done)

    def tidy(self) -> None:
        if self._store.is_dir():
            self._fs.remove(self._payload)
            self._fs.remove(self._before)


def form(component: Component, store: Path, fs: Fs) -> Command:
    """The form a setup describes; `store` is its own place in the agent's state."""
    return Command(store, fs, Commands(component.install, component.installed, component.back, component.hooks.time))
