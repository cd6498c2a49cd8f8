"""How a relay or a small DHCP server is set up: by a file, by words of the command line, or by both. It knows what may be said
together; it must never open anything."""

from __future__ import annotations

import dataclasses
import ipaddress
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neurath.carriers.dhcp import clients, standalone
from neurath.carriers.dhcp.clients import Clients
from neurath.carriers.dhcp.relay import Site
from neurath.carriers.dhcp.runner import Relay, Word
from neurath.carriers.dhcp.slots import Own, Slot, Vendor
from neurath.carriers.dhcp.sockets import address_of
from neurath.errors import RefusedError, UsageError

_STATE, _PIECE = 224, 225


@dataclass(frozen=True, slots=True)
class Setup:
    """One relay (`relay_to`) or server (`pool`). `enterprise` 0: the option codes count; `keep`: where it writes down who
    comes here, and its leases."""

    interface: str = ""
    relay_to: tuple[str, ...] = ()
    pool: str = ""
    lease: int = 3600
    renew: int = 0
    router: str = ""
    state_option: int = _STATE
    piece_option: int = _PIECE
    enterprise: int = 0
    keep: Path | None = None
    clients: Clients = clients.NOBODY
    observe: bool = False
    drain: bool = False

    def check(self) -> None:
        """UsageError for what cannot be meant, RefusedError where draining is not known to be possible."""
        if not self.interface:
            raise UsageError("which interface?", "the one on the clients' side", "--interface eth1")
        if bool(self.pool) == bool(self.relay_to):
            raise UsageError(
                "either --relay-to or --pool is needed", "a relay needs a server, a server a pool", "--relay-to 10.0.0.1"
            )
        self.slot()
        if self.pool:
            self._check_pool()
        if self.observe and self.drain:
            raise UsageError("--observe and --drain exclude each other", "one changes nothing, one gives back", "--drain")
        if self.drain and (self.keep is None or not (self.keep / "pointing").exists()):
            raise RefusedError(
                "it is not known who still comes here",
                "only a relay that ran with --keep has written it down",
                "--keep DIR of that relay",
            )

    def _check_pool(self) -> None:
        if not (1 <= self.lease < 1 << 32 and 0 <= self.renew <= self.lease):
            raise UsageError("this lease makes no sense", f"{self.lease} s, renewed after {self.renew}", "--lease 3600")
        if self.observe or self.drain:
            raise UsageError(
                "--observe and --drain are a relay's", "a server with a pool has nobody to give back to", "--relay-to"
            )

    def slot(self) -> Slot:
        """Where state and pieces stand."""
        if not self.enterprise:
            return Own(self.state_option, self.piece_option)
        if (self.state_option, self.piece_option) != (_STATE, _PIECE):
            raise UsageError(
                "option codes and an enterprise number exclude each other", "pieces stand in one place", "--enterprise 32473"
            )
        return Vendor(self.enterprise)

    def word(self, *, dry: bool = False) -> tuple[bytes, Word]:
        """The interface's address, and what is said to each packet that comes to it. `dry`: nothing will be written."""
        address, network = address_of(self.interface)
        if self.pool:
            given = standalone.pool(self.pool, address, network)
            router = _address(self.router) if self.router else b""
            given = dataclasses.replace(given, lease=self.lease, renew=self.renew or self.lease // 2, router=router)
            leases = standalone.Leases(None if self.keep is None or dry else self.keep / "leases.json")
            return address, standalone.Standalone(given, self.clients, leases, self.slot())
        servers = tuple(_address(one) for one in self.relay_to)
        site = Site(address, network, servers, self.clients, slot=self.slot(), observe=self.observe, drain=self.drain)
        return address, Relay(site)


def _address(text: str) -> bytes:
    try:
        return ipaddress.IPv4Address(text).packed
    except ValueError:
        raise UsageError(f"{text[:40]!r} is no IPv4 address", "", "--relay-to 10.0.0.1") from None


#: Keys of a file -> the type of their values.
_KEYS: Mapping[str, type] = {
    "interface": str, "relay-to": list, "pool": str, "lease": int, "renew": int, "router": str, "state-option": int,
    "piece-option": int, "enterprise": int, "keep": str, "observe": bool, "client": list,
}  # fmt: skip


def read(path: Path) -> Setup:
    """A file's setup: the long options' names as keys, and `[[client]]` tables; UsageError names what is wrong."""
    try:
        told = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise _wrong(path, str(fault)) from None
    for key, value in told.items():
        if key not in _KEYS:
            raise _wrong(path, f"{key} is not known: {', '.join(_KEYS)} are")
        if type(value) is not _KEYS[key]:
            raise _wrong(path, f"{key} is {value!r}")
    words = {key.replace("-", "_"): value for key, value in told.items() if key != "client"}
    servers = words.pop("relay_to", [])
    if not all(isinstance(one, str) for one in servers):
        raise _wrong(path, f"relay-to is {servers!r}")
    keep = words.pop("keep", "")
    found = clients.listed(told.get("client", []))
    return Setup(**words, relay_to=tuple(servers), keep=Path(keep) if keep else None, clients=found)


def _wrong(path: Path, why: str) -> UsageError:
    return UsageError(f"{path} cannot be used", why, 'interface = "eth1" relay-to = ["10.0.0.1"] [[client]] ...')
