"""Real sites: Kea and dnsmasq unmodified, stock clients, our relay between them, a gateway to a real server."""

import contextlib
import json
import socket
import time

import pytest

from neurath.carriers.dhcp.renewer import Renewer, rides
from neurath.carriers.dhcp.spool import Spool
from neurath.carriers.http import Place
from neurath.errors import LinkError
from neurath.terminal.staging.trickle import Ram, Session
from neurath.wire import trickle
from tests.parts import need
from tests.rigs.dhcp import FAR, NEAR, SERVER, T1, Site, Source, address
from tests.rigs.net import frames, laid, tshark, udp, until

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
    site.enrol(*(f'terminal = "{name}"\nmac = "{MACS[name]}"\nroom = {212 if name == "udhcpc" else 504}' for name in names))
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


def test_dnsmasq_unmodified_is_relayed_to_and_its_answers_carry_pieces(site):
    machine = site.client("dhclient", MACS["dhclient"])
    site.enrol(f'terminal = "dhclient"\nmac = "{MACS["dhclient"]}"')
    log = site.dnsmasq()
    source = Source(site, ("dhclient",))
    site.carrier("--relay-to", SERVER, *source.words)
    until(lambda: list((site.path / "keep").glob("*-*/0")), "the gateway has the pieces", 20)
    spool = site.dhclient(machine)
    until(lambda: list(spool.glob("*.answer")), "a piece rode on an answer of dnsmasq", 20)
    assert address(machine).startswith("10.77.0.")
    assert "DHCPACK" in log.read_text()


def test_behind_an_existing_relay_the_site_works_as_before_and_pieces_ride(site):
    """The site's own router relays (dnsmasq as a plain relay); ours is where its helper-address points."""
    inner = site.net.namespace("inner")
    site.net.veth(inner, "out0", site.relay, "in0")
    site.relay.up("in0", "10.79.0.1/24")
    inner.up("out0", "10.79.0.2/24")
    inner.ip("route", "add", "default", "via", "10.79.0.1")
    inner.set("net/ipv4/ip_forward", 1)
    inner.bridge("lan0")
    inner.up("lan0", "10.76.0.1/24")
    for where, via in ((site.relay, "10.79.0.2"), (site.server, FAR)):
        where.ip("route", "add", "10.76.0.0/24", "via", via)
    site.server.ip("route", "add", "10.79.0.0/24", "via", FAR)
    machines = {}
    for name in ("dhclient", "foreign"):
        machines[name] = site.net.namespace(name)
        site.net.veth(machines[name], "eth0", inner, f"q-{name}")
        machines[name].ip("link", "set", "eth0", "address", MACS[name])
        machines[name].ip("link", "set", "eth0", "up")
        inner.ip("link", "set", f"q-{name}", "master", "lan0")
        inner.ip("link", "set", f"q-{name}", "up")
    site.enrol(f'terminal = "dhclient"\nmac = "{MACS["dhclient"]}"')
    subnet = {"subnet": "10.76.0.0/24", "pools": [{"pool": "10.76.0.20 - 10.76.0.99"}]}
    site.kea(extra={"subnet4": [subnet], "option-data": [{"name": "routers", "data": "10.76.0.1"}]})
    source = Source(site, ("dhclient",))
    site.carrier("--relay-to", SERVER, *source.words)
    inner.start(
        need("dnsmasq"), "-k", "-p", "0", "-u", "root", "-C", "/dev/null", f"--dhcp-relay=10.76.0.1,{NEAR}",
        f"--pid-file={site.path}/r.pid", log=site.path / "inner.log",
    )  # fmt: skip
    inner.listens(67, "udp")
    seen = site.net.capture(site.server, "wan0", site.path / "far.pcap", udp(67, 68))
    spools = {"dhclient": site.dhclient(machines["dhclient"], router="10.76.0.1")}
    site.dhclient(machines["foreign"], trickle=False, router="10.76.0.1")
    assert gather(spools, 60) == {"dhclient": source.bytes}
    until(lambda: address(machines["foreign"]), "the stranger has its lease")
    seen.close()
    mac = bytes.fromhex(MACS["foreign"].replace(":", ""))
    theirs = [p for p in payloads(site.path / "far.pcap") if p[28:34] == mac and p[0] == 1 and p[24:28] != bytes(4)]
    assert theirs
    assert {socket.inet_ntoa(p[24:28]) for p in theirs} == {"10.76.0.1"}, "the giaddr of its own relay, not ours"
    assert tshark(site.path / "far.pcap", "_ws.malformed") == []


def test_the_built_in_server_gives_leases_and_lets_a_file_ride_all_in_one_process(site):
    """The response part inside the carrier's own server (elsewhere it stands apart from the site's): a pool, a gateway's cache
    and a real client, no other DHCP server."""
    machine = site.client("dhclient", MACS["dhclient"])
    site.client("foreign", MACS["foreign"])
    site.enrol(f'terminal = "dhclient"\nmac = "{MACS["dhclient"]}"')
    source = Source(site, ("dhclient",))
    site.carrier("--pool", "10.77.0.50-10.77.0.60", "--lease", 8, "--renew", 2, "--router", NEAR, *source.words)
    spool = site.dhclient(machine)
    site.dhclient(site.clients["foreign"], trickle=False)
    assert gather({"dhclient": spool}, 60) == {"dhclient": source.bytes}
    held = {address(one) for one in site.clients.values()}
    assert len(held) == 2
    assert held == set(json.loads((site.path / "keep/leases.json").read_text()))


