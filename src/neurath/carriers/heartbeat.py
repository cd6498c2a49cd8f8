"""The HTTP heartbeat: a small POST that a terminal sends periodically anyway, with its download state; pieces on the answer.
It knows the route and the bytes' bounds; it must never look inside them, nor send a second request. Spec: docs/spec/ddi.md."""

from __future__ import annotations

from neurath.carriers.base import Descriptor
from neurath.carriers.http import Http, Place

#: Bytes that one answer may have: with its headers it still fits one TCP segment, so that no packet is added.
ROOM = 1024


class HttpHeartbeat(Http):
    """One terminal's link to one server, with a heartbeat."""

    descriptor = Descriptor("http heartbeat", ROOM, "dynamic", True, False)

    def beat(self, state: bytes) -> bytes:
        """One request, one answer. LinkError when none comes."""
        path = f"/{self._place.tenant}/neurath/v1/{self._place.terminal}/heartbeat"
        return self._exchange("POST", path, {"Content-Type": "application/octet-stream"}, state)


def rides(spec: str, place: Place) -> HttpHeartbeat:
    """`http`: the heartbeat of the server that is checked in at."""
    return HttpHeartbeat(place)
