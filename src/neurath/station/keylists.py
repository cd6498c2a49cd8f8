"""Whose releases a stock believes where roots sign lists of keys: the newest list that followed from the one before, and
nothing that a server says beside it. It knows lists and a directory; it must never go back to an older list, nor begin with
roots that nobody vouched for where keys are known already. Spec: docs/spec/keylist.md 5."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from neurath.disk import write_whole
from neurath.errors import NotFound
from neurath.ids import ModelName
from neurath.station.stock import Index, Stock
from neurath.wire import keylist
from neurath.wire.keys import public_pem

if TYPE_CHECKING:
    from neurath.wire.keylist import KeyList

NEWEST = "newest.keys"
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
        stock.root.mkdir(parents=True, exist_ok=True)
        write_whole(stock.root / NEWEST, raw)
    return last


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
