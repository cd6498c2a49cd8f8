"""The files of a home agent and of a mobile node: TOML. It knows their fields and how a pair of them is made for a new
node; no file ever holds a password."""

from __future__ import annotations

import atexit
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from neurath.carriers.base import Rides
from neurath.carriers.mobileip.home import LIFETIME, HomeAgent, Node
from neurath.carriers.mobileip.node import Home, MobileIp
from neurath.errors import DataError, UsageError
from neurath.wire import mobileip
from neurath.wire.mobileip import Address, Algorithm, Security

#: Whose tunnels: the kernel's where they can be used, the kernel's or none, our own.
TUNNELS = ("auto", "kernel", "user")


@dataclass(frozen=True, slots=True)
class AgentFile:
    """A home agent as its file says, the interface of its home link, and whose tunnels it uses."""

    agent: HomeAgent
    interface: str
    tunnels: str = "auto"


@dataclass(frozen=True, slots=True)
class NodeFile:
    """A node as its file says; whether it wants its home address to follow it, and in whose tunnel."""

    home: Home
    tunnel: bool
    tunnels: str = "auto"


def agent(path: str | Path) -> AgentFile:
    """Reads a home agent's file; UsageError for one that makes no sense, with the field's name."""
    told = _Table(path, _read(path))
    nodes: dict[Address, Node] = {}
    for number, entry in enumerate(told.tables("node")):
        node = _node(_Table(f"{path}, node {number + 1}", entry))
        if nodes.setdefault(node.home, node) is not node:
            raise UsageError(
                f"{path} has two nodes at {node.home}", "a home address is one node's", "give them different ones"
            )
    made = HomeAgent(told.address("address"), nodes, told.number("lifetime", LIFETIME), told.number("vendor", mobileip.PEN))
    return AgentFile(made, told.text("home_link"), told.one_of("tunnels", *TUNNELS))


def _node(told: _Table) -> Node:
    return Node(
        told.address("home"), told.text("terminal"), told.security(), told.text("user"), told.octets("secret"),
        told.text("tenant", "DEFAULT"), told.nonces(),
    )  # fmt: skip


def home(path: str | Path) -> NodeFile:
    """Reads a mobile node's file; UsageError as for an agent's."""
    told = _Table(path, _read(path))
    made = Home(
        told.address("home"), told.address("agent"), told.security(), told.text("user"), told.octets("secret"),
        told.number("lifetime", LIFETIME), told.truth("long", False), told.number("vendor", mobileip.PEN),
    )  # fmt: skip
    tunnel = told.truth("tunnel", True)
    # Registrations alone pass a NAT as they are.
    made = replace(made, nat=told.truth("nat", False) and tunnel, nonces=told.nonces())
    return NodeFile(made, tunnel, told.one_of("tunnels", *TUNNELS))


def node(path: str) -> Rides:
    """The heartbeat that a mobile node's file describes."""
    from neurath.carriers.mobileip.run import away  # only who tunnels needs devices

    found = home(path)
    heartbeat = MobileIp(found.home)
    if not found.tunnel:
        return heartbeat
    following = away(heartbeat, found.tunnels)
    # A device of the kernel's outlives its process.
    atexit.register(following.close)
    return following.heartbeat


@dataclass(frozen=True, slots=True)
class New:
    """What is decided about a new node."""

    home: Address
    agent: Address
    terminal: str
    user: str
    algorithm: Algorithm = Algorithm.HMAC_SHA256
    tenant: str = "DEFAULT"
    replay: str = "time"


def pair(new: New, password: str) -> tuple[str, str]:
    """The entry of a new node for its agent's file, and the node's own file, with a fresh key. Both hold the secret that
    stands for the password: keep them as keys are kept."""
    spi, key = 256 + secrets.randbelow(1 << 31), secrets.token_hex(32)
    stands = mobileip.secret(password, new.user).hex()
    shared = f'spi = {spi}\nalgorithm = "{new.algorithm.value}"\nkey = "{key}"\nuser = "{new.user}"\nsecret = "{stands}"\n'
    shared += f'replay = "{new.replay}"\n' if new.replay != "time" else ""
    entry = f'[[node]]\nhome = "{new.home}"\nterminal = "{new.terminal}"\ntenant = "{new.tenant}"\n{shared}'
    return entry, f'home = "{new.home}"\nagent = "{new.agent}"\nlong = true\n{shared}'


# ---- reading ---------------------------------------------------------------------------------------------------------------


def _read(path: str | Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(Path(path).read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise UsageError(f"{path} is no TOML", str(fault), "docs/how-to/mobile-ip.md shows one") from None


@dataclass(frozen=True, slots=True)
class _Table:
    """One table of a file; every complaint names the file and the field."""

    path: str | Path
    told: Mapping[str, object]

    def _wrong(self, name: str, wanted: str) -> UsageError:
        found = f"it is {self.told[name]!r}"[:80] if name in self.told else "it is missing"
        return UsageError(f"{self.path}: {name} must be {wanted}", found, "docs/how-to/mobile-ip.md shows one")

    def text(self, name: str, default: str | None = None) -> str:
        value = self.told.get(name, default)
        if not isinstance(value, str) or not value:
            raise self._wrong(name, "a text")
        return value

    def number(self, name: str, default: int | None = None) -> int:
        value = self.told.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 0xFFFF_FFFF:
            raise self._wrong(name, "a number above 0")
        return value

    def truth(self, name: str, default: bool) -> bool:
        value = self.told.get(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def one_of(self, name: str, *words: str) -> str:
        """One of these words; the first where the file says nothing."""
        found = self.text(name, words[0])
        if found not in words:
            raise self._wrong(name, " or ".join(f'"{word}"' for word in dict.fromkeys(words)))
        return found

    def nonces(self) -> bool:
        return self.one_of("replay", "time", "nonce") == "nonce"

    def address(self, name: str) -> Address:
        try:
            return Address(self.text(name))
        except ValueError:
            raise self._wrong(name, "an IPv4 address") from None

    def octets(self, name: str) -> bytes:
        try:
            return bytes.fromhex(self.text(name))
        except ValueError:
            raise self._wrong(name, "hexadecimal") from None

    def security(self) -> Security:
        try:
            return Security(self.number("spi"), self.octets("key"), Algorithm(self.text("algorithm", "hmac-sha256")))
        except (ValueError, DataError):
            wanted = "spi from 256 on, key of 16 bytes or more, algorithm hmac-md5 or hmac-sha256"
            raise UsageError(f"{self.path} shares no key", wanted, "docs/how-to/mobile-ip.md shows one") from None

    def tables(self, name: str) -> list[Mapping[str, object]]:
        value = self.told.get(name, [])
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise self._wrong(name, f"[[{name}]] tables")
        return value
