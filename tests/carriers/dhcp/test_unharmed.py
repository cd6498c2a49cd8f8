"""The site's DHCP is unharmed (B12): 200 clients, the gateway killed again and again, the server away, strangers' packets byte
for byte, nothing more on the wire, and out again."""

import os
import signal
import socket
import time

import pytest

from neurath.terminal.staging.trickle import Ram, Session
from neurath.wire import trickle
from neurath.wire.dhcp import Code
from tests.carriers.dhcp.test_site import MACS, payloads
from tests.parts import ASSURANCE
from tests.rigs.crowd import Crowd
from tests.rigs.dhcp import LEASE, NEAR, SECOND, SERVER, T1, Site, Source, address
from tests.rigs.net import laid, tshark, udp, until

pytestmark = pytest.mark.heavy
CLIENTS = 200
KILLS = 50 if ASSURANCE else 6
AWAY = 600.0 if ASSURANCE else 12.0


@pytest.fixture
def site(tmp_path):
    with laid() as net:
        yield Site(net, tmp_path)


class Terminals:
    """What each enrolled member of a crowd gathers, with its true download state in each request."""

    def __init__(self, names):
        self.names = names  # mac -> terminal
        self.sessions = {mac: Session(Ram(1 << 20)) for mac in names}
        self.complete = {}
        self.answers = 0

    def words(self, member):
        base = [(Code.WANTED, bytes([1, 3, 51, 54, 58, 59, 225])), (Code.MAXIMUM, (1500).to_bytes(2, "big"))]
        session = self.sessions.get(member.mac)
        if session is None:
            return base[1:]
        return [*base, (224, trickle.encode_state(session.state(1000, 80)))]

    def heard(self, member, ack):
        data = ack.get(225)
        if data is not None:
            self.answers += 1
            heard = self.sessions[member.mac].accept(data)
            if heard.complete is not None:
                self.complete[member.mac] = heard.complete.file.hex()


def crowd(site, count, enrolled, **more):
    """A crowd on the clients' network, the first `enrolled` of which are terminals."""
    where = site.client("crowd", "52:54:00:77:ff:ff")
    hop = (site.relay.run("cat", "/sys/class/net/near/address").stdout).strip()
    macs = [b"\x52\x54\x00\x77" + n.to_bytes(2, "big") for n in range(count)]
    names = {mac: f"t{n}" for n, mac in enumerate(macs[:enrolled])}
    site.enrol(*(f'terminal = "{name}"\nmac = "{mac.hex(":")}"\nroom = 1000' for mac, name in names.items()))
    terminals = Terminals(names)
    hop_bytes = bytes.fromhex(hop.replace(":", ""))
    make = lambda: where.call(  # noqa: E731
        lambda: Crowd("eth0", count, hop_bytes, words=terminals.words, heard=terminals.heard, **more)
    )
    return terminals, make


