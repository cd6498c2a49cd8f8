"""The narrow profile in front of the CoAP plane: requests are let through once, under the key of the terminal they name, and
answers get their tag. It knows keys, epochs and windows, all in memory; it must never let a request through that it has
seen, in this life or another, nor say whether a terminal exists. Spec: docs/spec/coap.md 7."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import threading
from dataclasses import dataclass, field
from typing import Any

import aiocoap
from aiocoap.optiontypes import OpaqueOption
from aiocoap.pipe import IterablePipe, Pipe, error_to_message, run_driving_pipe
from aiocoap.resource import Resource
from sqlalchemy import select

from neurath.errors import NeurathError
from neurath.server.fleet import access
from neurath.server.store import Store
from neurath.server.store.tables import terminal as terminals
from neurath.wire import coap, narrow
from neurath.wire.coap import Code, Message, Type

log = logging.getLogger(__name__)

#: Terminals whose windows are kept; of more, the one made first gets a new epoch, and asks for it.
MOST = 20_000
#: Counters of one epoch that are taken; a terminal that comes so far is given another.
LAST = 1 << 31


@dataclass(slots=True)
class Pair:
    """One terminal: `proof` is the digest of its token, `epoch` what its requests have to be about. Made anew where the server
    is: what was recorded before is of another epoch."""

    tenant: str
    name: str
    proof: str
    key: bytes
    epoch: bytes
    window: narrow.Window = field(default_factory=narrow.Window)


class Proven:
    """A far end whose request was whole and new; it is where it was."""

    def __init__(self, remote: Any, pair: Pair) -> None:
        self._remote = remote
        self.pair = pair
        self.link = "narrow"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._remote, name)

    @property
    def blockwise_key(self) -> tuple[Any, ...]:
        return (self._remote.blockwise_key, self.pair.key)


class Narrowed(Resource):  # type: ignore[misc]  # aiocoap is not typed
    """The plane, behind the narrow profile for who speaks it."""

    def __init__(self, plane: Any, store: Store) -> None:
        super().__init__()
        self.plane = plane
        self.store = store
        self._pairs: dict[tuple[str, str], Pair] = {}
        self._secret = secrets.token_bytes(32)
        self._guard = threading.Lock()

    def get_resources_as_linkheader(self) -> Any:
        return self.plane.get_resources_as_linkheader()

    async def render_to_pipe(self, pipe: Pipe) -> None:
        request = message_of(pipe.request)
        if not request.all(narrow.OPTION):
            await self.plane.render_to_pipe(pipe)
            return
        try:
            counter, tag = narrow.shown(request)
            pair = await asyncio.to_thread(self._pair, request)
        except NeurathError:
            raise aiocoap.error.BadOption from None
        # Between the look and the window nothing else runs in the event loop: of two alike one is let through.
        whole = narrow.is_whole(pair.key, pair.epoch, request) and bool(pair.proof) and counter <= LAST
        if whole and pair.window.take(counter):
            await self._render(pipe, pair, tag)
        else:
            pipe.add_response(_asking(pair, tag), is_last=True)

    async def _render(self, pipe: Pipe, pair: Pair, tag: bytes) -> None:
        inner = pipe.request.copy()
        inner.opt.delete_option(narrow.OPTION)
        inner.remote = Proven(pipe.request.remote, pair)
        within = IterablePipe(inner)
        run_driving_pipe(error_to_message(within, log), self.plane.render_to_pipe(within), name="narrowed")
        async for event in within:
            message = event.message if event.exception is None else aiocoap.Message(code=aiocoap.INTERNAL_SERVER_ERROR)
            last = event.exception is not None or event.is_last
            pipe.add_response(_tagged(pair, tag, message), is_last=last)
            if last:
                return

    def _pair(self, request: Message) -> Pair:
        """The pair of whom a request names; of nobody known one that cannot be told from it, and that nothing fits."""
        path = [value.decode("utf-8", "replace") for value in request.all(coap.URI_PATH)]
        queries = [value.decode("utf-8", "replace").partition("=") for value in request.all(coap.URI_QUERY)]
        tenant = next((value for name, _, value in queries if name == "tenant"), access.DEFAULT_TENANT)
        name = path[1] if len(path) > 1 else ""
        query = select(terminals.c.token).where(
            terminals.c.tenant == tenant, terminals.c.id == name, terminals.c.decommissioned.is_(None)
        )
        with self.store.read() as db:
            proof = str(db.scalar(query) or "")
        if not proof:
            made = hmac.digest(self._secret, f"{tenant}/{name}".encode(), "sha512")
            return Pair(tenant, name, "", made[:32], made[32 : 32 + narrow.EPOCH])
        with self._guard:
            return self._known(tenant, name, proof)

    def _known(self, tenant: str, name: str, proof: str) -> Pair:
        pair = self._pairs.get((tenant, name))
        if pair is None or pair.proof != proof or pair.window.floor >= LAST:
            self._pairs.pop((tenant, name), None)
            while len(self._pairs) >= MOST:
                del self._pairs[next(iter(self._pairs))]
            key = narrow.derive(bytes.fromhex(proof), name, tenant)
            pair = self._pairs[tenant, name] = Pair(tenant, name, proof, key, secrets.token_bytes(narrow.EPOCH))
        return pair


def message_of(message: aiocoap.Message) -> Message:
    """A message as our codec has it, without its message layer."""
    found = [(int(option.number), option.encode()) for option in message.opt.option_list()]
    options = tuple(sorted(found, key=lambda option: option[0]))
    return Message(Type.CON, int(message.code), 0, b"", options, message.payload)


def _tagged(pair: Pair, tag: bytes, message: aiocoap.Message) -> aiocoap.Message:
    message.payload = narrow.answered(pair.key, tag, message_of(message))
    return message


def _asking(pair: Pair, tag: bytes) -> aiocoap.Message:
    """What is said to everybody who was not let through: which epoch, which floor."""
    answer = aiocoap.Message(code=aiocoap.Code(Code.UNAUTHORIZED))
    value = pair.epoch + narrow.mask(pair.key, tag, pair.window.floor)
    answer.opt.add_option(OpaqueOption(narrow.ECHO, value))
    return _tagged(pair, tag, answer)
