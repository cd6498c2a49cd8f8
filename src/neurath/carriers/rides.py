"""Which carrier a terminal's heartbeat rides on, by a short text of the operator's. It knows which module holds which; it must
never import one that was not asked for, since each is an optional extra."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import cast

from neurath.carriers.base import Carrier, Rides
from neurath.carriers.http import Http, Place
from neurath.errors import UsageError

#: scheme -> module under neurath.carriers with `rides(spec, place) -> Rides`, and the form of its text.
KINDS: dict[str, tuple[str, str]] = {
    "http": ("heartbeat", "http (the server's own address)"),
    "https": ("heartbeat", "https (the same)"),
    "dhcp": ("dhcp.renewer", "dhcp:IFACE[,SERVER][,enterprise=N] (the agent renews the lease itself)"),
    "spool": ("dhcp.spool", "spool:DIR (answers that a DHCP client's hook kept)"),
    "coap": ("coap", "coap (the server's own address) or coap://HOST[:PORT]"),
    "lwm2m": ("lwm2m", "lwm2m://HOST[:PORT]"),
    "mobileip": ("mobileip", "mobileip:FILE.toml"),
    "mqtt": ("mqtt_rides", "mqtt://[USER:PASSWORD@]HOST[:PORT]"),
    "pair": ("pair", "pair:FILE.toml"),
    "mqtts": ("mqtt_rides", "mqtts://[USER:PASSWORD@]HOST[:PORT]"),
}


def rides(spec: str, place: Place) -> Rides:
    """The carrier `spec` names: a scheme, and what follows its colon is the carrier's own; "" names the one that the server
    is reached by. UsageError for one that is not known, or whose extra is not installed."""
    spec = spec or place.url.partition(":")[0]
    scheme = spec.partition(":")[0]
    if scheme not in KINDS:
        raise UsageError(f"no heartbeat carrier {scheme!r}", "there are: " + "; ".join(form for _, form in KINDS.values()))
    module, _ = KINDS[scheme]
    try:
        found = importlib.import_module(f"neurath.carriers.{module}")
    except ModuleNotFoundError as fault:
        raise UsageError(
            f"carrier {scheme} is not installed", f"{fault.name} is missing", "pip install 'neurath[carriers]'"
        ) from None
    return cast(Callable[[str, Place], Rides], found.rides)(spec, place)


def link(place: Place) -> Carrier:
    """The carrier that reaches a server at its address: CoAP for `coap://`, else HTTP."""
    if place.url.startswith("coap:"):
        from neurath.carriers.coap import Coap  # a terminal on HTTP does without

        return Coap(place)
    return Http(place)
