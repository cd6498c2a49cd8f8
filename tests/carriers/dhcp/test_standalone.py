"""The built-in server: no address twice, no lease acknowledged that is not on the disk, and what rides on acknowledgements."""

import errno
import random
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.carriers.dhcp import standalone
from neurath.carriers.dhcp.clients import Client, Clients
from neurath.carriers.dhcp.pointing import Pointing
from neurath.carriers.dhcp.relay import Enrich, Heard, Note, Send, To
from neurath.carriers.dhcp.standalone import Leases, Pool, Standalone
from neurath.errors import UsageError
from neurath.wire import dhcp
from neurath.wire.dhcp import CIADDR, YIADDR, Code, Op, Type
from tests.wire.test_dhcp import MESSAGES

SERVER = socket.inet_aton("10.77.0.1")
NETWORK = (0x0A4D0000, 0xFFFFFF00)
POOL = standalone.pool("10.77.0.10-10.77.0.14", SERVER, NETWORK)


def mac(n):
    return b"\x52\x54\x00\x00\x00" + bytes([n])


def server(path=None, clients=(), pool=POOL):
    return Standalone(pool, Clients(tuple(clients)), Leases(path))


def ask(on, kind, n, now=1000.0, ciaddr=dhcp.NOWHERE, **options):
    names = {"requested": Code.REQUESTED, "server": Code.SERVER, "wanted": Code.WANTED}
    words = [(Code.TYPE, bytes([kind])), *((names[key], value) for key, value in options.items())]
    packet = dhcp.message(Op.REQUEST, bytes([0, 0, 0, n]), mac(n), words).at(CIADDR, ciaddr)
    actions = on(Heard(dhcp.packed(packet)), now)
    sent = [a.send if isinstance(a, Enrich) else a for a in actions if isinstance(a, (Send, Enrich))]
    return dhcp.decode(sent[0].data) if sent else None


def lease(on, n, now=1000.0):
    offer = ask(on, Type.DISCOVER, n, now)
    if offer is None:
        return None
    ack = ask(on, Type.REQUEST, n, now, requested=offer.yiaddr, server=SERVER)
    assert ack.type is Type.ACK
    return ack.yiaddr


def test_a_lease_has_its_times_and_is_renewed():
    on = server()
    address = lease(on, 1)
    ack = ask(on, Type.REQUEST, 1, 2000.0, ciaddr=address)
    assert (ack.type, ack.yiaddr, ack.ciaddr) == (Type.ACK, address, address)
    seconds = [int.from_bytes(ack.get(code), "big") for code in (Code.LEASE, Code.RENEW, Code.REBIND)]
    assert seconds == [3600, 1800, 3150]
    assert ack.get(Code.SERVER) == SERVER
    assert on.leases.by_address[address].until == 5600.0


def test_the_pool_ends_and_what_was_free_longest_comes_first():
    on = server()
    given_ = [lease(on, n, 1000.0 + n) for n in range(1, 6)]
    assert len(set(given_)) == 5
    assert lease(on, 6) is None
    assert lease(on, 6, 1001.0 + 3600.5) == given_[0]
    assert ask(on, Type.REQUEST, 1, 4700.0, ciaddr=given_[0]).type is Type.NAK, "it went to another client meanwhile"


def test_every_lease_is_on_the_disk_before_it_is_acknowledged(tmp_path):
    path = tmp_path / "leases.json"
    on = server(path)
    address = lease(on, 1)
    again = server(path)
    assert again.leases.by_address[address].mac == mac(1)
    assert lease(again, 1) == address
    assert lease(again, 2) != address


def test_a_full_disk_costs_the_new_lease_and_no_old_one(tmp_path, monkeypatch):
    on = server(tmp_path / "leases.json")
    address = lease(on, 1)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(standalone, "write_whole", full)
    before = on.leases.by_address[address]
    assert ask(on, Type.REQUEST, 1, 2000.0, ciaddr=address) is None
    assert on.leases.by_address[address] == before
    offer = ask(on, Type.DISCOVER, 2)
    assert ask(on, Type.REQUEST, 2, requested=offer.yiaddr, server=SERVER) is None
    monkeypatch.undo()
    assert ask(on, Type.REQUEST, 1, 2000.0, ciaddr=address).type is Type.ACK


def test_half_a_table_is_an_empty_one(tmp_path):
    path = tmp_path / "leases.json"
    lease(server(path), 1)
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        assert server(path).leases.by_address == {}


