"""CoAP, the client's side: check-in, report, heartbeat, files block by block, and the rescue route by digest. It knows one
server's address and one terminal's token; it must never wait for ever, nor hand on a byte that does not lie where it was asked
for. Spec: docs/spec/coap.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol

from neurath.carriers.base import Answer, Descriptor
from neurath.carriers.datagram import Link, Request
from neurath.carriers.http import Place
from neurath.errors import DataError, LinkError, NeurathError, NotFound, RefusedError
from neurath.wire import cbor, coap
from neurath.wire import check as checks
from neurath.wire import offer as offers
from neurath.wire import report as reports
from neurath.wire.check import Check
from neurath.wire.coap import Block, Code, Message
from neurath.wire.report import Report

#: Bytes that one answer may have: with its header it stays one packet on a path of 1,280 bytes.
ROOM = 1024
#: A heartbeat that has no answer by then is lost, seconds.
BEAT_LIMIT = 10.0


class Guard(Protocol):
    """What protects a terminal's messages: OSCORE, or the narrow profile."""

    def protect(self, request: Request) -> tuple[Request, Any]:
        """The request as it goes out, and what its answer is opened with."""
        ...

    def unprotect(self, answer: Message, asked: Any) -> Message:
        """The answer; TrustError where it is none to this request."""
        ...

    def fresh(self, request: Request, answer: Message) -> Request | None:
        """The request that is sent in its place, where the server asks whether it is fresh."""
        ...


