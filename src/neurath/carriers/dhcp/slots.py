"""Where a terminal's state and what rides stand in DHCP packets: in two options of the site-specific range (224 to 254), or at
sites that forbid those, under one enterprise number in the options that vendors share (124 and 125, RFC 3925). It knows
options; it must never take or change what another vendor put there. Spec: docs/spec/dhcp.md 1."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from neurath.errors import UsageError
from neurath.wire import dhcp
from neurath.wire.dhcp import Code, Message

#: Sub-options under the enterprise number: a request's download state, what rides on an answer.
STATE, PIECE = 1, 2
#: Bytes of an entry around its value: number, length, and the sub-option's code and length.
_AROUND = 7
#: The longest value: ISC dhclient 4.4.3 finds no entry that goes over into a second part of the option.
LONGEST = 255 - _AROUND


class Slot(Protocol):
    """A place for both. Each raises DataError where what stands there is malformed."""

    def state(self, message: Message) -> bytes | None:
        """A request's download state."""
        ...

    def wanted(self, message: Message) -> bool:
        """Whether a request asks for what rides."""
        ...

    def piece(self, message: Message) -> bytes | None:
        """What rides on an answer; None: this place is free."""
        ...

    def room(self, left: int) -> int:
        """How long a value may be where the packet may grow by `left` bytes."""
        ...

    def put(self, message: Message, value: bytes) -> Message: ...

    def words(self, state: bytes) -> list[tuple[int, bytes]]:
        """The options of a request of our own that carry its state and ask for what rides; the list (55) stands first."""
        ...

    def taken(self, message: Message) -> str:
        """What of this place a packet that is none of ours uses; "" nothing."""
        ...


_ASKED = (Code.MASK, Code.ROUTER, Code.LEASE, Code.SERVER, Code.RENEW, Code.REBIND)


@dataclass(frozen=True, slots=True)
class Own:
    """Two options of the site's own range."""

    state_code: int = 224
    piece_code: int = 225

    def __post_init__(self) -> None:
        codes = (self.state_code, self.piece_code)
        if len(set(codes)) != 2 or not all(224 <= code <= 254 for code in codes):
            raise UsageError(
                "these option codes cannot be used", f"{codes}: two of 224 to 254 (site-specific)", "--piece-option 225"
            )

    def state(self, message: Message) -> bytes | None:
        return message.get(self.state_code)

    def wanted(self, message: Message) -> bool:
        return self.piece_code in (message.get(Code.WANTED) or b"") or self.state(message) is not None

    def piece(self, message: Message) -> bytes | None:
        return message.get(self.piece_code)

    def room(self, left: int) -> int:
        return dhcp.fits(left)

    def put(self, message: Message, value: bytes) -> Message:
        return message.with_(self.piece_code, value)

    def words(self, state: bytes) -> list[tuple[int, bytes]]:
        return [(Code.WANTED, bytes((*_ASKED, self.piece_code))), (self.state_code, state)]

    def taken(self, message: Message) -> str:
        wanted = message.get(Code.WANTED) or b""
        used = [code for code in (self.state_code, self.piece_code) if code in wanted or message.get(code) is not None]
        return f"option {used[0]}" if used else ""


#: Where nothing else is said.
USUAL = Own()


@dataclass(frozen=True, slots=True)
class Vendor:
    """One enterprise number's entry in option 125: what others have there stays as it is."""

    enterprise: int

    def __post_init__(self) -> None:
        if not 0 < self.enterprise < 1 << 32:
            raise UsageError(f"no enterprise number {self.enterprise}", "1 to 4294967295 (IANA's list)", "--enterprise 32473")

    def state(self, message: Message) -> bytes | None:
        return dict(self._subs(message)).get(STATE)

    def wanted(self, message: Message) -> bool:
        """Option 125 is in its list, or it says by 124 that it is of this enterprise, or it carries a state."""
        if Code.VENDOR in (message.get(Code.WANTED) or b"") or self.state(message) is not None:
            return True
        return any(number == self.enterprise for number, _ in dhcp.vendors(message.get(Code.VENDOR_CLASS) or b""))

    def piece(self, message: Message) -> bytes | None:
        """The value of the one sub-option; b"" where the entry is somebody else's use of the number."""
        if self._entry(message) is None:
            return None
        return dict(self._subs(message)).get(PIECE, b"")

    def room(self, left: int) -> int:
        return max(0, min(LONGEST, left - _AROUND - 2))

    def put(self, message: Message, value: bytes) -> Message:
        """A part of its own at the end, so that those of others stay as they stand."""
        entry = dhcp.vendors_to(((self.enterprise, dhcp.subs_to(((PIECE, value),))),))
        return replace(message, options=(*message.options, (int(Code.VENDOR), entry)))

    def words(self, state: bytes) -> list[tuple[int, bytes]]:
        entry = dhcp.vendors_to(((self.enterprise, dhcp.subs_to(((STATE, state),))),))
        return [(Code.WANTED, bytes((*_ASKED, Code.VENDOR))), (Code.VENDOR, entry)]

    def taken(self, message: Message) -> str:
        numbers = {number for code in (Code.VENDOR_CLASS, Code.VENDOR) for number, _ in dhcp.vendors(message.get(code) or b"")}
        return f"enterprise {self.enterprise}" if self.enterprise in numbers else ""

    def _entry(self, message: Message) -> bytes | None:
        return dict(dhcp.vendors(message.get(Code.VENDOR) or b"")).get(self.enterprise)

    def _subs(self, message: Message) -> dhcp.Subs:
        return dhcp.subs(self._entry(message) or b"")
