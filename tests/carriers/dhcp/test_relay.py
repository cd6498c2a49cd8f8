"""What the relay does to each packet: nothing to strangers, and to its own only what it takes back again."""

import socket
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.carriers.dhcp import relay
from neurath.carriers.dhcp.clients import Client, Clients, read
from neurath.carriers.dhcp.relay import Enrich, Heard, Known, Note, Send, Site, To
from neurath.carriers.dhcp.runner import Relay, Runner, Silent
from neurath.carriers.dhcp.slots import Own
from neurath.errors import UsageError
from neurath.wire import dhcp
from neurath.wire.dhcp import CIADDR, GIADDR, YIADDR, Code, Op, Sub
from tests.wire.test_dhcp import MESSAGES

NEAR, SERVER, SECOND, BELOW = (socket.inet_aton(a) for a in ("10.77.0.2", "10.78.0.1", "10.78.0.3", "10.99.0.1"))
LEASED = socket.inet_aton("10.77.0.50")
MINE, OTHER = bytes.fromhex("525400000001"), bytes.fromhex("525400000002")
CLIENTS = Clients((Client("t1", MINE), Client("cam-{mac}", klass="camera"), Client("port", circuit="sw1/7")))
SITE = Site(NEAR, (0x0A4D0000, 0xFFFFFF00), (SERVER,), CLIENTS)
STATE = bytes(12)
WORDS = [(Code.TYPE, b"\x03"), (Code.MAXIMUM, b"\x05\xc0"), (Code.WANTED, b"\x01\xe1"), (224, STATE)]


def request(mac=MINE, options=WORDS, ciaddr=LEASED, giaddr=dhcp.NOWHERE):
    return dhcp.message(Op.REQUEST, b"abcd", mac, options).at(CIADDR, ciaddr).at(GIADDR, giaddr)


def up(message, site=SITE, known=None):
    known, actions = relay.from_client(site, known, Heard(dhcp.packed(message)))
    return known, [a for a in actions if isinstance(a, Send)], [a for a in actions if isinstance(a, Note)]


def answer(sent, kind=5, server=SERVER, more=()):
    """What a server makes of a packet: its own name, a lease, and the relay information handed back."""
    asked = dhcp.decode(sent.data)
    info = asked.get(Code.RELAY)
    options = [(Code.TYPE, bytes([kind])), (Code.SERVER, server), (Code.LEASE, (3600).to_bytes(4, "big")), *more]
    made = dhcp.message(Op.REPLY, asked.xid, asked.chaddr, options + ([(Code.RELAY, info)] if info else []))
    made = made.at(YIADDR, LEASED).at(GIADDR, asked.giaddr).at(CIADDR, asked.ciaddr)
    return replace(made, fixed=made.fixed[:10] + asked.fixed[10:12] + made.fixed[12:])


def down(message, known, site=SITE):
    return relay.from_server(site, known, dhcp.packed(message))


RELAY = Relay(SITE)


# ---- strangers -------------------------------------------------------------------------------------------------------------


@given(MESSAGES.map(dhcp.encode) | st.binary(max_size=400).map(lambda tail: b"\x01\x01\x06\x00" + bytes(232) + tail))
def test_a_strangers_packet_keeps_every_byte_but_those_every_relay_writes(data):
    _, actions = relay.from_client(SITE, None, Heard(data))
    if data[0] != 1 or data[3] >= relay.MOST_HOPS:
        assert actions == () or data[0] != 1
        return
    (out,) = actions
    assert isinstance(out, Send)
    assert (out.how, out.address) == (To.SERVER, SERVER)
    if data[24:28] != bytes(4):
        assert out.data == data
    else:
        assert out.data == data[:3] + bytes([data[3] + 1]) + data[4:24] + NEAR + data[28:]


@given(MESSAGES.map(dhcp.encode).filter(lambda data: data[0] == 2))
def test_an_answer_to_a_stranger_keeps_every_byte(data):
    _, (out,) = relay.from_server(SITE, None, data)
    assert isinstance(out, Send)
    assert out.data == data


@pytest.mark.parametrize("klass", [b"PXEClient:Arch:00007", b"HTTPClient"])
def test_a_machine_that_boots_over_the_network_is_nobodys_terminal(klass):
    message = request(options=[*WORDS, (Code.CLASS, klass)])
    _, (out,), notes = up(message)
    assert out.data[28:] == dhcp.packed(message)[28:]
    assert notes == []


def test_bootp_is_no_terminals():
    message = request(options=[(12, b"old")])
    _, (out,), _ = up(message)
    assert out.data[28:] == dhcp.packed(message)[28:]


