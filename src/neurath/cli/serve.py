"""`neurath serve`: server and console in one process. It binds, composes and runs; nothing is decided here."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import data
from neurath.cli.output import Output
from neurath.errors import NeurathError, UsageError

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from neurath.console.live import Live
    from neurath.server.app import Server
    from neurath.server.delivery.mqtt_push import MqttPush

PORT = 8642

#: A carrier's server half inside this process: given its own words (what follows the colon) and the server; what it yields
#: says where it is.
Hosted = Callable[[str, "Server"], AbstractAsyncContextManager[str]]
#: carrier -> (module with `hosted`, and with `readable(rest)` where its words can be wrong; the form of its text).
CARRIERS: dict[str, tuple[str, str]] = {
    "coap": ("neurath.server.coap", "coap:[HOST:]PORT"),
    "lwm2m": ("neurath.cli.carrier_lwm2m", "lwm2m:[HOST:]PORT[,text]"),
    "mobileip": ("neurath.cli.carrier_mobileip", "mobileip:FILE.toml"),
    "mqtt": ("neurath.cli.carrier_mqtt", "mqtt:mqtt://[USER:PASSWORD@]HOST[:PORT]"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    data.option(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=PORT, help=f"port, 0 for any that is free (default {PORT})")
    parser.add_argument("--sleep", type=int, default=300, metavar="SECONDS", help="how often terminals poll (default 300)")
    parser.add_argument("--plug-and-play", action="store_true", help="let unknown terminals in, without a token")
    sizes = (64, 128, 200, 256, 512, 1024, 2048, 4096)
    text = "bytes of a piece that rides on heartbeats; smaller where a terminal was seen to have less room (default 200)"
    parser.add_argument("--piece", type=int, default=200, choices=sizes, metavar="N", help=text)
    parser.add_argument("--check-ins", type=float, default=200.0, metavar="N", help="a second, that notices may lead to (200)")
    parser.add_argument("--mqtt", metavar="URL", help="tell terminals to check in over a broker too: mqtt://HOST[:1883]")
    parser.add_argument("--mqtt-ca", default="", metavar="FILE.pem", help="who vouches for an mqtts:// broker")
    parser.add_argument("--tls-cert", type=Path, metavar="FILE.pem", help="speak TLS: the server's certificate and its chain")
    parser.add_argument("--tls-key", type=Path, metavar="FILE.pem", help="... and its private key")
    parser.add_argument("--coap", metavar="[HOST:]PORT", help="answer terminals over CoAP too (port 0: any that is free)")
    parser.add_argument(
        "--carrier",
        action="append",
        default=[],
        metavar="CARRIER",
        help="run a carrier's server half inside this process: " + ", ".join(form for _, form in CARRIERS.values()),
    )
    parser.epilog = "example: neurath serve --data ./neurath-data --port 8642 --coap 5683"


def run(args: argparse.Namespace, out: Output) -> int:
    import asyncio
    import logging
    import signal

    import uvicorn

    from neurath.console.live import Live
    from neurath.server.app import application, open_server
    from neurath.server.ddi import Policy
    from neurath.server.door import Door

    _in_range(args)
    # Work in threads (a count, a sweep) holds up answers for no longer than this at a time.
    sys.setswitchinterval(0.0005)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    halves = _halves(args)
    tls = _tls(args)
    listener = _listen(args.host, args.port)
    broker = _broker(args)
    policy = Policy(args.sleep, args.plug_and_play, args.check_ins, args.piece)
    server = open_server(args.data, policy, [broker] if broker is not None else [])
    if broker is not None:
        broker.up = server.sweep.again
    host, port = listener.getsockname()[:2]
    url = f"{'https' if tls[0] else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
    live = Live(server.store)
    app = application(server, _console(server, live))
    config = uvicorn.Config(
        app,
        http=Door,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
        ws="none",
        ssl_certfile=tls[0],
        ssl_keyfile=tls[1],
    )

    class Running(uvicorn.Server):
        """Streams end first: a server that stops does not wait for them. Being told to stop is no failure: exit code 0."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.handle_exit, number, None)
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                text = "".join(f", {place}" for place in places.values())
                out.data(f"serving at {url}{text}, data in {args.data}", url=url, data=str(args.data), port=port, **places)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            await beside.aclose()
            await super().shutdown(sockets)

    async def whole() -> None:
        async with beside:
            for close in (live.close, *([broker.close] if broker else []), server.push.close):
                beside.callback(close)
            for name, rest, hosted in halves:
                places[name] = await beside.enter_async_context(hosted(rest, server))
            await Running(config).serve(sockets=[listener])

    beside, places = contextlib.AsyncExitStack(), dict[str, str]()
    asyncio.run(whole())
    return 0


