"""The terminal's half of LwM2M: it registers, its heartbeat is the Update, and what rides comes back as a write to object 5
right after. It knows one server and one registration; it must never wait for a write that was not announced.
Spec: docs/spec/lwm2m.md."""

from __future__ import annotations

import time
from dataclasses import replace

from neurath.carriers.base import Descriptor
from neurath.carriers.datagram import Link, Request
from neurath.carriers.http import Place
from neurath.errors import LinkError, RefusedError
from neurath.wire import coap, lwm2m
from neurath.wire.coap import Code, Message

#: Bytes that one write may have.
ROOM = 1024
PORT = 5783
BEAT_LIMIT = 10.0
#: Two extra packets: an answer to an Update has no payload, so that pieces come as a request of the server's, with its answer.
DESCRIPTOR = Descriptor("lwm2m", ROOM, "dynamic", True, False, extra_packets=2)
_LINKS = f"</{lwm2m.OBJECT}/{lwm2m.INSTANCE}>".encode()
_PACKAGE = (lwm2m.OBJECT.encode(), lwm2m.INSTANCE.encode(), lwm2m.PACKAGE.encode())


class Lwm2mHeartbeat:
    """One endpoint's registration at one server."""

    descriptor = DESCRIPTOR

    def __init__(self, place: Place, lifetime: int = lwm2m.LIFETIME) -> None:
        self._link = Link(place.url, min(BEAT_LIMIT, place.message_limit))
        self._endpoint = place.terminal if place.tenant == "DEFAULT" else f"{place.tenant}/{place.terminal}"
        self._lifetime = lifetime
        self._location: tuple[tuple[int, bytes], ...] = ()

    def beat(self, state: bytes) -> bytes:
        """An Update, and the write that it announces; b"" where it announces none. One that is not registered any more
        registers again first."""
        answer = self._update(state)
        if answer.code == Code.NOT_FOUND:
            self._location = ()
            answer = self._update(state)
        if answer.code != Code.CHANGED:
            raise self._refused(answer)
        if not answer.all(coap.ETAG):
            return b""
        end = time.monotonic() + self._link.limit
        while (asked := self._link.asked(end)) is not None:
            if asked.code == Code.PUT and asked.all(coap.URI_PATH) == _PACKAGE:
                self._link.answer(asked, Code.CHANGED)
                return asked.payload
            self._link.answer(asked, Code.NOT_FOUND)
        raise LinkError(f"{self._link.url} does not write", "it announced a package", "it is tried again", id="NRT-423")

    def close(self) -> None:
        """Leaves the registration to its lifetime: a terminal that closes its link is asleep, not gone."""
        self._link.close()

    def leave(self) -> None:
        """Ends the registration."""
        if self._location:
            self._link.ask(Request(Code.DELETE, self._location))
            self._location = ()

    def _update(self, state: bytes) -> Message:
        if not self._location:
            self._register()
        query = (coap.URI_QUERY, f"{lwm2m.STATE_QUERY}={state.hex()}".encode())
        return self._link.ask(Request(Code.POST, (*self._location, query)))

    def _register(self) -> None:
        words = (f"ep={self._endpoint}", f"lt={self._lifetime}", "lwm2m=1.0", "b=U")
        options = (*coap.path(lwm2m.ROOT), (coap.CONTENT_FORMAT, b"\x28"), *((coap.URI_QUERY, w.encode()) for w in words))
        answer = self._link.ask(Request(Code.POST, options, _LINKS))
        if answer.code != Code.CREATED:
            raise self._refused(answer)
        self._location = tuple((coap.URI_PATH, part) for part in answer.all(coap.LOCATION_PATH))

    def _refused(self, answer: Message) -> RefusedError | LinkError:
        why = f"{coap.dotted(answer.code)} {answer.payload.decode(errors='replace')[:80]}".strip()
        if answer.code >> 5 == 5:
            return LinkError("the server asks to try later", why, "it is tried again", id="NRT-421")
        return RefusedError("the server does not take this registration", why, "is it an LwM2M server?", id="NRT-349")


def rides(spec: str, place: Place) -> Lwm2mHeartbeat:
    """`lwm2m://HOST[:PORT]`, usual port 5783."""
    host = spec.partition("://")[2]
    tail = "" if host.rpartition(":")[2].isdigit() else f":{PORT}"
    return Lwm2mHeartbeat(replace(place, url=f"coap://{host}{tail}"))
