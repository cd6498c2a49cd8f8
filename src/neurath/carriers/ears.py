"""Which carrier brings a terminal its notices, by a short text of the operator's. It knows which module holds which; it must
never import one that was not asked for, since each is an optional extra."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Protocol, cast

from neurath.carriers.http import Place
from neurath.carriers.stream import Ear
from neurath.errors import UsageError


class Listening(Protocol):
    """An open ear."""

    def close(self) -> None: ...


def ear(spec: str, place: Place, heard: Callable[[], None]) -> Listening:
    """Listens until closed: "" at the server's own stream, `mqtt://...` or `mqtts://...` at a broker. UsageError for what is
    neither, or whose extra is not installed."""
    if not spec:
        return Ear(place, heard)
    if not spec.startswith(("mqtt://", "mqtts://")):
        raise UsageError(f"{spec!r} brings no notices", "mqtt://HOST[:PORT] or mqtts://... does", "--push mqtt://127.0.0.1")
    try:
        found = importlib.import_module("neurath.carriers.mqtt_notice")
    except ModuleNotFoundError as fault:
        raise UsageError(
            "push over MQTT is not installed", f"{fault.name} is missing", "pip install 'neurath[carriers]'"
        ) from None
    return cast("type[_Made]", found.MqttEar)(spec, place, heard, place.ca)


class _Made(Listening, Protocol):
    def __init__(self, url: str, place: Place, heard: Callable[[], None], ca: str) -> None: ...