def test_no_lease_is_lost_while_the_gateway_is_killed_and_the_server_is_away(site, figures):
    terminals, make = crowd(site, CLIENTS, CLIENTS // 2)
    # What is tested is the relay and not how fast this machine starts a process beside others: time for that until T2.
    lease = LEASE if ASSURANCE else 4 * LEASE
    site.kea(extra={"valid-lifetime": lease, "rebind-timer": lease * 3 // 4})
    source = Source(site, tuple(terminals.names.values()), size=24_000)
    running = site.carrier("--relay-to", SERVER, *source.words)
    until(lambda: list((site.path / "keep").glob("*-*/0")), "the gateway has pieces", 30)
    near = site.net.capture(site.relay, "near", site.path / "near.pcap", udp(67, 68))
    far = site.net.capture(site.server, "wan0", site.path / "far.pcap", udp(67, 68))
    people = make()
    site.net.later(people.close)
    until(lambda: people.bound == CLIENTS, "all have a lease", 60)
    down = []
    for n in range(KILLS):
        time.sleep(0.5 + (n % 5) / 5)
        began = time.monotonic()
        # The process that `ip netns exec` became: it is the carrier itself.
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        running = site.carrier("--relay-to", SERVER, *source.words)
        down.append(time.monotonic() - began)
    source.stop()
    before = terminals.answers
    end = time.monotonic() + AWAY
    while time.monotonic() < end:
        time.sleep(0.5)
    rode = terminals.answers - before
    people.close()  # first: what leaves between the ends of two captures is in one of them only
    near.close()
    far.close()
    assert {m.mac.hex() for m in people.members if m.lost} == set(), f"away {max(down):.1f} s at the longest"
    assert people.bound == CLIENTS
    assert rode > 0, "pieces from the cache while the server is away"
    strangers = {m.mac for m in people.members} - set(terminals.names)
    assert set(terminals.complete.values()) <= {source.file}
    compared, past = same(site, strangers)
    assert past > compared / 5
    assert tshark(site.path / "near.pcap", "_ws.malformed") == []
    figures(
        "dhcp-unharmed",
        f"{CLIENTS} clients of Kea 2.2 renewing every {T1} s on leases of {lease} s, half of them enrolled; gateway killed "
        f"{len(down)} times (away {max(down):.1f} s at the longest), server away {AWAY:.0f} s.\n\n"
        f"| | |\n|---|---|\n| leases lost | {people.lost} |\n| renewals acknowledged | {people.acks} |\n"
        f"| answers with pieces while the server was away | {rode} |\n| files complete | {len(terminals.complete)} |\n"
        f"| strangers' packets compared byte for byte, different | {compared}, 0 |\n",
    )


def same(site, macs):
    """Every packet of strangers that left the relay's network for the server is what came, and back; but giaddr and hops of
    what was sent to everybody. Gives how many were compared, and how many of them went past the relay."""
    ours = socket.inet_aton(NEAR)
    near = [p for p in payloads(site.path / "near.pcap") if p[28:34] in macs]
    far = [p for p in payloads(site.path / "far.pcap") if p[28:34] in macs]
    sent = {p for p in near if p[0] == 1}
    relayed = {p[:3] + bytes([p[3] + 1]) + p[4:24] + ours + p[28:] for p in sent}
    came = {p for p in far if p[0] == 2}
    different = [p for p in far if p[0] == 1 and p not in sent and p not in relayed]
    different += [p for p in near if p[0] == 2 and p not in came]
    assert different == []
    return len(near) + len(far), sum(p[0] == 1 and p in sent for p in far)


def test_a_waiting_update_costs_no_packet_more(site):
    """T17, B1: a thousand renewals with and without, every frame of it counted, fragments too."""
    terminals, make = crowd(site, 2, 1, renew=0.0)
    site.kea()
    source = Source(site, ("t0",), size=30_000)
    site.carrier("--relay-to", SERVER, *source.words)
    until(lambda: list((site.path / "keep").glob("*-*/0")), "the gateway has pieces", 30)
    beats = 1000 if ASSURANCE else 300
    site.net.later((people := make()).close)
    until(lambda: people.bound == 2, "both have a lease")
    near = site.net.capture(site.relay, "near", site.path / "near.pcap", udp(67, 68))
    start = [member.acks for member in people.members]
    until(lambda: all(m.acks - a >= beats for m, a in zip(people.members, start, strict=True)), "the renewals", 120)
    near.close()
    counts = []
    for member in people.members:
        mine = [p for p in payloads(site.path / "near.pcap") if p[28:34] == member.mac]
        requests = sum(p[0] == 1 for p in mine)
        counts.append(len(mine) / requests)
    assert terminals.answers > 50
    assert [round(count, 2) for count in counts] == [2.0, 2.0], "with, without: one request, one answer"
    assert tshark(site.path / "near.pcap", "ip.flags.mf == 1 || ip.frag_offset > 0") == []


def test_a_pair_of_servers_goes_on_when_one_dies(site):
    """Kea's hot standby, unmodified; the relay asks both."""
    terminals, make = crowd(site, 20, 10)
    other = site.net.namespace("srv2")
    site.net.veth(other, "wan0", site.server, "pair0")
    site.server.ip("addr", "flush", "dev", "wan0")
    site.server.bridge("br0", "wan0", "pair0")
    site.server.up("br0", f"{SERVER}/24")
    site.server.ip("route", "add", "10.77.0.0/24", "via", "10.78.0.2")
    other.up("wan0", f"{SECOND}/24")
    other.ip("route", "add", "10.77.0.0/24", "via", "10.78.0.2")
    logs = [
        site.kea(where, interface, hot_standby(name))
        for where, interface, name in ((site.server, "br0", "one"), (other, "wan0", "two"))
    ]
    until(lambda: all("HOT-STANDBY" in log.read_text() for log in logs), "the pair is one", 60)
    source = Source(site, tuple(terminals.names.values()))
    site.carrier("--relay-to", SERVER, "--relay-to", SECOND, *source.words)
    people = make()
    site.net.later(people.close)
    until(lambda: people.bound == 20, "all have a lease", 60)
    until(lambda: terminals.answers > 20, "pieces ride", 30)
    site.keas[logs[0]].kill()
    acks, answers = people.acks, terminals.answers
    until(lambda: "PARTNER-DOWN" in logs[1].read_text(), "the standby notices", 60)
    until(lambda: people.acks > acks + 60, "the standby renews", 60)
    until(lambda: people.bound == 20, "all have a lease again", 30)
    assert terminals.answers > answers
    assert set(terminals.complete.values()) <= {source.file}


def hot_standby(this):
    hooks = "/usr/lib/x86_64-linux-gnu/kea/hooks"
    peers = [
        {"name": name, "url": f"http://{where}:8000/", "role": role, "auto-failover": True}
        for name, where, role in (("one", SERVER, "primary"), ("two", SECOND, "standby"))
    ]
    ha = {
        "this-server-name": this, "mode": "hot-standby", "heartbeat-delay": 500, "max-response-delay": 1500,
        "max-ack-delay": 1000, "max-unacked-clients": 0, "peers": peers, "multi-threading": {
            "enable-multi-threading": True, "http-dedicated-listener": True, "http-listener-threads": 1,
            "http-client-threads": 1,
        },
    }  # fmt: skip
    return {
        "hooks-libraries": [
            {"library": f"{hooks}/libdhcp_lease_cmds.so"},
            {"library": f"{hooks}/libdhcp_ha.so", "parameters": {"high-availability": [ha]}},
        ],
        "multi-threading": {"enable-multi-threading": True, "thread-pool-size": 2},
    }


def test_drained_it_is_not_needed_any_more(site):
    """Real clients: after --drain each renews with its own server, and the relay says when the last one does."""
    names = ("dhclient", "dhcpcd", "udhcpc")
    machines = {name: site.client(name, MACS[name]) for name in names}
    site.enrol(*(f'terminal = "{name}"\nmac = "{MACS[name]}"' for name in names))
    site.kea()
    source = Source(site, names)
    running = site.carrier("--relay-to", SERVER, *source.words)
    site.dhclient(machines["dhclient"])
    site.dhcpcd(machines["dhcpcd"])
    site.udhcpc(machines["udhcpc"], 1.5)
    until(lambda: len([x for x in site.said() if "bytes ride" in str(x)]) > 6, "pieces ride", 40)
    whole = site.net.capture(site.relay, "near", site.path / "drain.pcap", udp(67, 68))
    running.terminate()
    assert running.wait(10) == 0
    running = site.carrier("--relay-to", SERVER, "--drain")
    until(lambda: site.said()[-1].get("left") == 0 or any(x.get("left") == 0 for x in site.said()), "all are gone", 60)
    assert any(x.get("left", 0) for x in site.said()), "it knew of them, though it had not heard them in this life"
    running.terminate()
    running.wait(10)
    time.sleep(2 * T1)
    near = site.net.capture(site.relay, "near", site.path / "near.pcap", udp(67, 68))
    time.sleep(4 * T1)
    near.close()
    rows = {tuple(row) for row in tshark(site.path / "near.pcap", "dhcp.type == 1", ["eth.src", "ip.dst"])}
    assert {row for row in rows if row[0] != MACS["udhcpc"]} == {(MACS[name], SERVER) for name in ("dhclient", "dhcpcd")}
    assert all(address(machines[name]) for name in ("dhclient", "dhcpcd"))
    # busybox keeps the first server it was told of until it starts anew; left without an answer (by the relay that drains, or
    # by nobody while one ended and the next began) it asks everybody instead, and that is what the relay waited to see.
    whole.close()
    asked = tshark(site.path / "drain.pcap", "dhcp.type == 1", ["eth.src", "ip.dst"])
    assert [MACS["udhcpc"], "255.255.255.255"] in asked


def test_observing_changes_nothing_and_says_what_would_be(site):
    terminals, make = crowd(site, 20, 10)
    site.kea()
    site.carrier("--relay-to", SERVER, "--observe")
    near = site.net.capture(site.relay, "near", site.path / "near.pcap", udp(67, 68))
    far = site.net.capture(site.server, "wan0", site.path / "far.pcap", udp(67, 68))
    people = make()
    site.net.later(people.close)
    until(lambda: people.bound == 20, "all have a lease", 30)
    time.sleep(2 * T1)
    people.close()
    near.close()
    far.close()
    compared, _ = same(site, {member.mac for member in people.members})
    assert compared > 100
    said = [str(line.get("changed", "")) for line in site.said()]
    assert {line.split()[-1] for line in said if line.startswith("would touch")} == set(terminals.names.values())
    assert terminals.answers == 0
    assert people.lost == 0