def test_the_agents_own_renewer_tells_what_it_has_and_gets_what_it_lacks(site):
    """Through the relay, from Kea: the lease that a client got is renewed by the agent, which says its true sync point."""
    machine = site.client("dhclient", MACS["dhclient"])
    site.enrol(f'terminal = "dhclient"\nmac = "{MACS["dhclient"]}"\nroom = 1200')
    site.kea()
    source = Source(site, ("dhclient",), size=20_000)
    site.carrier("--relay-to", SERVER, *source.words)
    until(lambda: list((site.path / "keep").glob("*-*/0")), "the gateway has the pieces", 20)
    site.dhclient(machine, trickle=False)
    until(lambda: address(machine), "there is a lease")
    seen = site.net.capture(machine, "eth0", site.path / "near.pcap", udp(67, 68))
    session, renewer, complete = Session(Ram(1 << 20)), Renewer("eth0", patience=10.0), None
    lost = beats = 0
    while complete is None and beats < 400:
        beats += 1
        state = session.state(renewer.descriptor.reply_room, 120)
        try:
            complete = session.accept(machine.call(renewer.beat, trickle.encode_state(state))).complete
        except LinkError:
            lost += 1
    seen.close()
    assert complete is not None
    assert session.active.file.read(0, complete.size) == source.bytes
    assert lost <= 2
    rows = tshark(site.path / "near.pcap", "dhcp.type == 1 && dhcp.option.type == 224", ["dhcp.ip.client"])
    assert len(rows) == beats, "one request a heartbeat"
    assert {row[0] for row in rows} == {address(machine)}
    assert tshark(site.path / "near.pcap", "_ws.malformed || icmp") == []


@pytest.mark.parametrize("kind", ["relay", "pool"])
def test_the_response_part_inside_the_servers_own_process_answers_as_it_does_apart(site, kind):
    """`serve --carrier dhcp:FILE`: no gateway and no session between; a real client, and Kea behind the relay."""
    machine = site.client("dhclient", MACS["dhclient"])
    site.client("foreign", MACS["foreign"])
    site.enrol(f'terminal = "dhclient"\nmac = "{MACS["dhclient"]}"')
    if kind == "relay":
        site.kea()
        file = site.config(f'relay-to = ["{SERVER}"]\nkeep = "{site.path}/keep"')
    else:
        file = site.config(
            f'pool = "10.77.0.50-10.77.0.60"\nlease = 8\nrenew = 2\nrouter = "{NEAR}"\nkeep = "{site.path}/keep"'
        )
    source = Source(site, ("dhclient",), carrier=file)
    seen = site.net.capture(site.relay, "near", site.path / "near.pcap", udp(67, 68))
    spool = site.dhclient(machine)
    site.dhclient(site.clients["foreign"], trickle=False)
    assert gather({"dhclient": spool}, 120) == {"dhclient": source.bytes}
    until(lambda: address(site.clients["foreign"]), "the stranger has its lease", 60)
    seen.close()
    assert tshark(site.path / "near.pcap", "_ws.malformed") == []
    assert "bytes ride to dhclient" in (site.path / "serve.log").read_text(), "one line a changed packet, in its log"
    source.stop()
    assert source.process.returncode == 0


@pytest.mark.parametrize("client", ["dhclient", "dhcpcd", "udhcpc"])
def test_where_the_site_forbids_its_own_codes_pieces_ride_under_an_enterprise_number(site, client):
    """Options 124 and 125: stock clients with the hooks as they are shipped, through the relay from Kea."""
    machine = site.client(client, MACS[client])
    site.enrol(f'terminal = "{client}"\nmac = "{MACS[client]}"\nroom = {212 if client == "udhcpc" else 504}')
    site.kea()
    source = Source(site, (client,), size=2048)
    site.carrier("--relay-to", SERVER, "--enterprise", 32473, *source.words)
    until(lambda: list((site.path / "keep").glob("*-*/0")), "the gateway has the pieces", 60)
    seen = site.net.capture(site.relay, "near", site.path / "near.pcap", udp(67, 68))
    match client:
        case "dhclient":
            spool = site.dhclient(machine, vendor="-vendor")
        case "dhcpcd":
            spool = site.dhcpcd(machine, vendor="-vendor")
        case _:
            spool = site.udhcpc(machine, 1.5, option=125)
    assert gather({client: spool}, 120) == {client: source.bytes}
    seen.close()
    judged = tshark(site.path / "near.pcap", "dhcp.type == 2", ["dhcp.option.type", "dhcp.option.vi.enterprise"])
    assert not [row for row in judged if {"224", "225"} & set(row[0].split(","))]
    assert len([row for row in judged if row[1] == "32473"]) >= 3
    assert tshark(site.path / "near.pcap", "_ws.malformed") == []


def test_the_agents_own_renewer_uses_the_enterprise_number_too(site):
    machine = site.client("dhclient", MACS["dhclient"])
    site.enrol(f'terminal = "dhclient"\nmac = "{MACS["dhclient"]}"\nroom = 1200')
    site.kea()
    source = Source(site, ("dhclient",))
    site.carrier("--relay-to", SERVER, "--enterprise", 32473, *source.words)
    until(lambda: list((site.path / "keep").glob("*-*/0")), "the gateway has the pieces", 60)
    site.dhclient(machine, trickle=False)
    until(lambda: address(machine), "there is a lease", 60)
    session, renewer, complete = Session(Ram(1 << 20)), rides("dhcp:eth0,enterprise=32473", Place("", "dhclient")), None
    for _ in range(300):
        state = session.state(renewer.descriptor.reply_room, 120)
        with contextlib.suppress(LinkError):
            complete = session.accept(machine.call(renewer.beat, trickle.encode_state(state))).complete
        if complete is not None:
            break
    assert complete is not None
    assert session.active.file.read(0, complete.size) == source.bytes
