"""Debian's coap-client (libcoap) against the server: heartbeat, check-in, the refusal before memory is secured, a whole file
block by block, also with every tenth datagram lost, and the rescue route."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurath.ids import digest
from neurath.wire import check, coap, offer, report, trickle
from neurath.wire.offer import Offer
from neurath.wire.trickle import Reply, State
from tests.contracts.carrier import secured
from tests.parts import need
from tests.server.coap_site import CoapServer, serving
from tests.server.world import image

OLD, NEW = image(1), image(2)


class Libcoap:
    """One terminal whose every word is said by coap-client."""

    def __init__(self, running: CoapServer, place: Path) -> None:
        self.program = need("coap-client-notls")
        self.url = running.url
        self.place = place
        self.token = running.enrol("lib")

    def ask(self, method: str, path: str, body: bytes = b"", *options: str) -> tuple[bytes, str]:
        """What came, and what coap-client said about it."""
        got, sent = self.place / "got", self.place / "sent"
        got.unlink(missing_ok=True)
        words = [self.program, "-B", "20", "-m", method, "-o", str(got), "-O", f"{coap.TOKEN_OPTION},{self.token}", *options]
        if body:
            sent.write_bytes(body)
            words += ["-f", str(sent)]
        done = subprocess.run([*words, f"{self.url}/{path}"], capture_output=True, text=True, timeout=60, check=False)
        return got.read_bytes() if got.exists() else b"", done.stdout + done.stderr


@pytest.fixture
def running(tmp_path: Path) -> Iterator[CoapServer]:
    with serving(tmp_path / "data") as made:
        made.world.release("1.0", OLD, 1)
        yield made


def offered(running: CoapServer, client: Libcoap) -> Offer:
    running.world.start(running.world.release("1.1", NEW, 2))
    said = check.encode(running.world.says(OLD, stage=1 << 20))
    for _ in range(100):
        found = offer.decode(client.ask("post", "c/lib", said)[0])
        if found is not None:
            return found
        time.sleep(0.05)
    raise AssertionError("the server built no file")


@pytest.mark.heavy
def test_libcoap_is_served_from_check_in_to_the_last_block(running: CoapServer, tmp_path: Path) -> None:
    client = Libcoap(running, tmp_path)
    state = trickle.encode_state(State(room=1024, link=255))
    assert trickle.decode_reply(client.ask("post", "h/lib", state)[0]) == Reply()
    made = offered(running, client)
    reply = trickle.decode_reply(client.ask("post", "h/lib", state)[0])
    assert (reply.program, reply.first) == (made.file[:4], 0)
    assert reply.pieces
    path = f"f/lib/{made.file[:16].hex()}"
    refused = client.ask("get", path, b"", "-b", "1024")
    assert made.file != digest(refused[0])
    assert "4.09" in refused[1]
    assert "NRT-328" in refused[1]
    client.ask("post", "r/lib", report.encode(secured(made)))
    for size in ("1024", "256", "64"):
        assert digest(client.ask("get", path, b"", "-b", size)[0]) == made.file
    assert digest(client.ask("get", path, b"", "-b", "1024", "-l", "10%")[0]) == made.file
    # From a block in the middle: what a terminal does after a break.
    whole = running.world.store.files.verified(made.file.hex()).read_bytes()
    assert client.ask("get", path, b"", "-b", "3,512")[0].startswith(whole[3 * 512 : 4 * 512])


@pytest.mark.heavy
def test_libcoap_as_a_torn_boot_core_gets_its_file_by_digest_alone(running: CoapServer, tmp_path: Path) -> None:
    client = Libcoap(running, tmp_path)
    made = offered(running, client)
    client.token = "nobody"
    assert digest(client.ask("get", f"x/{made.file[:16].hex()}", b"", "-b", "1024")[0]) == made.file
    assert "4.04" in client.ask("get", f"x/{random.randbytes(16).hex()}", b"", "-b", "1024")[1]
    assert "4.01" in client.ask("post", "h/lib", trickle.encode_state(State()))[1]
