"""`neurath serve`: server and console in one process. It binds, composes and runs; nothing is decided here."""

from __future__ import annotations

import argparse
import gc
import os
import re
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import carrier, data
from neurath.cli.output import Output
from neurath.errors import NeurathError, UsageError

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from neurath.console.live import Live
    from neurath.server.app import Server
    from neurath.server.delivery.mqtt_push import MqttPush
    from neurath.server.metrics import Board

PORT = 8642
#: The first descriptor that systemd hands over.
_HELD = 3


def configure(parser: argparse.ArgumentParser) -> None:
    data.option(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=PORT, help=f"port, 0 for any that is free (default {PORT})")
    text = "between polls, a tenth more or less (300)"
    parser.add_argument("--sleep", type=int, default=300, metavar="SECONDS", help=text)
    text = "processes behind the one port (default 1)"
    parser.add_argument("--workers", type=int, default=1, metavar="N", help=text)
    parser.add_argument("--plug-and-play", action="store_true", help="let unknown terminals in, without a token")
    sizes = (64, 128, 200, 256, 512, 1024, 2048, 4096)
    text = "most bytes of a piece that rides on heartbeats (200)"
    parser.add_argument("--piece", type=int, default=200, choices=sizes, metavar="N", help=text)
    parser.add_argument("--check-ins", type=float, default=200.0, metavar="N", help="a second, that notices may lead to (200)")
    parser.add_argument("--mqtt", metavar="URL", help="tell terminals over a broker too: mqtt://HOST")
    parser.add_argument("--mqtt-ca", default="", metavar="FILE.pem", help="who vouches for an mqtts:// broker")
    parser.add_argument("--tls-cert", type=Path, metavar="FILE.pem", help="speak TLS: the server's certificate and its chain")
    parser.add_argument("--tls-key", type=Path, metavar="FILE.pem", help="... and its private key")
    text = "a reverse proxy whose word counts; may be repeated"
    parser.add_argument("--proxy", action="append", default=[], metavar="ADDRESS", help=text)
    text = "other clients fetch from the object store itself, by an address good for so long (0: never)"
    parser.add_argument("--offload", type=int, default=0, metavar="SECONDS", help=text)
    text = "... or from the proxy, which has them there"
    parser.add_argument("--accel", default="", metavar="/PATH/", help=text)
    text = "update files not given out so long go (90; 0: never)"
    parser.add_argument("--keep", type=float, default=90.0, metavar="DAYS", help=text)
    text = "who was not heard for so long is silent (86400)"
    parser.add_argument("--silence", type=float, default=86400.0, metavar="SECONDS", help=text)
    text = "that requests under way have when it is stopped (5)"
    parser.add_argument("--drain", type=int, default=5, metavar="SECONDS", help=text)
    text = "lines of words, or one JSON object each"
    parser.add_argument("--log", choices=("text", "json"), default="text", help=text)
    parser.add_argument("--coap", metavar="[HOST:]PORT", help="answer over CoAP too (0: any that is free)")
    text = "... and take no token in the clear there"
    parser.add_argument("--coap-protected", action="store_true", help=text)
    parser.add_argument(
        "--carrier",
        action="append",
        default=[],
        metavar="CARRIER",
        help=f"run a carrier's server half inside this process: {carrier.forms()}",
    )
    parser.add_argument("--dry-run", action="store_true", help="check options, files and port, then end")
    parser.epilog = "example: neurath serve --data ./neurath-data --port 8642 --coap 5683"


def run(args: argparse.Namespace, out: Output) -> int:
    _in_range(args)
    from neurath.server.metrics import Board

    listener = _listen(args.host, args.port)
    if args.dry_run:
        return _checked(args, listener, out)
    said = _said(args, listener, out)
    board = Board(args.workers)
    if args.workers == 1:
        return _serve(Worker(args, listener, board, 0), said)
    from neurath.cli.crew import Crew

    def work(number: int, ready: Callable[[dict[str, str]], None]) -> int:
        try:
            return _serve(Worker(args, listener, board, number), ready)
        except NeurathError as error:
            out.error(error)
            return error.exit_code

    return Crew(args.workers, work, said).run()


def _checked(args: argparse.Namespace, listener: socket.socket, out: Output) -> int:
    """What can be wrong before anything is opened is not."""
    _tls(args)
    if args.mqtt is not None:
        from neurath.carriers import mqtt

        mqtt.broker(args.mqtt)
    names = [carrier.half(spec).name for spec in _wanted(args)]
    host, port = listener.getsockname()[:2]
    listener.close()
    out.data(f"would serve at {host}:{port}: {', '.join(['http', *names])}", host=host, port=port, carriers=names)
    return 0


@dataclass(frozen=True, slots=True)
class Worker:
    """What one process of a server is told."""

    args: argparse.Namespace
    listener: socket.socket
    board: Board
    number: int


