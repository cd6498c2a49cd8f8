"""The home agent without a socket: every schedule of what can come, and what it must never do."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from neurath.carriers.mobileip.home import Answer, Bind, HomeAgent, Node, Unbind
from neurath.carriers.mobileip.node import Again, Home, Registered, Registration
from neurath.errors import RefusedError
from neurath.wire import mobileip
from neurath.wire.mobileip import Address, Algorithm, Code, Reply, Request, Said, Security

AGENT, HOME, OTHER = Address("10.10.0.1"), Address("10.10.0.7"), Address("10.10.0.8")
PLACES = Address("10.31.0.7"), Address("10.32.0.7")
KEY, WRONG = Security(300, b"k" * 32), Security(300, b"w" * 32)
USER, SECRET = "anna@example.org", b"s" * 32
NODE = Node(HOME, "terminal-1", KEY, USER, SECRET)
NODES = {HOME: NODE, OTHER: replace(NODE, home=OTHER, terminal="terminal-2", security=Security(301, b"o" * 32))}
NOW = 1_790_000_000.0
LIFETIME = 60


def fresh() -> HomeAgent:
    return HomeAgent(AGENT, NODES, LIFETIME)


def request(now: float, *, at: Address = PLACES[0], lifetime: int = LIFETIME, first: bool = False, **other: object) -> Request:
    identification = mobileip.stamp(now)
    said = Said(data=b"state-of-12B")
    if first:
        said = replace(said, nai=USER, proof=mobileip.proof(SECRET, USER, HOME, at, identification))
    made = Request(lifetime, HOME, AGENT, at, identification, said=said)
    return replace(made, **other)  # type: ignore[arg-type]


def sealed(message: Request, security: Security = KEY) -> bytes:
    return mobileip.encode(message, security)


def answers(actions: tuple[object, ...]) -> list[Answer]:
    return [action for action in actions if isinstance(action, Answer)]


def test_a_first_registration_binds_and_keep_alives_need_no_user() -> None:
    agent, actions = fresh().handle(sealed(request(NOW, first=True)), NOW)
    assert actions[0] == Bind(HOME, PLACES[0])
    assert answers(actions)[0].reply == Reply(0, LIFETIME, HOME, AGENT, mobileip.stamp(NOW))
    assert answers(actions)[0].state == b"state-of-12B"
    agent, actions = agent.handle(sealed(request(NOW + 5)), NOW + 5)
    assert [type(action) for action in actions] == [Answer], "where it is already bound nothing is laid again"
    agent, actions = agent.handle(sealed(request(NOW + 9, at=PLACES[1])), NOW + 9)
    assert actions[0] == Bind(HOME, PLACES[1]), "it moved"
    assert agent.outbound(HOME) == PLACES[1]
    assert agent.inbound(PLACES[1], HOME)
    assert not agent.inbound(PLACES[0], HOME), "from where it was nothing is let in any more"
    assert not agent.inbound(PLACES[1], OTHER)


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (sealed(request(NOW, first=True), WRONG), Code.FAILED_AUTHENTICATION),
        (sealed(request(NOW, first=True), Security(999, KEY.key)), Code.FAILED_AUTHENTICATION),
        (sealed(request(NOW, first=True), Security(300, KEY.key, Algorithm.HMAC_MD5)), Code.FAILED_AUTHENTICATION),
        (sealed(request(NOW - 8, first=True)), Code.IDENTIFICATION_MISMATCH),
        (sealed(request(NOW + 8, first=True)), Code.IDENTIFICATION_MISMATCH),
        (sealed(request(NOW)), Code.PROHIBITED),
        (sealed(request(NOW, said=Said("anna@example.org", b"p" * 16))), Code.PROHIBITED),
        (sealed(request(NOW, said=replace(request(NOW, first=True).said, nai="eve@example.org"))), Code.PROHIBITED),
        (sealed(request(NOW, first=True, agent=Address("10.10.0.2"))), Code.UNKNOWN_HOME_AGENT),
    ],
)
def test_what_is_refused_changes_nothing_and_says_why(packet: bytes, code: Code) -> None:
    agent, actions = fresh().handle(packet, NOW)
    assert agent == fresh()
    assert [answer.reply.code for answer in answers(actions)] == [code]
    assert len(actions) == 1
    assert answers(actions)[0].state is None, "nothing rides on a refusal"


def test_strangers_replies_and_rubbish_are_not_answered() -> None:
    stranger = sealed(request(NOW, home=Address("10.10.0.99")))
    reply = mobileip.encode(Reply(0, 60, HOME, AGENT, 5), KEY)
    for packet in (stranger, reply, b"", b"\1", sealed(request(NOW))[:-1]):
        assert fresh().handle(packet, NOW) == (fresh(), ())


def test_a_replayed_registration_is_refused_with_the_agents_time() -> None:
    packet = sealed(request(NOW, first=True))
    agent, _ = fresh().handle(packet, NOW)
    for later in (NOW, NOW + 3, NOW + 1000):
        again, actions = agent.handle(packet, later)
        assert again == agent
        told = answers(actions)[0].reply
        assert told.code == 133
        assert mobileip.moment(told.identification) == pytest.approx(later, abs=1)
        assert told.identification & 0xFFFFFFFF == mobileip.stamp(NOW) & 0xFFFFFFFF


def test_a_good_bye_and_the_end_of_the_lifetime_unbind_once() -> None:
    agent, _ = fresh().handle(sealed(request(NOW, first=True)), NOW)
    gone, actions = agent.handle(sealed(request(NOW + 1, lifetime=0)), NOW + 1)
    assert actions[0] == Unbind(HOME)
    assert gone.outbound(HOME) is None
    assert gone.tick(NOW + 100) == (gone, ())
    assert agent.tick(NOW + LIFETIME - 1) == (agent, ())
    over, actions = agent.tick(NOW + LIFETIME)
    assert actions == (Unbind(HOME),)
    assert not over.inbound(PLACES[0], HOME)
    _, actions = over.handle(sealed(request(NOW + LIFETIME + 1)), NOW + LIFETIME + 1)
    assert answers(actions)[0].reply.code == Code.PROHIBITED, "who was away shows again who it is"


@dataclass(frozen=True)
class World:
    """What came so far, for the walk below."""

    agent: HomeAgent
    now: float
    seen: tuple[bytes, ...]


def test_every_short_schedule_keeps_every_promise() -> None:
    """All orders of true, forged, replayed, moved and late registrations, good-byes and time, seven steps deep."""
    states, frontier = 0, [World(fresh(), NOW, ())]
    known: set[object] = set()
    for _ in range(7):
        following: list[World] = []
        for world in frontier:
            for step in _steps(world):
                states += 1
                key = (step.now - NOW, repr(step.agent.bindings), repr(step.agent.last))
                if key not in known:
                    known.add(key)
                    following.append(step)
        frontier = following
    assert states > 1000


def _steps(world: World) -> list[World]:
    now, found = world.now + 1, []
    true = [
        request(now, first=first, at=at, lifetime=lifetime)
        for first in (True, False) for at in PLACES for lifetime in (0, 30, 1000)
    ]  # fmt: skip
    cases = [(sealed(message), True) for message in true]
    cases += [(sealed(message, WRONG), False) for message in true[:3]]
    cases += [(packet, False) for packet in world.seen]
    for packet, fresh_ in cases:
        after, actions = world.agent.handle(packet, now)
        _judge(world.agent, after, actions, packet, fresh_, now)
        taken = any(answer.reply.code == 0 for answer in answers(actions))
        found.append(World(after, now, (*world.seen, packet)[-2:] if taken else world.seen))
    for passed in (20.0, 61.0):
        after, actions = world.agent.tick(world.now + passed)
        assert all(isinstance(action, Unbind) for action in actions)
        assert all(binding.until > world.now + passed for binding in after.bindings.values())
        found.append(World(after, world.now + passed, world.seen))
    return found


def _judge(before: HomeAgent, after: HomeAgent, actions: tuple[object, ...], packet: bytes, fresh_: bool, now: float) -> None:
    message, _ = mobileip.decode(packet)
    assert isinstance(message, Request)
    assert len(answers(actions)) == 1, "one answer a request"
    code = answers(actions)[0].reply.code
    if not fresh_:
        assert code != 0, "neither forged nor replayed ones are taken"
    if code:
        assert (after, len(actions)) == (before, 1)
        return
    assert message.said.nai or HOME in before.bindings or message.lifetime == 0, "the user was proven once"
    assert after.last[HOME] > before.last.get(HOME, 0)
    bound = after.bindings.get(HOME)
    assert (bound is None) is (message.lifetime == 0)
    if bound is not None:
        assert bound.care_of == message.care_of
        assert now < bound.until <= now + LIFETIME
    routes = [action for action in actions if not isinstance(action, Answer)]
    if before.outbound(HOME) == after.outbound(HOME):
        assert routes == []
    else:
        assert routes == [Unbind(HOME)] if bound is None else [Bind(HOME, bound.care_of)]


# ---- both ends, packet by packet  -----


def home(**other: object) -> Home:
    return replace(Home(HOME, AGENT, KEY, USER, SECRET, LIFETIME), **other)  # type: ignore[arg-type]


def met(node: Registration, agent: HomeAgent, now: float, *, skew: float = 0.0, riding: bytes = b"") -> tuple:  # type: ignore[type-arg]
    node, packet = node.request(PLACES[0], b"state-of-12B", now + skew)
    agent, actions = agent.handle(packet, now)
    answer = answers(actions)[0]
    node, result = node.heard(answer.packet(agent.pen, riding), now + skew)
    return node, agent, result, packet


def test_no_password_and_after_the_first_registration_no_user_is_in_a_packet() -> None:
    secret = mobileip.secret("correct horse", USER)
    agent = HomeAgent(AGENT, {HOME: replace(NODE, verifier=secret)}, LIFETIME)
    node, agent, result, packet = met(Registration(home(secret=secret)), agent, NOW)
    assert isinstance(result, Registered)
    assert USER.encode() in packet
    assert b"correct horse" not in packet
    assert secret not in packet
    for beat in range(1, 4):
        node, agent, result, packet = met(node, agent, NOW + beat)
        assert USER.encode() not in packet
        assert len(packet) == 24 + 10 + 12 + 38


def test_a_wrong_password_is_refused_and_said() -> None:
    with pytest.raises(RefusedError):
        met(Registration(home(secret=b"x" * 32)), fresh(), NOW)


@pytest.mark.parametrize("skew", [-500_000.0, -8.0, 8.0, 3600.0])
def test_a_clock_that_is_wrong_costs_one_packet_once(skew: float) -> None:
    node, agent, result, _ = met(Registration(home()), fresh(), NOW, skew=skew)
    assert result is Again.CLOCK
    node, agent, result, _ = met(node, agent, NOW + 0.1, skew=skew)
    assert isinstance(result, Registered)
    for beat in range(1, 4):
        node, agent, result, _ = met(node, agent, NOW + beat, skew=skew)
        assert isinstance(result, Registered)


def test_an_agent_that_forgot_asks_for_the_user_again() -> None:
    node, _, _, _ = met(Registration(home()), fresh(), NOW)
    node, agent, result, _ = met(node, fresh(), NOW + 1)
    assert result is Again.USER
    node, agent, result, packet = met(node, agent, NOW + 2)
    assert isinstance(result, Registered)
    assert USER.encode() in packet


@pytest.mark.parametrize("wide", [False, True])
def test_what_rides_arrives_in_a_short_or_a_long_extension_before_the_seal(wide: bool) -> None:
    for length in (1, 208, 247, 248, 1400, 1401):
        _, _, result, _ = met(Registration(home(wide=wide)), fresh(), NOW, riding=b"r" * length)
        assert isinstance(result, Registered)
        assert result.riding == (b"r" * length if length <= (1400 if wide else 247) else b"")


def test_a_flipped_bit_of_a_piece_is_not_handed_on() -> None:
    """T18: the carrier's authentication covers what rides."""
    node, packet = Registration(home()).request(PLACES[0], b"state-of-12B", NOW)
    _, actions = fresh().handle(packet, NOW)
    good = answers(actions)[0].packet(mobileip.PEN, b"r" * 208)
    for at in range(len(good)):
        bad = good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :]
        assert node.heard(bad, NOW) == (node, None)
    _, result = node.heard(good, NOW)
    assert isinstance(result, Registered)


def test_an_answer_to_another_request_or_from_another_agent_is_not_taken() -> None:
    node, packet = Registration(home()).request(PLACES[0], None, NOW)
    ident = node.sent
    for reply in (
        Reply(0, 60, HOME, AGENT, ident + 1), Reply(0, 60, OTHER, AGENT, ident), Reply(0, 60, HOME, OTHER, ident),
        Reply(133, 0, HOME, AGENT, ident ^ 1),
    ):  # fmt: skip
        assert node.heard(mobileip.encode(reply, KEY), NOW) == (node, None)
    assert node.heard(packet, NOW) == (node, None), "a request is no reply"
