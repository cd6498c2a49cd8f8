"""Row T15: whoever looks after the fleet registers the newest program over the network, and every client's next heartbeat
begins to carry it. A server process, real HTTP, clients whose bank is only a digest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from neurath.carriers.heartbeat import HttpHeartbeat
from neurath.carriers.http import Place
from neurath.wire import trickle
from neurath.wire.check import Check
from neurath.wire.trickle import Reply, State
from tests.contracts.riding import asks
from tests.journey.site import Site, until
from tests.rigs.verbs import verb
from tests.server.world import World, image

CLIENTS = 24
ROOM = 1 << 20


class Client:
    """A terminal that checked in and goes on with heartbeats."""

    def __init__(self, url: str, name: str, token: str) -> None:
        self.link = HttpHeartbeat(Place(url, name, token))
        self.replies: list[Reply] = []

    def says(self, check: Check) -> None:
        self.link.check(check)

    def beats(self) -> Reply:
        self.replies.append(trickle.decode_reply(self.link.beat(asks(State()))))
        return self.replies[-1]

    def carried(self) -> Reply | None:
        """The first answer with pieces."""
        return next((reply for reply in self.replies if reply.pieces), None)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, serve=("--check-ins", "5000"))
    try:
        yield made
    finally:
        made.end()


def _clients(site: Site, names: list[str], held: bytes) -> list[Client]:
    listed = site.place / f"{names[0]}.csv"
    listed.write_text("id,model\n" + "".join(f"{name},phone\n" for name in names))
    tokens = {str(one["id"]): str(one["token"]) for one in verb("terminal", "import", listed, *site.data)}
    made = [Client(site.url, name, tokens[name]) for name in names]
    says: Check = World.says(None, held)  # type: ignore[arg-type]
    for client in made:
        client.says(replace(says, stage=ROOM))
    return made


def _registers(site: Site, number: int) -> str:
    """From elsewhere: nothing but the address of the server, the image and its envelope."""
    files = {"file": (f"{number}.bin", image(number)), "envelope": ("envelope.suit", site.seal(image(number), number))}
    with httpx.Client(base_url=f"{site.url}/api/v1", trust_env=False, timeout=60) as desk:
        added = desk.post("/releases", files=files, data={"model": "phone", "version": str(number)})
        assert added.status_code == 201, added.text
        name = str(added.json()["name"])
        created = desk.post("/rollouts", json={"release": name})
        assert created.status_code == 201, created.text
        started = desk.post(f"/rollouts/{created.json()['id']}/start")
        assert started.status_code == 200, started.text
    return name


@pytest.mark.heavy
def test_once_a_program_is_registered_the_next_heartbeat_of_every_client_carries_piece_0(site: Site) -> None:
    clients = _clients(site, [f"c{number:02}" for number in range(CLIENTS)], image(1))
    current = _clients(site, ["current"], image(2))[0]
    for client in (*clients, current):
        assert client.beats() == Reply(), "nothing is waiting, nothing rides"
    _registers(site, 2)
    # The delta that all of them share has to be built before anybody's next heartbeat can carry it.
    until(lambda: bool(clients[0].beats().pieces), 60)
    for client in clients[1:]:
        client.beats()
    first = [client.carried() for client in clients]
    assert all(reply is not None and reply.first == 0 for reply in first), first
    assert len({(reply.program, reply.pieces[0]) for reply in first if reply is not None}) == 1, "one program for all"
    assert all(len(client.replies) == 2 for client in clients[1:]), "the very next one"
    assert current.beats() == Reply(), "who has it is sent nothing"
    late = _clients(site, ["late"], image(1))[0]
    assert late.beats() == first[-1], "and whoever joins later"
    with contextlib.ExitStack() as closed:
        for client in (*clients, current, late):
            closed.callback(client.link.close)
