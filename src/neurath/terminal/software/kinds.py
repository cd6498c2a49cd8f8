"""Which form a component has, and the trust it is installed under, out of a setup. It knows every form there is; it must never
write anything but this terminal's own device key, once."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import cast

from neurath.disk import write_whole
from neurath.errors import DataError
from neurath.flash.geometry import plain_model
from neurath.flash.trust import Birth
from neurath.ids import ComponentName, checked_name
from neurath.terminal.setup import Component, Setup
from neurath.terminal.software.component import Form, Software, Trust
from neurath.terminal.software.fs import Fs
from neurath.terminal.software.installed import Book
from neurath.wire import pubkey

#: Piece size of their staging, bytes.
PIECE = 1 << 14
KEY_FILE = "device.key"
#: installer -> the module that has it: an agent loads those it has components of.
_MODULES = {"file": "file", "directory": "directory", "deb": "debian", "command": "command"}


def software(setup: Setup, component: Component, fs: Fs | None = None) -> Software:
    """The installer of a component that is not a bank."""
    assert setup.state is not None
    fs = fs or Fs()
    book = Book(setup.state / f"{component.name}.installed", fs)
    form = _form(setup.state, component, fs)
    return Software(trust(setup, component.name), form, book, component.hooks, assigned=component.take == "assigned")


def trust(setup: Setup, component: str) -> Trust:
    """Who this terminal is, for one component: its class is the component's own."""
    model = plain_model(checked_name(setup.model, "model")).of_component(component)
    birth = Birth(
        id=checked_name(setup.id, "terminal id"),
        model=setup.model,
        vendor=model.vendor,
        klass=model.klass,
        device_key=device_key(setup.state or Path()),
        release=tuple(pubkey.load_public(path) for path in setup.release_keys),
        ticket=None if setup.ticket_key is None else pubkey.load_public(setup.ticket_key),
    )
    return Trust(birth, ComponentName(component))


def device_key(state: Path) -> bytes:
    """The seed of this terminal's device key, made at the first start."""
    path = state / KEY_FILE
    if not path.exists():
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, os.urandom(32))
        path.chmod(0o600)
    found = path.read_bytes()
    if len(found) != 32:
        raise DataError(f"{path} is no device key", f"{len(found)} bytes", "remove it: a new one is made", id="NRT-298")
    return found


def _form(state: Path, component: Component, fs: Fs) -> Form:
    module = importlib.import_module(f"neurath.terminal.software.{_MODULES[component.installer]}")
    return cast(Form, module.form(component, state / f"{component.name}.software", fs))
