"""What a terminal keeps for OSCORE: its keys in memory, and in a file how far its sequence numbers may have come. It knows one
file for each pair of keys; it must never give a number out twice, whatever was cut."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from neurath.carriers.datagram import Request
from neurath.disk import write_whole
from neurath.errors import DataError
from neurath.wire import oscore
from neurath.wire.coap import Code, Message
from neurath.wire.oscore import Asked, Keys

#: Numbers that one write of the file is good for; so many are lost with each restart.
STEP = 256
_open: dict[Path, Numbers] = {}
_lock = threading.Lock()


@dataclass(slots=True)
class Numbers:
    """The numbers of one file, for all who send under its keys."""

    path: Path
    _left: Iterator[tuple[int, int]] | None = None
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> int:
        """The next one; the bound is on the medium before the first beyond the last bound goes out."""
        with self._guard:
            if self._left is None:
                self._left = oscore.reserved(self._kept(), STEP)
            number, bound = next(self._left, (oscore.MOST + 1, 0))
            if bound:
                write_whole(self.path, f"{bound}\n".encode())
            return number

    def _kept(self) -> int:
        try:
            text = self.path.read_text().strip()
        except FileNotFoundError:
            return 0
        if not (text.isascii() and text.isdigit() and int(text) <= oscore.MOST + STEP):
            why = "without it numbers would come twice"
            raise DataError(f"{self.path} is damaged", why, "give the terminal a new token, and delete the file", id="NRT-207")
        return int(text)


@dataclass(frozen=True, slots=True)
class Shield:
    """Protects requests of one terminal, and opens their answers."""

    keys: Keys
    numbers: Numbers

    def protect(self, request: Request) -> tuple[Request, Asked]:
        outer, asked = oscore.protect(self.keys, request.code, request.options, request.payload, self.numbers.take())
        return replace(request, code=Code(outer.code), options=outer.options, payload=outer.payload), asked

    def unprotect(self, answer: Message, asked: Asked) -> Message:
        return oscore.unprotect(self.keys, answer, asked)

    def fresh(self, request: Request, answer: Message) -> Request | None:
        """The request once more, where the server asks whether it is fresh: it has forgotten what it heard (RFC 9175)."""
        echo = answer.all(oscore.ECHO)
        if answer.code != Code.UNAUTHORIZED or len(echo) != 1 or any(number == oscore.ECHO for number, _ in request.options):
            return None
        return replace(request, options=oscore.with_echo(request.options, echo[0]))


def shield(folder: str, terminal: str, tenant: str, token: str) -> Shield:
    """The shield of a terminal whose state lies in this folder: a file for each token, for its numbers are that token's."""
    secret = oscore.master(token)
    path = Path(folder) / f"oscore-{oscore.name_of(secret)}"
    with _lock:
        numbers = _open.setdefault(path, Numbers(path))
    context = oscore.context_of(terminal, tenant)
    return Shield(oscore.derive(secret, oscore.SALT, oscore.CLIENT, oscore.SERVER, context), numbers)