def _in_range(args: argparse.Namespace) -> None:
    if not args.check_ins > 0:
        raise UsageError("--check-ins is out of range", "more than 0 a second", "--check-ins 200")
    if not 1 <= args.sleep <= 86399:
        raise UsageError("--sleep is out of range", "1 to 86399 seconds", "--sleep 300")


def _broker(args: argparse.Namespace) -> MqttPush | None:
    """What tells terminals over a broker, where one is named; connected when the broker is there, now or later."""
    if args.mqtt is None:
        return None
    try:
        from neurath.server.delivery.mqtt_push import MqttPush
    except ModuleNotFoundError as fault:
        why = f"{fault.name} is missing"
        raise UsageError("push over MQTT is not installed", why, "pip install 'neurath[carriers]'") from None
    return MqttPush(args.mqtt, ca=args.mqtt_ca)


def _tls(args: argparse.Namespace) -> tuple[str | None, str | None]:
    """Certificate and key for TLS; none: without. Both are read now, so that what is wrong is said in three lines."""
    import ssl

    if args.tls_cert is None and args.tls_key is None:
        return None, None
    if args.tls_cert is None or args.tls_key is None:
        raise UsageError(
            "TLS takes a certificate and its key", "one of them is missing", "--tls-cert FILE.pem --tls-key FILE.pem"
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(args.tls_cert, args.tls_key)
    except (OSError, ssl.SSLError) as fault:
        why = getattr(fault, "reason", None) or fault.strerror or str(fault)
        raise UsageError(
            f"{args.tls_cert} and {args.tls_key} are no certificate and its key", why, "PEM, the key without a password"
        ) from None
    return str(args.tls_cert), str(args.tls_key)


def _halves(args: argparse.Namespace) -> list[tuple[str, str, Hosted]]:
    """The carriers that are wanted: name, its own words, what runs it. UsageError for one that is not known, or whose extra is
    not installed."""
    found = []
    wanted = list(args.carrier)
    if args.coap is not None:
        wanted.append(f"coap:{args.coap}" if ":" in args.coap else f"coap:{args.host}:{args.coap}")
    for spec in wanted:
        name, _, rest = spec.partition(":")
        if name not in CARRIERS:
            raise UsageError(f"no carrier {name!r}", "there are: " + "; ".join(form for _, form in CARRIERS.values()))
        try:
            module = importlib.import_module(CARRIERS[name][0])
        except ModuleNotFoundError as fault:
            raise UsageError(
                f"carrier {name} is not installed", f"{fault.name} is missing", "pip install 'neurath[carriers]'"
            ) from None
        getattr(module, "readable", lambda rest: None)(rest)  # what makes no sense is refused before anything is opened
        found.append((name, rest, module.hosted))
    return found


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, or three lines: the port is someone else's, or the address is not ours."""
    if not 0 <= port <= 65535:
        raise UsageError(f"no port {port}", "ports are 0 to 65535", f"--port {PORT}")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as fault:
        raise NeurathError(
            f"cannot listen at {host}:{port}",
            fault.strerror or str(fault),
            "--port N with a free port; `ss -ltnp` shows who has it",
            id="NRT-143",
        ) from None
    listener.setblocking(False)
    return listener


def _console(server: Server, live: Live) -> list[BaseRoute]:
    from neurath.console.pages import Desk, routes

    return routes(Desk(server.store, server.delivery.why), live)
