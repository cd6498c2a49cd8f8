"""Real sites: Kea and dnsmasq unmodified, stock clients, our relay between them, a gateway to a real server."""

import socket
import time

import pytest

from neurath.carriers.dhcp.spool import Spool
from neurath.errors import LinkError
from neurath.terminal.staging.trickle import Ram, Session
from tests.rigs.dhcp import NEAR, SERVER, T1, Site, Source, address
from tests.rigs.net import frames, laid, tshark, udp

pytestmark = pytest.mark.heavy
MACS = {name: f"52:54:00:00:01:{n:02x}" for n, name in enumerate(("dhclient", "dhcpcd", "udhcpc", "foreign"), 1)}


@pytest.fixture
def site(tmp_path):
    with laid() as net:
        yield Site(net, tmp_path)


def gather(spools, limit):
    """What the hooks kept, taken as the agent takes it; ends when every file is whole."""
    sessions = {name: (Spool(path), Session(Ram(1 << 20))) for name, path in spools.items()}
    done = {}
    end = time.monotonic() + limit
    while len(done) < len(sessions) and time.monotonic() < end:
        for name, (spool, session) in sessions.items():
            try:
                heard = session.accept(spool.beat(b""))
            except LinkError:
                continue
            if heard.complete is not None:
                done[name] = session.active.file.read(0, heard.complete.size)
        time.sleep(0.1)
    return done


def test_stock_clients_gather_a_file_from_their_renewals_with_kea_unmodified(site):
    """T1, T16: three real clients, the site's own server, the relay with the hooks as they are shipped."""
    names = ("dhclient", "dhcpcd", "udhcpc")
    machines = {name: site.client(name, MACS[name]) for name in (*names, "foreign")}
    site.enrol(*(f'terminal = "{name}"\nmac = "{MACS[name]}"\nroom = {208 if name == "udhcpc" else 504}' for name in names))
    site.kea()
    source = Source(site, names)
    seen = site.net.capture(site.relay, "near", site.path / "near.pcap", udp(67, 68))
    beyond = site.net.capture(site.server, "wan0", site.path / "far.pcap", udp(67, 68))
    relay = site.carrier("--relay-to", SERVER, *source.words)
    spools = {"dhclient": site.dhclient(machines["dhclient"]), "dhcpcd": site.dhcpcd(machines["dhcpcd"])}
    spools["udhcpc"] = site.udhcpc(machines["udhcpc"], 1.5)
    site.dhclient(machines["foreign"], trickle=False)
    done = gather(spools, 90)
    time.sleep(3 * T1)
    relay.terminate()
    assert relay.wait(10) == 0
    seen.close()
    beyond.close()
    assert {name: data == source.bytes for name, data in done.items()} == dict.fromkeys(names, True)
    assert all(address(machine) for machine in machines.values())
    foreign = bytes.fromhex(MACS["foreign"].replace(":", ""))
    renewals = unchanged(site, foreign)
    assert renewals >= 3, "its renewals go past the relay, from the first on"
    assert tshark(site.path / "near.pcap", "_ws.malformed") == []
    assert tshark(site.path / "far.pcap", "_ws.malformed") == []
    changed = [str(line["changed"]) for line in site.said() if "changed" in line]
    assert not [line for line in changed if MACS["foreign"] in line]
    acks = [f for f in payloads(site.path / "near.pcap") if f[0] == 2 and b"\x35\x01\x05" in f[240:] and f[28:34] != foreign]
    assert len([line for line in changed if line.startswith("down: ACK")]) == len(acks), "one line a changed packet"
    assert max(len(payload) for payload in payloads(site.path / "near.pcap")) <= 1472


def payloads(path):
    """DHCP payloads of a capture, fragments never seen."""
    return [frame[42:] for frame in frames(path) if frame[23] == 17]


def unchanged(site, mac):
    """Every packet of this client and to it is on both sides of the relay the same, but for what RFC 1542 tells every relay to
    write: giaddr and hops of what was sent to everybody. Gives the number of packets that were routed past the relay."""
    near, far = ([p for p in payloads(site.path / name) if p[28:34] == mac] for name in ("near.pcap", "far.pcap"))
    assert near
    assert far
    past = 0
    for payload in near:
        relayed = payload[:3] + bytes([payload[3] + 1]) + payload[4:24] + socket.inet_aton(NEAR) + payload[28:]
        assert payload in far or (payload[0] == 1 and relayed in far), payload.hex()
        past += payload in far and payload[0] == 1
    return past
