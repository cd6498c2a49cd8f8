"""The file for what a cut left of a rewrite, made by the station from its stock (docs/spec/rescue.md). It knows images and
memory maps; it must never send what is no smaller than the package, for the package is what always works."""

from __future__ import annotations

from neurath.delta import hybrid
from neurath.delta.hybrid import Goal
from neurath.errors import NeurathError
from neurath.flash.geometry import model_from_toml
from neurath.station.select import Entry
from neurath.station.stock import Stock
from neurath.wire.smp import Fate, Identity


def wanted(identity: Identity, entry: Entry) -> bool:
    """Whether this terminal stands in the middle of a rewrite to this very release."""
    target = identity.target
    mid_rewrite = identity.fate is Fate.FETCH and not identity.restoring
    return mid_rewrite and target is not None and entry.envelope_digest.startswith(target.release.envelope.hex())


def made(stock: Stock, identity: Identity, entry: Entry, description: bytes) -> bytes | None:
    """The file that goes on from what the terminal says it holds; None where this stock cannot make one."""
    if identity.installed is None:
        return None
    index = stock.index()
    maps = dict(index.models)
    before = next((one for one in index.entries if one.image == identity.installed.image.hex()), None)
    if before is None or identity.model not in maps:
        return None
    try:
        model = model_from_toml(maps[identity.model])
        if model.signed:
            return None
        layout = model.layout
        goal = Goal(stock.image(before), stock.image(entry))
        return hybrid.build(hybrid.recognise(description, goal, layout), goal, layout).data
    except NeurathError:
        return None
