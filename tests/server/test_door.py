"""Console and management answer this machine, under its own names, to its own pages."""

from __future__ import annotations

import asyncio

import pytest

from neurath.server.door import Guard


async def inside(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


TOKEN = "the-stations-token"


def asked(client="127.0.0.1", host="127.0.0.1:8642", origin=None, method="GET", path="/", shown=None):
    headers = [(b"host", host.encode())] + ([(b"origin", origin.encode())] if origin else [])
    headers += [(b"authorization", shown.encode())] if shown else []
    said = []

    async def send(message):
        said.append(message)

    scope = {"type": "http", "client": (client, 5), "headers": headers, "method": method, "path": path}
    asyncio.run(Guard(inside, TOKEN)(scope, None, send))
    return said[0]["status"]


@pytest.mark.parametrize("host", ["127.0.0.1:8642", "127.0.0.1", "localhost:1", "[::1]:8642", "127.9.9.9:80"])
def test_this_machine_is_answered_under_each_of_its_names(host):
    assert asked(host=host) == 200
    assert asked(host=host, client="::1") == 200


@pytest.mark.parametrize("client", ["10.0.0.7", "192.168.1.1", "2001:db8::1", "127.0.0.1.example", ""])
def test_other_machines_are_not(client):
    assert asked(client=client) == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[::2]", "8.8.8.8", "127.0.0.1@evil"]
)
def test_a_foreign_name_that_points_here_is_refused(host):
    assert asked(host=host) == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://127.0.0.1:8642.evil.example"]
)
def test_a_change_from_another_origin_is_refused(origin):
    assert asked(origin=origin, method="POST") == 403
    assert asked(origin=origin, method="DELETE") == 403
    assert asked(origin="http://127.0.0.1:8642", method="POST") == 200
    assert asked(method="POST") == 200


STATIONS = [("GET", "/api/v1/stock"), ("GET", "/api/v1/stock/files/" + 64 * "a"), ("POST", "/api/v1/restorations")]


@pytest.mark.parametrize(("method", "path"), STATIONS)
def test_a_station_elsewhere_shows_its_token(method, path):
    there = {"client": "192.0.2.7", "host": "updates.example:8642", "method": method, "path": path}
    assert asked(**there, shown=f"StationToken {TOKEN}") == 200
    for wrong in (None, "StationToken ", f"StationToken {TOKEN}x", f"TargetToken {TOKEN}", TOKEN, "StationToken \u00e9"):
        assert asked(**there, shown=wrong) == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/api/v1/terminals"), ("GET", "/api/v1/restorations"), ("POST", "/api/v1/stock"),
     ("DELETE", "/api/v1/stock"), ("GET", "/api/v1/stock/../terminals"), ("POST", "/api/v1/rollouts")],
)  # fmt: skip
def test_the_stations_token_opens_nothing_else(method, path):
    assert asked(client="192.0.2.7", method=method, path=path, shown=f"StationToken {TOKEN}") == 403