class Coap:
    """One terminal's link to one server."""

    descriptor = Descriptor("coap", ROOM, "dynamic", True, False)

    def __init__(self, place: Place) -> None:
        self._place = place
        self._link = Link(place.url, place.message_limit)
        self._query = ((coap.URI_QUERY, f"tenant={place.tenant}".encode()),) if place.tenant != "DEFAULT" else ()
        self._shield = _shield(place)
        self._shown = ((coap.TOKEN_OPTION, place.token.encode()),) if place.token and not place.narrow else ()
        self._offered: set[bytes] = set()

    def check(self, check: Check) -> Answer:
        answer, data = self._whole(self._request(Code.POST, coap.CHECK, payload=checks.encode(check)))
        again = answer.uint(coap.MAX_AGE)
        offer = offers.decode(data)
        self._offered = set() if offer is None else {offer.file}
        return Answer(offer, None if again is None else float(again))

    def report(self, report: Report) -> None:
        try:
            self._ask(self._request(Code.POST, coap.REPORT, payload=reports.encode(report)))
        except NotFound:
            # The server has closed or forgotten the action: there is nobody left to tell.
            return

    def fetch(self, file: bytes, offset: int, length: int) -> Iterator[bytes]:
        if file not in self._offered:
            raise NotFound("this file was not offered", file.hex()[:16], "check in again")
        return self._blocks(self._request(Code.GET, coap.FILE, file[:16].hex()), offset, length)

    def fetch_by_digest(self, file: bytes, offset: int, length: int) -> Iterator[bytes]:
        return self._blocks(Request(Code.GET, coap.path(coap.RESCUE, file[:16].hex())), offset, length)

    def rescue(self, question: bytes) -> bytes | None:
        """The answer to what a terminal that cannot boot asks. LinkError while its file is being built."""
        return self._ask(Request(Code.POST, coap.path(coap.QUESTION, self._place.terminal), payload=question)).payload

    def key_list(self, version: int) -> bytes:
        return self._whole(Request(Code.GET, coap.path(coap.KEYS, str(version))))[1]

    def still_wanted(self, action: str) -> bool:
        try:
            self._ask(self._request(Code.GET, coap.ACTION, action))
        except NotFound:
            return False
        return True

    def beat(self, state: bytes) -> bytes:
        """One datagram, and one for the answer; lost is lost, so that nothing under way ever adds one."""
        request = replace(self._request(Code.POST, coap.HEARTBEAT, payload=state), confirmable=False)
        return self._ask(request, min(BEAT_LIMIT, self._place.message_limit)).payload

    def close(self) -> None:
        self._link.close()

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _request(self, code: Code, *segments: str, payload: bytes = b"") -> Request:
        where = coap.path(segments[0], self._place.terminal, *segments[1:])
        return Request(code, where + self._query + self._shown, payload)

    def _ask(self, request: Request, limit: float | None = None) -> Message:
        answer = self._shielded(self._shield, request, limit) if self._shield else self._link.ask(request, limit)
        _refuse(answer, self._place)
        return answer

    def _shielded(self, guard: Guard, request: Request, limit: float | None) -> Message:
        """The same under OSCORE, or with tags. An answer that does not open is none: it may be anybody's."""
        for _ in range(2):
            outer, asked = guard.protect(request)
            given = self._link.ask(outer, limit)
            try:
                answer = guard.unprotect(given, asked)
            except NeurathError as fault:
                what = "the server's answer is not protected as it has to be"
                raise LinkError(
                    what,
                    f"{fault.what}: {coap.dotted(given.code)} {given.payload.decode(errors='replace')[:80]}",
                    "is its token the one here?",
                    id="NRT-430",
                ) from None
            again = guard.fresh(request, answer)
            if again is None:
                return answer
            request = again
        return answer

    def _whole(self, request: Request) -> tuple[Message, bytes]:
        """The first block of an answer, and all of its bytes."""
        first = answer = self._ask(request)
        data = bytearray(answer.payload)
        while (block := answer.block(coap.BLOCK2)) is not None and block.more:
            if len(answer.payload) != block.size or len(data) > cbor.MAX_MESSAGE:
                raise DataError(
                    "the server sent another block", f"{len(answer.payload)} bytes", "it is asked anew", id="NRT-276"
                )
            answer = self._ask(
                replace(with_block(request, Block(len(data) // block.size, False, block.exponent)), payload=b"")
            )
            _same(answer, len(data))
            data += answer.payload
        return first, bytes(data)

    def _blocks(self, request: Request, offset: int, length: int) -> Iterator[bytes]:
        """The asked bytes, block by block from the one that holds the first of them."""
        at, end, exponent = offset, offset + length, 6
        while at < end:
            size = 16 << exponent
            answer = self._ask(with_block(request, Block(at // size, False, exponent)))
            begin, exponent = _same(answer, at)
            data = answer.payload[at - begin : end - begin]
            if not data:
                raise LinkError("the server stopped in mid-file", f"{end - at} bytes are missing", "it is tried again")
            yield data
            at += len(data)


def _shield(place: Place) -> Guard | None:
    """Who does without it loads none of it."""
    if place.oscore:
        from neurath.carriers.shield import shield

        return shield(place.oscore, place.terminal, place.tenant, place.token)
    if place.narrow:
        from neurath.carriers.narrowing import guard

        return guard(place.terminal, place.tenant, place.token)
    return None


def with_block(request: Request, block: Block) -> Request:
    """The same request for one block of its answer."""
    options = (*request.options, (coap.BLOCK2, coap.block_value(block)))
    return replace(request, options=tuple(sorted(options, key=lambda option: option[0])))


def _same(answer: Message, at: int) -> tuple[int, int]:
    """Where an answer's block begins and its size's exponent; DataError where byte `at` does not lie in it."""
    block = answer.block(coap.BLOCK2) or Block(0)
    begin = block.number * block.size
    whole = len(answer.payload) == block.size if block.more else len(answer.payload) <= block.size
    if not (begin <= at < begin + block.size and whole):
        raise DataError(
            "the server sent another block", f"asked for byte {at}, got {begin}", "it is fetched anew", id="NRT-276"
        )
    return begin, block.exponent


def _refuse(answer: Message, place: Place) -> None:
    """Nothing for 2.xx; else the error that the code means."""
    code = answer.code
    if code >> 5 == 2:
        return
    why = f"{coap.dotted(code)} {''.join(c for c in answer.payload.decode(errors='replace') if c.isprintable())[:200]}".strip()
    if code == Code.UNAUTHORIZED:
        hint = "neurath terminal add ID --model M  prints a token; give it with --token"
        raise RefusedError("the server does not know this terminal by this token", why, hint, id="NRT-340")
    if code == Code.CONFLICT:
        raise RefusedError("the server refuses the transfer for now", why, "report secured memory first", id="NRT-341")
    if code == Code.NOT_FOUND:
        raise NotFound(f"the server has nothing like this for {place.terminal}", why, "check in again", id="NRT-145")
    if code >> 5 == 5 or code == Code.INCOMPLETE:
        raise LinkError("the server asks to try later", why, "it is tried again", id="NRT-421")
    raise RefusedError("the server refuses the message", why, "is it a Neurath server?", id="NRT-342")


def rides(spec: str, place: Place) -> Coap:
    """`coap`: the server that is checked in at; `coap://HOST[:PORT]`: that one."""
    return Coap(place if spec == "coap" else replace(place, url=spec))
