"""Whose releases a stock believes where roots sign lists of keys: the newest list that followed from the one before, and
nothing that a server says beside it. All of them are kept, for terminals that keep none. It knows lists and a directory; it
must never go back to an older list, nor begin with roots that nobody vouched for where keys are known already. Spec:
docs/spec/keylist.md 5."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.disk import write_whole
from neurath.errors import DataError, NotFound, RefusedError, TrustError
from neurath.ids import ModelName
from neurath.station.stock import Index, Stock
from neurath.wire import keylist
from neurath.wire.keys import public_pem

if TYPE_CHECKING:
    from neurath.wire.keylist import KeyList

NEWEST = "newest.keys"
#: Where every list is kept by its version.
ALL = "lists"
#: Lists taken in one go, as at a terminal.
MOST = 1000
#: Gives the list of this version, NotFound where there is none.
Lists = Callable[[int], bytes]


def kept(stock: Stock) -> KeyList | None:
    """The newest list this stock took; None: none, ever."""
    try:
        return keylist.unpack((stock.root / NEWEST).read_bytes())[1]
    except FileNotFoundError:
        return None


def chain(stock: Stock) -> tuple[bytes, ...]:
    """Every list from number 1 to the newest this stock took; empty where it has not all of them."""
    newest = kept(stock)
    try:
        return tuple(_place(stock, n).read_bytes() for n in range(1, newest.version + 1)) if newest else ()
    except FileNotFoundError:
        return ()


def catch_up(stock: Stock, lists: Lists, roots: bytes = b"") -> KeyList | None:
    """Takes every list there is, one after the other; the newest. `roots` is a first list out of a trusted hand, whose roots
    the others follow from. Without it the first list is believed where the stock knows no key yet, as keys themselves are;
    else none is."""
    last = kept(stock)
    begun = keylist.unpack(roots)[1].roots.digest if roots else b""
    for _ in range(MOST):
        version = 0 if last is None else last.version
        try:
            raw = lists(version + 1)
        except NotFound:
            break
        if last is not None:
            root = last.successors.digest
        elif begun:
            root = begun
        elif _knows_keys(stock):
            break  # whoever begins with a list here would have the keys that are known replaced
        else:
            root = keylist.unpack(raw)[1].roots.digest
        last = keylist.accept(raw, root, version)
        _keep(stock, last.version, raw)
        write_whole(stock.root / NEWEST, raw)
    if last is not None and not chain(stock):
        _complete(stock, lists, last)
    return last


def _place(stock: Stock, version: int) -> Path:
    return stock.root / ALL / f"{version}.keys"


def _keep(stock: Stock, version: int, raw: bytes) -> None:
    place = _place(stock, version)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, raw)


def _complete(stock: Stock, lists: Lists, newest: KeyList) -> None:
    """The lists before the newest, for a stock that kept none of them; nothing where they do not lead to it."""
    with contextlib.suppress(NotFound, DataError, TrustError, RefusedError):
        found = [lists(n) for n in range(1, min(newest.version, MOST) + 1)]
        if keylist.follow(found, keylist.unpack(found[0])[1].roots.digest) == newest:
            for n, raw in enumerate(found, 1):
                _keep(stock, n, raw)


def _knows_keys(stock: Stock) -> bool:
    try:
        return bool(stock.index().keys)
    except NotFound:
        return False


def judged(index: Index, found: KeyList) -> Index:
    """The index with the keys that the list names, and no others, for the models it names; for the rest a server's word counts
    as before."""
    listed = [(ModelName(name), key) for family in found.families for name in family.models for key in family.keys]
    own = {name for name, _ in listed}
    others = [one for one in index.keys if one[0] not in own]
    return replace(index, keys=tuple(sorted([*others, *((name, public_pem(key).decode()) for name, key in listed)])))