def test_released_declined_and_anothers():
    on = server()
    address = lease(on, 1)
    assert ask(on, Type.RELEASE, 2, ciaddr=address) is None
    assert on.leases.by_address[address].until == 4600.0, "not its own"
    ask(on, Type.RELEASE, 1, ciaddr=address)
    assert on.leases.free(address, mac(2), 1000.0)
    assert lease(on, 1) == address
    ask(on, Type.DECLINE, 1, requested=address)
    assert lease(on, 1) != address
    assert ask(on, Type.REQUEST, 3, requested=address, server=socket.inet_aton("10.77.0.9")) is None
    assert ask(on, Type.REQUEST, 3, requested=SERVER).type is Type.NAK
    assert ask(on, Type.INFORM, 3, ciaddr=socket.inet_aton("10.77.0.99")).get(Code.LEASE) is None


@given(st.integers(0, 1 << 30))
def test_no_address_is_ever_two_clients(seed):
    rng, on, now, held = random.Random(seed), server(), 1000.0, {}
    for _ in range(60):
        n, now = rng.randrange(1, 9), now + rng.choice([1, 100, 2000])
        held = {k: (a, end) for k, (a, end) in held.items() if end > now}
        if n in held and rng.random() < 0.7:
            ack = ask(on, Type.REQUEST, n, now, ciaddr=held[n][0])
            assert ack.type is Type.ACK, "a lease that is alive is renewed"
            held[n] = (held[n][0], now + 3600)
        elif (address := lease(on, n, now)) is not None:
            held[n] = (address, now + 3600)
        assert len({a for a, _ in held.values()}) == len(held)
        assert all(a in POOL for a, _ in held.values())


@given(MESSAGES.map(dhcp.encode) | st.binary(max_size=300))
def test_no_packet_breaks_it(data):
    server(clients=[Client("t1", b"", klass="x")])(Heard(data), 1000.0)


def test_pieces_ride_only_to_enrolled_clients_that_ask():
    on = server(clients=[Client("t1", mac(1))])
    address = lease(on, 1)

    def renewed(n, ciaddr, **options):
        words = [(Code.TYPE, b"\x03"), *options.get("words", [])]
        return on(Heard(dhcp.packed(dhcp.message(Op.REQUEST, b"abcd", mac(n), words).at(CIADDR, ciaddr))), 1001.0)[0]

    assert isinstance(renewed(1, address), Send)
    assert isinstance(renewed(2, lease(on, 2), words=[(Code.WANTED, b"\xe1")]), Send)
    enrich = renewed(1, address, words=[(Code.WANTED, b"\xe1")])
    assert isinstance(enrich, Enrich)
    assert (enrich.seen.terminal, enrich.state, enrich.room) == ("t1", None, dhcp.fits(548 - len(dhcp.encode(enrich.message))))
    assert enrich.send.how is To.UNICAST
    assert isinstance(enrich.note, Note)
    assert dhcp.decode(enrich.send.data).fixed[YIADDR : YIADDR + 4] == address


@pytest.mark.parametrize(
    "text", ["", "10.77.0.10", "10.77.0.20-10.77.0.10", "10.78.0.1-10.78.0.9", "a-b", "10.77.0.10-10.78.0.1"]
)
def test_a_pool_that_makes_no_sense_is_refused(text):
    with pytest.raises(UsageError):
        standalone.pool(text, SERVER, NETWORK)
    assert isinstance(POOL, Pool)


# ---- who still points here -------------------------------------------------------------------------------------------------


def test_who_points_here_outlives_a_kill_and_goes_at_t2_after_it_was_handed_back(tmp_path):
    path = tmp_path / "keep" / "pointing"
    pointing = Pointing(path)
    pointing.note(mac(1), True, 1000, 0.0)
    pointing.note(mac(2), True, 1000, 0.0)
    with path.open("a") as out:
        out.write('["52:54')  # a kill in mid-line
    again = Pointing(path)
    assert again.left(10.0) == [mac(1).hex(":"), mac(2).hex(":")]
    again.note(mac(1), False, 1000, 100.0)
    assert again.left(974.0) == [mac(1).hex(":"), mac(2).hex(":")]
    assert again.left(976.0) == [mac(2).hex(":")], "it did not come at T1 nor T2: it goes to its server"
    assert again.left(1001.0) == []
    for n in range(5000):
        again.note(mac(1), True, 10, 2000.0 + n)
    assert path.stat().st_size < 100_000
