"""Replays told by nonces (RFC 5944 5.7.2): every schedule of losses, replays and wrong clocks; nothing is taken twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.carriers.mobileip import settings
from neurath.carriers.mobileip.home import Answer, HomeAgent, Node
from neurath.carriers.mobileip.node import Again, Home, Registered, Registration
from neurath.errors import UsageError
from neurath.wire import mobileip
from neurath.wire.mobileip import Address, Code, Security

AGENT, HOME, CARE_OF = Address("10.10.0.1"), Address("10.10.0.7"), Address("10.31.0.7")
SECURITY = Security(300, b"k" * 32)
USER, SECRET = "anna@example.org", b"s" * 32
HERE = Home(HOME, AGENT, SECURITY, USER, SECRET, 60, nonces=True)
KNOWN = HomeAgent(AGENT, {HOME: Node(HOME, "t1", SECURITY, USER, SECRET, nonces=True)}, 60)


def answered(agent: HomeAgent, packet: bytes, now: float) -> tuple[HomeAgent, Answer]:
    agent, actions = agent.handle(packet, now)
    return agent, next(one for one in actions if isinstance(one, Answer))


def beat(agent: HomeAgent, node: Registration, now: float, clock: float) -> tuple[HomeAgent, Registration, list[bytes]]:
    """Registers as a heartbeat does; gives what was sent."""
    sent = []
    for _ in range(3):
        node, packet = node.request(CARE_OF, b"state", clock)
        sent.append(packet)
        agent, answer = answered(agent, packet, now)
        node, result = node.heard(answer.packet(mobileip.PEN), clock)
        if isinstance(result, Registered):
            return agent, node, sent
        assert result in (Again.NONCE, Again.USER)
    raise AssertionError("no registration")


def test_the_first_exchange_fetches_the_nonce_and_later_ones_cost_one_packet_whatever_the_clock() -> None:
    agent, node, sent = beat(KNOWN, Registration(HERE), 1.8e9, 5.0)
    assert len(sent) == 2
    for n in range(5):
        agent, node, sent = beat(agent, node, 1.8e9 + n, 5.0)
        assert len(sent) == 1


def test_a_lost_answer_and_an_agent_that_starts_anew_cost_one_exchange() -> None:
    agent, node, _ = beat(KNOWN, Registration(HERE), 1.8e9, 1.8e9)
    node, packet = node.request(CARE_OF, b"", 1.8e9 + 1)
    agent, _ = answered(agent, packet, 1.8e9 + 1)  # the answer is lost
    agent, node, sent = beat(agent, node, 1.8e9 + 2, 1.8e9 + 2)
    assert len(sent) == 2
    _, _, sent = beat(KNOWN, node, 1.8e9 + 3, 1.8e9 + 3)
    assert len(sent) <= 3


@given(st.lists(st.tuples(st.sampled_from(["beat", "lose", "replay", "forge", "echo"]), st.integers(0, 1000)), max_size=30))
def test_nothing_is_taken_twice_and_nobody_takes_the_nonce_away(schedule: list[tuple[str, int]]) -> None:
    agent, node, heard = KNOWN, Registration(HERE), []
    replies: list[bytes] = []
    taken: set[bytes] = set()
    for at, (what, which) in enumerate(schedule):
        now = 1.8e9 + at
        match what:
            case "beat":
                agent, node, sent = beat(agent, node, now, 7.0)
                assert sent[-1] not in taken
                taken.add(sent[-1])
                heard += sent
            case "lose":
                node, packet = node.request(CARE_OF, b"", now)
                agent, answer = answered(agent, packet, now)
                replies.append(answer.packet(mobileip.PEN))
                taken |= {packet} if answer.reply.code == Code.ACCEPTED else set()
                heard.append(packet)
            case "replay" if heard:
                before = agent
                packet = heard[which % len(heard)]
                agent, answer = answered(agent, packet, now)
                if packet in taken:
                    assert answer.reply.code == Code.IDENTIFICATION_MISMATCH
                    assert agent.nonces == before.nonces
                    assert agent.bindings == before.bindings
                elif answer.reply.code == Code.ACCEPTED:
                    taken.add(packet)  # it came late, for the first time
            case "forge":
                stranger = replace(HERE, security=Security(300, b"x" * 32))
                before = agent
                agent, answer = answered(agent, Registration(stranger, nonce=which).request(CARE_OF, b"", now)[1], now)
                assert answer.reply.code == Code.FAILED_AUTHENTICATION
                assert agent == before
            case "echo" if replies:
                before_node = node
                node, result = node.heard(replies[which % len(replies)], now)
                if result is None:
                    assert node == before_node
    agent, node, sent = beat(agent, node, 2.0e9, 7.0)
    assert agent.bindings[HOME].care_of == CARE_OF


def test_an_old_answer_is_none_to_a_new_request() -> None:
    agent, node, _ = beat(KNOWN, Registration(HERE), 1.8e9, 1.8e9)
    node, first = node.request(CARE_OF, b"", 1.8e9 + 1)
    agent, answer = answered(agent, first, 1.8e9 + 1)
    node, _ = node.request(CARE_OF, b"", 1.8e9 + 2)
    assert node.heard(answer.packet(mobileip.PEN), 1.8e9 + 2) == (node, None)


def test_both_files_say_so_and_nothing_else_is_understood(tmp_path: Path) -> None:
    entry, own = settings.pair(settings.New(HOME, AGENT, "t1", USER, replay="nonce"), "correct horse")
    (tmp_path / "agent.toml").write_text(f'address = "{AGENT}"\nhome_link = "lo"\n{entry}')
    (tmp_path / "node.toml").write_text(own)
    assert settings.agent(tmp_path / "agent.toml").agent.nodes[HOME].nonces
    assert settings.home(tmp_path / "node.toml").home.nonces
    (tmp_path / "node.toml").write_text(own.replace('"nonce"', '"never"'))
    with pytest.raises(UsageError):
        settings.home(tmp_path / "node.toml")