def test_while_observing_nothing_changes_and_a_line_says_what_would():
    _, (out,), (note,) = up(request(), replace(SITE, observe=True))
    assert out.data[28:] == dhcp.packed(request())[28:]
    assert note.text == "would touch REQUEST 52:54:00:00:00:01 as t1"
    assert note.points is None


def test_a_packet_that_went_in_circles_ends():
    for mac in (MINE, OTHER):
        assert relay.from_client(SITE, None, Heard(dhcp.packed(request(mac).at(3, b"\x10"))))[1] == ()


# ---- its own ---------------------------------------------------------------------------------------------------------------


def test_its_own_gets_relay_information_and_all_of_it_is_taken_out_again():
    known, (out,), _ = up(request())
    sent = dhcp.decode(out.data)
    assert sent.giaddr == NEAR
    assert sent.hops == 1
    info = dict(dhcp.subs(sent.get(Code.RELAY)))
    assert (info[Sub.CIRCUIT], info[Sub.SERVER]) == (b"neurath", NEAR)
    assert sent.options[-1][0] == Code.RELAY, "the last option (RFC 3046)"
    known, (enrich,) = down(answer(out), known)
    assert isinstance(enrich, Enrich)
    got = dhcp.decode(enrich.send.data)
    assert got.get(Code.RELAY) is None
    assert got.giaddr == dhcp.NOWHERE
    assert got.get(Code.SERVER) == NEAR
    assert (enrich.send.how, enrich.send.address) == (To.UNICAST, LEASED)
    assert (enrich.state, enrich.seen.terminal, enrich.seen.address) == (STATE, "t1", "10.77.0.50")
    assert (enrich.note.points, enrich.note.lease) == (True, 3600)


@given(st.integers(0, 2000), st.integers(1, 1300), st.integers(8, 1200))
def test_what_rides_never_makes_a_packet_longer_than_its_client_takes(maximum, length, room):
    site = replace(SITE, clients=Clients((Client("t1", MINE, room=room),)))
    options = [(Code.TYPE, b"\x03"), (Code.MAXIMUM, maximum.to_bytes(2, "big")), (Code.WANTED, b"\xe1")]
    known, (out,), _ = up(request(options=options), site)
    _, (enrich,) = down(answer(out), known, site)
    assert isinstance(enrich, Enrich)
    assert enrich.room <= room
    whole = enrich.with_(bytes(length))
    assert len(whole.data) <= min(max(maximum, 576) - 28, 1472)
    got = dhcp.decode(whole.data).get(225)
    assert got == (bytes(length) if length <= enrich.room else None)
    if length > enrich.room:
        assert whole is enrich.send
    if enrich.room:
        assert len(enrich.with_(bytes(enrich.room)).data) <= min(max(maximum, 576) - 28, 1472)


def test_nothing_rides_where_it_was_not_asked_for_or_the_server_uses_the_code():
    known, (out,), _ = up(request(options=[(Code.TYPE, b"\x03"), (Code.WANTED, b"\x01\x03")]))
    assert isinstance(down(answer(out), known)[1][0], Send)
    known, (out,), _ = up(request())
    _, (sent, note) = down(answer(out, more=[(225, b"theirs")]), known)
    assert isinstance(sent, Send)
    assert dhcp.decode(sent.data).get(225) == b"theirs"
    assert isinstance(note, Note)


@pytest.mark.parametrize("kind", [2, 6])
def test_only_acknowledged_leases_carry_anything(kind):
    known, (out,), _ = up(request())
    _, actions = down(answer(out, kind), known)
    assert [type(a) for a in actions] == [Send, Note]


def test_one_answer_one_piece_a_second_answer_to_the_same_packet_gets_none():
    known, (out,), _ = up(request())
    known, (first,) = down(answer(out), known)
    assert isinstance(first, Enrich)
    assert isinstance(down(answer(out), known)[1][0], Send)


def test_the_servers_name_goes_both_ways_and_is_relearned_after_a_death():
    named = request(options=[*WORDS, (Code.SERVER, NEAR)])
    other = socket.inet_aton("10.78.0.77")
    known, (out,), _ = up(request())
    known, _ = down(answer(out, server=other), known)
    assert known is not None
    assert dhcp.decode(up(named, known=known)[1][0].data).get(Code.SERVER) == other
    assert dhcp.decode(up(named)[1][0].data).get(Code.SERVER) == SERVER, "not known: by its address"
    foreign = request(options=[*WORDS, (Code.SERVER, other)])
    assert dhcp.decode(up(foreign)[1][0].data).get(Code.SERVER) == other, "another server's is not ours to change"


