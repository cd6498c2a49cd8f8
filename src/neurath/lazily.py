"""Modules that others import and a waiting agent hardly ever uses: loaded with their first use and not with their import. It
knows how to stand in for a module; it must never load one by itself."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

#: Imported by dataclasses (for classes without a docstring), urllib.parse and modules of ours; used by none of them in an
#: agent that waits: `ssl` where no address says https, offers and lists of keys where none came yet.
HARDLY_USED = ("cbor2", "inspect", "ipaddress", "ssl", "subprocess", "uuid", "neurath.terminal.staging.symbols")
HARDLY_READ = ("neurath.wire.keylist", "neurath.wire.offer")


class Later(ModuleType):
    """Stands in for a module until somebody looks into it. The library's LazyLoader is loaded by the second import already,
    and is not safe in threads before Python 3.12; here the import's own locks do what is to be done once."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def put_off(*names: str) -> None:
    """From now on an import of these takes what stands in for them; those that are loaded already stay as they are."""
    for name in names:
        if name not in sys.modules:
            sys.modules[name] = Later(name)