def _serve(worker: Worker, said: Callable[[dict[str, str]], None]) -> int:
    """One worker. What there can be only one of (a broker's client, carriers' sockets) is the first one's."""
    from neurath.cli import logs
    from neurath.cli.serving import Process
    from neurath.console.live import Live
    from neurath.server.app import Place, application, open_server
    from neurath.server.device import Policy

    # Work in threads (a count, a sweep) holds up answers for no longer than this at a time.
    sys.setswitchinterval(0.0005)
    args = worker.args
    logs.begin(args.log)
    halves = tuple(carrier.half(spec) for spec in _wanted(args)) if worker.number == 0 else ()
    tls = _tls(args)
    broker = _broker(args) if worker.number == 0 else None
    check_ins = args.check_ins / args.workers
    given = (tuple(args.proxy), args.offload, args.accel, args.keep, args.silence, args.coap_protected)
    policy = Policy(args.sleep, args.plug_and_play, check_ins, args.piece, *given)
    server = open_server(args.data, policy, [broker] if broker is not None else [], Place(args.database, args.store))
    if broker is not None:
        broker.up = server.sweep.again
    live = Live(server.store)
    app = application(server, _console(server, live), worker.board, worker.number)
    ends = (live.close, *([broker.close] if broker else []), server.push.close)
    # What is loaded stays: a search for garbage among all of it holds every answer up for 90 ms of CPU, again and again.
    gc.freeze()
    Process(server, app, worker.listener, tls, said, halves, ends, args.drain).run()
    return 0


def _said(args: argparse.Namespace, listener: socket.socket, out: Output) -> Callable[[dict[str, str]], None]:
    """What is said once messages are answered: the address, and each carrier's."""
    host, port = listener.getsockname()[:2]
    url = f"{'https' if args.tls_cert else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    def say(places: dict[str, str]) -> None:
        text = "".join(f", {place}" for place in places.values())
        out.data(f"serving at {url}{text}, data in {args.data}", url=url, data=str(args.data), port=port, **places)

    return say


def _in_range(args: argparse.Namespace) -> None:
    if not args.check_ins > 0:
        raise UsageError("--check-ins is out of range", "more than 0 a second", "--check-ins 200")
    if args.offload and not (args.store and 60 <= args.offload <= 604800):
        raise UsageError("--offload is out of range", "60 to 604800 seconds, and a store to fetch from", "--store s3://…")
    if args.accel and not (args.proxy and re.fullmatch(r"(/[A-Za-z0-9_.-]+)+/", args.accel)):
        why = "a path with / at both ends, and a --proxy that knows it"
        raise UsageError("--accel is out of range", why, "--proxy 127.0.0.1 --accel /neurath-files/")
    if not 1 <= args.workers <= 64:
        raise UsageError("--workers is out of range", "1 to 64 processes", "--workers 2")
    if not 0 <= args.keep <= 36500 or not 0 <= args.drain <= 3600:
        raise UsageError("--keep or --drain is out of range", "0 to 36500 days, 0 to 3600 seconds", "--keep 90 --drain 5")
    if not 1 <= args.sleep <= 86399:
        raise UsageError("--sleep is out of range", "1 to 86399 seconds", "--sleep 300")
    if not args.sleep < args.silence <= 31_536_000:
        why = f"more than the {args.sleep} seconds between two polls (--sleep), and at most a year"
        raise UsageError("--silence is out of range", why, f"--silence {max(86400, 3 * args.sleep)}")


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


def _wanted(args: argparse.Namespace) -> list[str]:
    """The carriers that are named; --coap is short for one of them."""
    wanted = list(args.carrier)
    if args.coap is not None:
        wanted.append(f"coap:{args.coap}" if ":" in args.coap else f"coap:{args.host}:{args.coap}")
    return wanted


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, or three lines: the port is someone else's, or the address is not ours. One that systemd holds
    (sd_listen_fds(3)) is taken as it is: who connects while this server is upgraded waits there."""
    if os.environ.pop("LISTEN_PID", "") == str(os.getpid()) and os.environ.pop("LISTEN_FDS", "") == "1":
        return _nonblocking(socket.socket(fileno=_HELD))
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
    return _nonblocking(listener)


def _nonblocking(listener: socket.socket) -> socket.socket:
    listener.setblocking(False)
    return listener


def _console(server: Server, live: Live) -> list[BaseRoute]:
    import threading

    from neurath.console.board import Memory
    from neurath.console.pages import Desk, routes
    from neurath.server.fleet.census import Census
    from neurath.units import Seconds

    desk = Desk(server.store, server.delivery.why, memory=Memory(Census(Seconds(server.policy.silent_after))))
    threading.Thread(target=desk.warm, daemon=True).start()
    return routes(desk, live)