def test_an_answer_after_a_death_still_loses_our_words():
    """Nothing was remembered: what the server hands back says what to take out."""
    _, (out,), _ = up(request())
    _, (sent, _) = down(answer(out), None)
    assert isinstance(sent, Send)
    got = dhcp.decode(sent.data)
    assert got.get(Code.RELAY) is None
    assert got.get(Code.SERVER) == NEAR


def test_both_of_a_pair_are_asked():
    _, sends, _ = up(request(), replace(SITE, servers=(SERVER, SECOND)))
    assert [s.address for s in sends] == [SERVER, SECOND]
    assert sends[0].data == sends[1].data


def test_behind_a_relay_the_answer_goes_back_to_it_with_its_own_words():
    theirs = dhcp.subs_to(((Sub.CIRCUIT, b"sw1/7"), (Sub.REMOTE, b"r")))
    message = request(OTHER, [*WORDS, (Code.RELAY, theirs)], ciaddr=dhcp.NOWHERE, giaddr=BELOW)
    known, (out,), _ = up(message)
    sent = dhcp.decode(out.data)
    info = dhcp.subs(sent.get(Code.RELAY))
    assert sent.giaddr == NEAR
    assert info[:2] == ((Sub.CIRCUIT, b"sw1/7"), (Sub.REMOTE, b"r"))
    assert dict(info)[Sub.LINK] == BELOW, "the server chooses the subnet by it (RFC 3527)"
    _, (enrich,) = down(answer(out), known)
    assert isinstance(enrich, Enrich)
    assert (enrich.send.how, enrich.send.address) == (To.RELAY, BELOW)
    got = dhcp.decode(enrich.send.data)
    assert got.giaddr == BELOW
    assert got.get(Code.RELAY) == theirs
    assert enrich.seen.terminal == "port"


def test_a_strangers_packet_behind_a_relay_does_not_change_at_all():
    message = request(OTHER, giaddr=BELOW)
    assert up(message)[1][0].data == dhcp.packed(message)
    _, (out,) = down(answer(Send(dhcp.packed(message), To.SERVER, SERVER)), None)
    assert (out.how, out.address) == (To.RELAY, BELOW)


def test_a_server_that_hands_nothing_back_is_passed_on():
    for below, how in ((dhcp.NOWHERE, To.UNICAST), (BELOW, To.RELAY)):
        known, (out,), _ = up(request(giaddr=below))
        assert known is not None
        reply = answer(out).without(Code.RELAY)
        _, (sent,) = down(reply, known)
        assert isinstance(sent, Send)
        assert sent.how is how
        assert dhcp.decode(sent.data).get(Code.SERVER) == SERVER


def test_draining_hands_the_server_back():
    site = replace(SITE, drain=True)
    known, (out,), _ = up(request(), site)
    _, (sent, note) = down(answer(out), known, site)
    assert isinstance(sent, Send)
    assert isinstance(note, Note)
    got = dhcp.decode(sent.data)
    assert (got.get(Code.SERVER), got.get(Code.RELAY), got.get(225)) == (SERVER, None, None)
    assert note.points is False


def test_one_that_keeps_coming_while_draining_is_left_to_ask_everybody():
    site = replace(SITE, drain=True)
    known, (out,), _ = up(request(), site)
    known, _ = down(answer(out), known, site)
    renewal = dhcp.packed(request())
    assert relay.from_client(site, known, Heard(renewal, direct=True))[1][0].text.startswith("not answered")
    assert isinstance(relay.from_client(site, known, Heard(renewal))[1][0], Send), "to everybody: answered"
    assert isinstance(relay.from_client(SITE, known, Heard(renewal, direct=True))[1][0], Send), "not draining"
    for other in (request(giaddr=BELOW), request(options=[(Code.TYPE, b"\x07"), (Code.SERVER, NEAR)])):
        assert isinstance(relay.from_client(site, known, Heard(dhcp.packed(other), direct=True))[1][0], Send)


def test_relay_information_that_does_not_fit_leaves_the_packet_alone():
    full = request(OTHER, [*WORDS, (Code.CLASS, b"camera"), (Code.RELAY, dhcp.subs_to(((2, bytes(250)),)))], giaddr=BELOW)
    _, (out,), notes = up(full)
    assert out.data == dhcp.packed(full)
    assert notes == []


