"""The kernel's own tunnels (IP in IP, RFC 2003), where it has them: packets pass without this process. It knows devices,
routes and the settings that make the kernel as strict as our own tunnel; it must never lay one where the kernel would let in
what `home` would not."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from neurath.carriers.mobileip.tunnel import ip, said
from neurath.errors import RefusedError
from neurath.wire.mobileip import Address

_CONF = Path("/proc/sys/net/ipv4/conf")
_PROBE = "mipprobe"
#: The device of one care-of address, all homes of nodes there behind it.
_DEVICE = re.compile(r"\b(mip[0-9a-f]{8})@")
_LOOSE = "2"


def why_not() -> str:
    """Why the kernel's tunnels cannot be used in this network namespace; "" where they can. Leaves nothing behind."""
    if (_CONF / "all/rp_filter").read_text().strip() == _LOOSE:
        # The kernel takes the larger of a device's setting and this one: it would let in a home address from anywhere.
        return "net.ipv4.conf.all.rp_filter is 2, which lets in packets of a home address from where its node is not"
    try:
        _lay(_PROBE, Address("127.0.0.1"), Address("127.0.0.2"))
    except RefusedError as fault:
        return fault.why
    _take_away(_PROBE)
    return ""


def chosen(wanted: str) -> bool:
    """Whether to use the kernel's tunnels: `auto` wherever they can be, `kernel` or RefusedError, `user` never."""
    if wanted == "user":
        return False
    why = why_not()
    if why and wanted == "kernel":
        raise RefusedError("the kernel's tunnels cannot be used", why, 'modprobe ipip, or tunnels = "user"')
    return not why


def cleared(own: Address) -> None:
    """Takes away what an agent at this address left behind when it ended without a word."""
    for line in said("-o", "link", "show", "type", "ipip").splitlines():
        found = _DEVICE.search(line)
        if found and re.search(rf"link/ipip {re.escape(str(own))} ", line):
            _take_away(found[1])


@dataclass
class Homes:
    """A home agent's tunnels, a device for each care-of address: the kernel lets in there what comes from that address, and
    strict reverse paths let through only homes that are routed there."""

    own: Address
    _at: dict[Address, Address] = field(default_factory=dict)

    def take(self, home: Address, care_of: Address) -> str:
        """The device that leads to this home's node, laid where there is none yet."""
        device = name(care_of)
        if care_of not in self._at.values():
            _lay(device, self.own, care_of)
            _set(device, "forwarding", 1)
        before = self._at.get(home)
        self._at[home] = care_of
        if before is not None and before != care_of:
            self._unused(before)
        return device

    def give_back(self, home: Address) -> None:
        """The home's node is nowhere, or elsewhere without the kernel."""
        if (care_of := self._at.pop(home, None)) is not None:
            self._unused(care_of)

    def _unused(self, care_of: Address) -> None:
        """Takes the device away with its routes, where no home is behind it any more."""
        if care_of not in self._at.values():
            _take_away(name(care_of))


@dataclass(frozen=True, slots=True)
class Own:
    """A node's end: whatever its address is, to its home agent. Strict reverse paths let in only what is for the home address:
    that one alone has its way through the tunnel."""

    device: str
    agent: Address

    def lay(self) -> None:
        _lay(self.device, None, self.agent)

    def clear(self) -> None:
        """Takes the device away where there is one, also one that an earlier process left."""
        _take_away(self.device)


def name(care_of: Address) -> str:
    """The device of a care-of address: at most 15 characters, as the kernel wants."""
    return f"mip{care_of.packed.hex()}"


def _lay(device: str, own: Address | None, other: Address) -> None:
    ends = ("remote", other) if own is None else ("local", own, "remote", other)
    # Our outer header has a life of its own: an inner one that is nearly over still gets home.
    ip("link", "add", device, "type", "ipip", *ends, "ttl", 64)
    _set(device, "rp_filter", 1)
    ip("link", "set", device, "up")


def _take_away(device: str) -> None:
    """Harmless where somebody took it away before."""
    ip("link", "del", device, "type", "ipip", check=False)


def _set(device: str, key: str, value: int) -> None:
    (_CONF / device / key).write_text(str(value))
