"""OSCORE (RFC 8613) in front of the CoAP plane: requests are opened under the keys of the terminal they name, answers
protected for it. It knows keys, windows and freshness, through aiocoap's own code; it must never let a request through that
it has seen, nor say who a terminal is that did not prove it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from typing import Any

import aiocoap
from aiocoap import error, oscore
from aiocoap.pipe import IterablePipe, Pipe, error_to_message, run_driving_pipe
from aiocoap.resource import Resource
from sqlalchemy import select

from neurath.server.store import Store
from neurath.server.store.tables import terminal as terminals
from neurath.wire import oscore as ours

log = logging.getLogger(__name__)

#: Pairs of keys that are kept; of more, the one made first is made again, and asks its terminal for freshness.
MOST = 20_000
WINDOW = 64
#: Numbers of its own by the clock, so many a second (40 bits of them last to 2038), and how many it may be ahead of it: no
#: process begins anew in that time.
TICKS, AHEAD = 512, 64


class Pair(oscore.CanProtect, oscore.CanUnprotect, oscore.SecurityContextUtils):  # type: ignore[misc]  # not typed
    """The keys of one terminal. Nothing is kept of its window: after a restart its first request is asked for an Echo."""

    def __init__(self, tenant: str, name: str, proof: str) -> None:
        self.tenant, self.name, self.proof = tenant, name, proof
        self.alg_aead = oscore.algorithms["AES-CCM-16-64-128"]
        self.hashfun = oscore.hashfunctions["sha256"]
        self.sender_id, self.recipient_id = ours.SERVER, ours.CLIENT
        self.id_context = ours.context_of(name, tenant)
        self.recipient_replay_window = oscore.ReplayWindow(WINDOW, lambda: None)
        self.recipient_replay_window._index = None
        self.echo_recovery = secrets.token_bytes(8)
        # Of its own it numbers only what follows a lost window: by the clock, so that no restart repeats one.
        self.sender_sequence_number = int(time.time() * TICKS)
        self.derive_keys(ours.SALT, bytes.fromhex(proof))

    def new_sequence_number(self) -> int:
        now = int(time.time() * TICKS)
        number = max(self.sender_sequence_number, now)
        if number - now >= AHEAD:
            raise oscore.ContextUnavailable("too many answers of its own in so short a time")
        self.sender_sequence_number = number + 1
        return number

    def post_seqnoincrease(self) -> None:
        return


class Proven:
    """A far end whose request was opened; it is where it was."""

    def __init__(self, remote: Any, pair: Pair) -> None:
        self._remote = remote
        self.pair = pair
        self.link = "oscore"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._remote, name)

    @property
    def blockwise_key(self) -> tuple[Any, ...]:
        return (self._remote.blockwise_key, self.pair.id_context)


class Shielded(Resource):  # type: ignore[misc]  # aiocoap is not typed
    """The plane, behind OSCORE for who speaks it."""

    def __init__(self, plane: Any, store: Store) -> None:
        super().__init__()
        self.plane = plane
        self.store = store
        self._pairs: dict[bytes, Pair] = {}

    def get_resources_as_linkheader(self) -> Any:
        return self.plane.get_resources_as_linkheader()

    async def render_to_pipe(self, pipe: Pipe) -> None:
        try:
            shown = oscore.verify_start(pipe.request)
        except oscore.NotAProtectedMessage:
            await self.plane.render_to_pipe(pipe)
            return
        if pipe.request.code != aiocoap.POST:
            raise error.MethodNotAllowed
        pair = await asyncio.to_thread(self._pair, shown)
        if pair is None:
            raise error.Unauthorized("NRT-320 this terminal is not known here")
        await self._render(pipe, pair)

    async def _render(self, pipe: Pipe, pair: Pair) -> None:
        try:
            inner, number = pair.unprotect(pipe.request)
        except error.RenderableError:
            raise  # an Echo, protected
        except oscore.ReplayError:
            raise error.Unauthorized("Replay detected") from None
        except oscore.ProtectionInvalid:
            raise error.BadRequest("Decryption failed") from None
        inner.remote = Proven(pipe.request.remote, pair)
        within = IterablePipe(inner)
        driven = error_to_message(within, log)
        run_driving_pipe(driven, self.plane.render_to_pipe(within), name="shielded")
        async for event in within:
            message = event.message if event.exception is None else aiocoap.Message(code=aiocoap.INTERNAL_SERVER_ERROR)
            last = event.exception is not None or event.is_last
            protected, _ = pair.protect(message, number)
            pipe.add_response(protected, is_last=last)
            if last:
                return

    def _pair(self, shown: dict[int, bytes]) -> Pair | None:
        """The keys of whom a request names, as long as its token is the one they are made from."""
        context = shown.get(oscore.COSE_KID_CONTEXT, b"")
        tenant, _, name = context.decode("utf-8", "replace").partition("/")
        if shown.get(oscore.COSE_KID) != ours.CLIENT or not name:
            return None
        query = select(terminals.c.token).where(
            terminals.c.tenant == tenant, terminals.c.id == name, terminals.c.decommissioned.is_(None)
        )
        with self.store.read() as db:
            proof = db.scalar(query)
        if not proof:
            return None
        pair = self._pairs.get(context)
        if pair is None or pair.proof != proof:
            while len(self._pairs) >= MOST:
                del self._pairs[next(iter(self._pairs))]
            pair = self._pairs[context] = Pair(tenant, name, str(proof))
        return pair
