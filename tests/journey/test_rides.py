"""Updates on heartbeats over a broker and over LwM2M, with real processes: the server answers on both beside its own address,
the agent changes its carrier in the middle, the broker is killed, and a gateway answers in the server's place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurath.carriers.datagram import free
from tests.journey.site import until
from tests.journey.test_coap import LONG, CoapSite
from tests.rigs.broker import SERVER, Mosquitto
from tests.rigs.verbs import verb

TRICKLES = ("--trickle", "0.05")


class RidesSite(CoapSite):
    """A site with a broker, and a server that answers on it and as an LwM2M server."""

    def __init__(self, place: Path, broker: Mosquitto) -> None:
        self.broker = broker
        super().__init__(place, f"mqtt:{broker.servers}", "lwm2m:0")
        self.lwm2m = "lwm2m://" + str(self.said["lwm2m"]).partition(" ")[0].partition("//")[2]
        broker.admit(f"DEFAULT/t1:{self.token}")

    def sync(self) -> int:
        """Bytes of the file that the ledger knows the terminal to have."""
        with contextlib.suppress(StopIteration):
            return int(str(self.ledger(2)["sync"]))
        return 0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[RidesSite]:
    broker = Mosquitto(tmp_path / "broker", {})
    made = RidesSite(tmp_path, broker)
    yield made
    made.end()
    broker.kill()


@pytest.mark.heavy
def test_pieces_ride_over_a_broker_that_dies_then_over_lwm2m_and_the_image_is_installed(site: RidesSite) -> None:
    assert "1 more packet a heartbeat" in str(site.said["mqtt"])
    assert "2 more packets a heartbeat" in str(site.said["lwm2m"])
    site.agent(site.url, "--trickle", "0.4", "--heartbeat", site.broker.url)
    until(lambda: site.sync() > 2_000, LONG)
    site.broker.kill()
    held = site.sync()
    site.broker.start()
    until(lambda: site.sync() > held + 2_000, LONG)
    site.kill("agent")
    held = site.sync()
    site.ends(site.agent(site.url, *TRICKLES, "--heartbeat", site.lwm2m, "--once"))
    size = int(str(site.ledger(2)["size"]))
    # What left is written into the ledger every two seconds, many at a time.
    until(lambda: int(str(site.ledger(2)["bytes"])) >= size, LONG)
    line = site.ledger(2)
    assert line["verdict"] == "confirmed"
    # Header, file, and what a kill and a broker cost: at most an answer's pieces each.
    assert size <= int(str(line["bytes"])) <= size + 8 * 1024
    assert held > 4_000


@pytest.mark.heavy
def test_a_gateway_answers_on_a_broker_in_the_servers_place(site: RidesSite) -> None:
    token = verb("gateway", "add", "plant", "t1", *site.data)[0]["token"]
    # The server itself is not on this broker: only the gateway hears what is said there.
    other = Mosquitto(site.place / "other", {"DEFAULT/t1": site.token})
    try:
        said = site.start(
            "gateway", "carrier", "mqtt", "--broker", other.servers, "--server", site.url, "--token", token, "--period", "0.3"
        )
        assert said["up"] is True
        assert SERVER[1] not in str(said)
        site.ends(site.agent(site.url, *TRICKLES, "--heartbeat", other.url, "--once"))
        assert site.ledger(2)["verdict"] == "confirmed"
    finally:
        other.kill()


@pytest.mark.heavy
def test_the_server_is_itself_one_of_a_pair_and_its_answers_carry_the_update_to_the_other(tmp_path: Path) -> None:
    """`serve --carrier pair:FILE`: the response part inside the carrier's own process, no gateway between."""
    one, two = (free("127.0.0.1", 0) for _ in range(2))
    for node, own, other, more in ((1, one, two, 'terminal = "t1"'), (2, two, one, "")):
        key = 'key = "' + "6b" * 32 + '"'
        places = f'address = "127.0.0.1:{own}"\npeer = "127.0.0.1:{other}"'
        (tmp_path / f"node-{node}.toml").write_text(f"node = {node}\n{places}\n{key}\n{more}\n")
    site = CoapSite(tmp_path, f"pair:{tmp_path / 'node-1.toml'}")
    try:
        assert site.said["pair"] == f"pair 127.0.0.1:{one}"
        site.ends(site.agent(site.url, *TRICKLES, "--heartbeat", f"pair:{tmp_path / 'node-2.toml'}", "--once"))
        # Header and file: what comes in bulk has no header.
        until(lambda: int(str(site.ledger(2)["bytes"])) > int(str(site.ledger(2)["size"])), LONG)
        assert site.ledger(2)["verdict"] == "confirmed"
    finally:
        site.end()
