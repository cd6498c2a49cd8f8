"""Until there is an operator console and management answer this machine, under its own names, to its own pages; stations
elsewhere show their token."""

from __future__ import annotations

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from neurath.server.access.gate import Gate
from neurath.server.access.paths import Rights

TOKEN = "the-stations-token"


@pytest.fixture
def asked(world):
    """Asks the gate of a store without operators; gives the status."""
    passed = []

    async def inside(scope, receive, send):
        passed.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    stock = ["/api/v1/stock", "/api/v1/stock/files/{digest}", "/", "/api/v1/terminals", "/api/v1/restorations"]
    routes = [Route(path, inside) for path in stock]
    routes += [Route(path, inside, methods=["POST"]) for path in ("/api/v1/restorations", "/api/v1/rollouts")]
    gate = Gate(inside, world.store, Rights.of(Starlette(routes=routes).routes), TOKEN)

    def ask(client="127.0.0.1", host="127.0.0.1:8642", origin=None, method="GET", path="/", shown=None):
        headers = [(b"host", host.encode())] + ([(b"origin", origin.encode())] if origin else [])
        headers += [(b"authorization", shown.encode("latin-1"))] if shown else []
        said = []

        async def send(message):
            said.append(message)

        scope = {"type": "http", "client": (client, 5), "headers": headers, "method": method, "path": path, "scheme": "http"}
        before = len(passed)
        asyncio.run(gate(scope, None, send))
        assert (said[0]["status"] == 200) == (len(passed) > before)
        return said[0]["status"]

    return ask


def test_this_machine_is_answered_under_each_of_its_names(asked):
    for host in ("127.0.0.1:8642", "127.0.0.1", "localhost:1", "[::1]:8642", "127.9.9.9:80"):
        assert asked(host=host) == 200
        assert asked(host=host, client="::1") == 200


def test_other_machines_are_not(asked):
    for client in ("10.0.0.7", "192.168.1.1", "2001:db8::1", "127.0.0.1.example", ""):
        assert asked(client=client) == 403


def test_a_foreign_name_that_points_here_is_refused(asked):
    names = ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[::2]", "8.8.8.8", "127.0.0.1@evil"]
    for host in names:
        assert asked(host=host) == 403


def test_a_change_from_another_origin_is_refused(asked):
    ours = "http://127.0.0.1:8642"
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9999", ours + ".evil.example"):
        assert asked(origin=origin, method="POST", path="/api/v1/rollouts") == 403
        assert asked(origin=origin, method="DELETE") == 403
    assert asked(origin=ours, method="POST", path="/api/v1/rollouts") == 200
    assert asked(method="POST", path="/api/v1/rollouts") == 200


STATIONS = [("GET", "/api/v1/stock"), ("GET", "/api/v1/stock/files/" + 64 * "a"), ("POST", "/api/v1/restorations")]


def test_a_station_elsewhere_shows_its_token(asked):
    for method, path in STATIONS:
        there = {"client": "192.0.2.7", "host": "updates.example:8642", "method": method, "path": path}
        assert asked(**there, shown=f"StationToken {TOKEN}") == 200
        for wrong in (None, "StationToken ", f"StationToken {TOKEN}x", f"TargetToken {TOKEN}", TOKEN, "StationToken \u00e9"):
            assert asked(**there, shown=wrong) == 403


def test_the_stations_token_opens_nothing_else(asked):
    others = [("GET", "/"), ("GET", "/api/v1/terminals"), ("GET", "/api/v1/restorations"), ("POST", "/api/v1/stock")]
    others += [("DELETE", "/api/v1/stock"), ("GET", "/api/v1/stock/../terminals"), ("POST", "/api/v1/rollouts")]
    for method, path in others:
        assert asked(client="192.0.2.7", method=method, path=path, shown=f"StationToken {TOKEN}") == 403
