"""The server as one application: device plane, management plane, and what runs beside them. It knows how the parts are put
together; it must never decide anything itself. cli/serve.py mounts the console."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount

from neurath.clock import agreed
from neurath.errors import LinkError, NeurathError
from neurath.flash.native import need
from neurath.server.access.gate import Gate
from neurath.server.access.paths import Rights
from neurath.server.alerts import teller
from neurath.server.alerts.teller import Teller
from neurath.server.api import management
from neurath.server.ddi import DevicePlane
from neurath.server.delivery import tickets
from neurath.server.delivery.calls import Delivery
from neurath.server.delivery.push import Push, follow
from neurath.server.delivery.riding import ServerRiding
from neurath.server.delivery.streams import StreamPush
from neurath.server.delivery.sweep import Pace, Sweep
from neurath.server.delivery.trickle import Trickle
from neurath.server.device import Policy, answer
from neurath.server.fleet import reach, rollout, telling
from neurath.server.fleet.reach import Listening, Told
from neurath.server.gateways import GatewayPlane
from neurath.server.hawkbit_api import hawkbit
from neurath.server.hawkbit_asked import PREFIX
from neurath.server.metrics import Board, Counted, Row
from neurath.server.operating import Figures, figures_route, health_routes
from neurath.server.polls import Polls
from neurath.server.problems import stopped
from neurath.server.proxy import Behind
from neurath.server.software import repository, retention
from neurath.server.software.deltas import Deltas
from neurath.server.stock import TOKEN_FILE, station_token
from neurath.server.store import Store, shared
from neurath.server.store.marks import NOBODY
from neurath.server.watch import monitor

log = logging.getLogger(__name__)

#: Who was heard is written so often, seconds.
FLUSH = 2.0
#: What nobody needs any more is taken away so often, seconds.
PRUNE = 86400.0
#: Waves are counted this often while things change, and so often however still it is, seconds.
SPREAD, SPREAD_AT_LEAST = 1.0, 30.0


@dataclass(slots=True)
class Server:
    """The parts of one server on one data directory."""

    store: Store
    deltas: Deltas
    delivery: Delivery
    push: StreamPush
    policy: Policy
    carriers: Sequence[Push] = ()
    sweep: Sweep = field(init=False)
    trickle: Trickle = field(init=False)
    riding: ServerRiding = field(init=False)

    def __post_init__(self) -> None:
        pace = Pace(check_ins=self.policy.check_ins)
        self.sweep = Sweep([self.push, *self.carriers], self._told, self._unreached, pace)
        self.trickle = Trickle(self.delivery, self.policy.piece)
        self.riding = ServerRiding(self.trickle)

    def flush(self) -> None:
        """Writes what is written in batches: who was heard, and what heartbeats confirmed."""
        self.delivery.flush()
        self.trickle.flush()

    def _told(self, told: Sequence[Told]) -> None:
        with self.store.write(NOBODY) as db:
            reach.notified(db, told, agreed())

    def _unreached(self) -> Sequence[Told]:
        with self.store.read() as db:
            return telling.unreached(db, self.listening())

    def listening(self) -> Listening:
        """Who can be told at all: of those at a broker only the broker knows."""
        return None if self.carriers else self.push.names()

    def close(self) -> None:
        self.push.close()
        self.deltas.close()
        with contextlib.suppress(NeurathError):
            self.flush()
        self.store.close()


@dataclass(frozen=True, slots=True)
class Place:
    """Where state and files are kept, as URLs; "": in the data directory."""

    database: str = ""
    files: str = ""


HERE = Place()


def open_server(directory: Path, policy: Policy | None = None, carriers: Sequence[Push] = (), place: Place = HERE) -> Server:
    """A server on a data directory, a database and a store: migrations applied, ticket key made where there is none.
    `carriers` bring notices too."""
    policy = policy or Policy()
    store = Store(directory, place.database, place.files)
    shared.same(store, tickets.KEY_FILE, tickets.load_key)
    shared.same(store, TOKEN_FILE, station_token)
    shared.same(store, repository.KEY_FILE, repository.load_key)
    deltas = Deltas(store)
    delivery = Delivery(store, deltas, tickets.load_key(directory), need)
    return Server(store, deltas, delivery, StreamPush(check_ins=policy.check_ins), policy, carriers)


def asking(store: Store) -> Delivery:
    """Deliveries for a verb that asks what a server would do; why() builds nothing."""
    shared.same(store, tickets.KEY_FILE, tickets.load_key)
    return Delivery(store, Deltas(store), tickets.load_key(store.directory), need)


class Notices:
    """What `neurath rollout start` and the like, run beside the server, leave for it to tell terminals."""

    def __init__(self, store: Store, listening: Callable[[], Listening]) -> None:
        self.store = store
        self.listening = listening

    def since(self, mark: int) -> tuple[int, Sequence[Told]]:
        try:
            with self.store.read() as db:
                return telling.notices_since(db, mark, self.listening())
        except NeurathError as fault:
            raise LinkError(fault.what, fault.why) from None


def application(server: Server, console: Iterable[BaseRoute] = (), board: Board | None = None, worker: int = 0) -> Counted:
    """Everything under one address: device plane first, `/api/v1` beside it, the console for the rest. `board`: where all
    processes of this server count, of which this is one."""
    board = board or Board()
    row = board.row(worker)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        started = asyncio.Event()
        beside = [
            asyncio.create_task(_flush(server, row)),
            asyncio.create_task(_retain(server)),
            asyncio.create_task(follow(Notices(server.store, server.listening), server.sweep.tell, wake=started)),
            asyncio.create_task(server.sweep.run()),
            asyncio.create_task(_spread(server, started)),
            asyncio.create_task(_watch(server, started)),
            asyncio.create_task(teller.run(Teller(server.store, silent_after=server.policy.silent_after))),
        ]
        try:
            yield
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await asyncio.to_thread(server.close)

    plane = DevicePlane(server.delivery, server.riding, server.push, server.policy)
    figures = figures_route(Figures(server.store, board, server.policy.silent_after))
    managing = [Mount("/api/v1", management(server.store, server.delivery)), Mount(PREFIX, hawkbit(server.store))]
    inside = Starlette(routes=[*managing, figures, *console])
    guarded = Mount("/", Gate(inside, server.store, Rights.of(inside.routes), station_token(server.store.directory)))
    device = [*health_routes(server.store), *GatewayPlane(server.trickle).routes(), *plane.routes()]
    app = Starlette(
        routes=[*device, guarded], lifespan=lifespan, exception_handlers={Exception: _broken, HTTPException: stopped}
    )
    plane.polls = Polls(app, server.delivery)
    return Counted(Behind(plane.polls, server.policy.proxies), row)


async def _flush(server: Server, row: Row) -> None:
    while True:
        await asyncio.sleep(FLUSH)
        row.say("builds", server.deltas.builds)
        row.say("build_failures", server.deltas.failures)
        row.say("streams", server.push.listening)
        row.say("notices_waiting", server.sweep.waiting)
        try:
            await asyncio.to_thread(server.flush)
        except NeurathError as fault:
            log.warning("last-seen times and sync points wait: %s (%s)", fault.what, fault.why)


async def _retain(server: Server) -> None:
    """Takes away once a day what nobody needs, in one process of those on the same database."""
    while server.policy.keep_days:
        await asyncio.sleep(PRUNE)
        try:
            if await asyncio.to_thread(server.store.leads, "retention"):
                gone = await asyncio.to_thread(retention.prune, server.store, server.policy.keep_days, agreed())
                log.info("%s update files and %s leftovers went, %s bytes", len(gone.files), gone.strays, gone.bytes)
        except (NeurathError, OSError) as fault:
            log.warning("nothing was pruned: %s", fault)


async def _watch(server: Server, started: asyncio.Event) -> None:
    """Watches folders, in one process of those on the same database."""
    while not await asyncio.to_thread(server.store.leads, "folders"):
        await asyncio.sleep(SPREAD)
    await monitor.run(monitor.Watch(server.store), started)


async def _spread(server: Server, started: asyncio.Event) -> None:
    """Opens and halts waves as they fall due; counted when something was written, and now and then for the silent."""
    counted, seen = 0.0, -1
    with server.store.changes() as number:
        while True:
            await asyncio.sleep(SPREAD)
            try:
                if not await asyncio.to_thread(server.store.leads, "waves"):
                    continue  # another process counts
                found = await asyncio.to_thread(number)
                if found == seen and time.monotonic() - counted < SPREAD_AT_LEAST:
                    continue
                if await asyncio.to_thread(rollout.advance, server.store, agreed()):
                    started.set()
                seen, counted = found, time.monotonic()  # a count that could not be written down is made again
            except NeurathError as fault:
                log.warning("waves wait: %s (%s)", fault.what, fault.why)


async def _broken(_request: Request, fault: Exception) -> Response:
    """A fault of ours: said in the form clients expect, told in full to the log."""
    log.error("a request failed", exc_info=fault)
    return answer({"exceptionClass": "ServerError", "errorCode": "NRT-101", "message": "a fault of the server"}, 500)
