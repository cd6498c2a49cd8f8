"""Which DHCP clients are terminals of ours: by hardware address, by class, or by the port that a relay names. It knows the
site's list; it must never take a packet of anybody else, nor of a machine that boots over the network."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Any

from neurath.errors import DataError, UsageError
from neurath.ids import checked_name
from neurath.wire.dhcp import Code, Message, Sub, subs

#: Bytes of an option that every stock client hands on whole; dhcpcd takes 511, udhcpc less by its own option 57.
ROOM = 504
#: No packet has more for it.
MOST_ROOM = 1200
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_KEYS = {"terminal", "mac", "class", "circuit", "room"}
#: Boot loaders name themselves so (option 60); they are nobody's terminal.
_BOOTING = (b"PXEClient", b"HTTPClient")


@dataclass(frozen=True, slots=True)
class Client:
    """One line of the list. `terminal` may hold {mac} (digits without colons), so that one line stands for many. Where
    several of `mac`, `klass` and `circuit` are given all have to fit. `room`: bytes that a piece's option may have."""

    terminal: str
    mac: bytes = b""
    klass: str = ""
    circuit: str = ""
    room: int = ROOM

    def name(self, chaddr: bytes) -> str:
        return self.terminal.replace("{mac}", chaddr.hex())

    def fits(self, chaddr: bytes, klass: bytes, circuit: bytes) -> bool:
        return (
            (not self.mac or self.mac == chaddr)
            and (not self.klass or self.klass.encode() == klass)
            and (not self.circuit or self.circuit.encode() == circuit)
        )


@dataclass(frozen=True, slots=True)
class Clients:
    """The list. A line with an address goes before one without."""

    every: tuple[Client, ...] = ()

    def of(self, message: Message) -> Client | None:
        """The line a client's packet falls under; None: it is not to be touched. DataError where it is malformed."""
        chaddr = message.chaddr
        klass = message.get(Code.CLASS) or b""
        if message.type is None or len(chaddr) != 6 or klass.startswith(_BOOTING):
            return None
        circuit = dict(subs(message.get(Code.RELAY) or b"")).get(Sub.CIRCUIT, b"")
        found = [one for one in self.every if one.fits(chaddr, klass, circuit)]
        return max(found, key=lambda one: bool(one.mac), default=None)


NOBODY = Clients()


def read(text: str) -> Clients:
    """The list from its TOML, `[[client]]` tables; UsageError names what is wrong."""
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise _wrong(str(fault)) from None
    rows = given.pop("client", [])
    if given:
        raise _wrong("only [[client]] tables stand here")
    return listed(rows)


def listed(rows: object) -> Clients:
    """The list from its rows."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _wrong("only [[client]] tables stand here")
    return Clients(tuple(_client(row) for row in rows))


def _client(row: dict[str, Any]) -> Client:
    terminal, mac = row.get("terminal"), row.get("mac", "")
    klass, circuit, room = row.get("class", ""), row.get("circuit", ""), row.get("room", ROOM)
    if set(row) - _KEYS or not all(isinstance(text, str) for text in (terminal, mac, klass, circuit)):
        raise _wrong(f"{row}: terminal, mac, class, circuit are texts, room a number")
    if type(room) is not int or not 8 <= room <= MOST_ROOM:
        raise _wrong(f"room {room!r} of {terminal}: 8 to 1200 bytes")
    if not (mac or klass or circuit) or (mac and not _MAC.fullmatch(mac.lower())):
        raise _wrong(f'{terminal}: mac = "52:54:00:12:34:56", class or circuit says who it is')
    made = Client(str(terminal), bytes.fromhex(mac.replace(":", "")), klass, circuit, room)
    try:
        checked_name(made.name(bytes(6)), "terminal id")
    except DataError as fault:
        raise _wrong(f"{fault.what}: {fault.why}") from None
    if not mac and "{mac}" not in made.terminal and klass:
        raise _wrong(f"{terminal}: a class stands for many clients, so its terminal needs {{mac}} in its name")
    return made


def _wrong(why: str) -> UsageError:
    return UsageError("the list of clients cannot be used", why, '[[client]] terminal = "T-1" mac = "52:54:00:12:34:56"')