def test_delivery_follows_rfc_2131():
    known, (out,), _ = up(request(ciaddr=dhcp.NOWHERE))
    reply = answer(out)
    _, (enrich,) = down(reply, known)
    assert isinstance(enrich, Enrich)
    assert (enrich.send.how, enrich.send.address, enrich.send.mac) == (To.LINK, LEASED, MINE)
    _, (enrich,) = down(reply.at(10, b"\x80\x00"), known)
    assert isinstance(enrich, Enrich)
    assert enrich.send.how is To.BROADCAST
    _, (sent, _) = down(answer(out, 6), known)
    assert isinstance(sent, Send)
    assert sent.how is To.BROADCAST


@given(MESSAGES)
def test_no_packet_of_an_enrolled_client_breaks_anything(message):
    site = replace(SITE, clients=Clients((Client("t1", MINE),)))
    message = replace(message, fixed=message.fixed[:2] + b"\x06" + message.fixed[3:28] + MINE + message.fixed[34:])
    data = dhcp.encode(message)
    for known in (None, Known(Client("t1", MINE), SERVER, None, 1500, True, BELOW)):
        relay.from_client(site, known, Heard(b"\x01" + data[1:], True))
        relay.from_server(site, known, b"\x02" + data[1:])


# ---- codes that others use -------------------------------------------------------------------------------------------------


def test_who_else_uses_our_codes_is_said_once():
    theirs = dhcp.packed(request(OTHER, [(Code.TYPE, b"\x03"), (Code.WANTED, b"\x01\xe1")]))
    assert relay.clash(SITE, theirs) == "52:54:00:00:00:02, not enrolled, uses option 225"
    assert relay.clash(replace(SITE, slot=Own(224, 230)), theirs) == ""
    assert relay.clash(SITE, dhcp.packed(request())) == "", "its own may"
    _, (out,), _ = up(request())
    assert relay.clash(SITE, dhcp.packed(answer(out, more=[(225, b"x")]))).startswith("the server sends option 225 itself")
    assert relay.clash(SITE, b"\x01" * 300) == ""
    said = [action.text for _ in range(3) for action in RELAY(Heard(theirs), 1000.0) if isinstance(action, Note)]
    assert said == ["codes: 52:54:00:00:00:02, not enrolled, uses option 225"]


def test_a_wild_packet_costs_nobody_anything_but_itself():
    """The runner goes on, whatever a value makes of a packet; an answer that cannot leave is one that did not leave."""

    sent: list[Send] = []

    class Wires:
        def heard(self, longest):
            return [Heard(b""), Heard(b"\x01"), Heard(dhcp.packed(request(OTHER)))]

        def send(self, out):
            sent.append(out)
            raise OSError("no route")

    def fails(heard, now):
        if not heard.data:
            raise KeyError("a fault of ours")
        return RELAY(heard, now)

    lines: list[str] = []
    Runner(Wires(), fails, Silent(), lambda: 1000.0, lines.append).turn()
    assert len(sent) == 1


# ---- the list --------------------------------------------------------------------------------------------------------------


def test_the_list_of_clients_reads_back():
    text = '[[client]]\nterminal="t1"\nmac="52:54:00:00:00:01"\nroom=208\n[[client]]\nterminal="cam-{mac}"\nclass="camera"\n'
    found = read(text)
    assert found.every == (Client("t1", MINE, room=208), Client("cam-{mac}", klass="camera"))
    camera = request(OTHER, [(Code.TYPE, b"\x03"), (Code.CLASS, b"camera")])
    line = found.of(camera)
    assert line is not None
    assert line.name(OTHER) == "cam-525400000002"
    both = found.of(request(MINE, [(Code.TYPE, b"\x03"), (Code.CLASS, b"camera")]))
    assert both is not None
    assert both.terminal == "t1", "an address goes before a class"
    assert found.of(request(OTHER)) is None


@pytest.mark.parametrize(
    "text",
    [
        "x", "a = 1", "client = 3", '[[client]]\nterminal="t"', '[[client]]\nterminal="t"\nmac="52:54"',
        '[[client]]\nmac="52:54:00:00:00:01"', '[[client]]\nterminal="t"\nclass="camera"',
        '[[client]]\nterminal="a b"\nmac="52:54:00:00:00:01"', '[[client]]\nterminal="t"\nmac="52:54:00:00:00:01"\nroom=7',
        '[[client]]\nterminal="t"\nmac="52:54:00:00:00:01"\nport=1',
    ],
)  # fmt: skip
def test_a_wrong_list_is_refused_with_its_reason(text):
    with pytest.raises(UsageError):
        read(text)
