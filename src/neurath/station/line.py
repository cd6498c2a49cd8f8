"""The wire as the station sees it: identify, upload, enrol, through the SMP client library. It knows which of the library's
failures means what to the machine; it must never decide what to send."""

from __future__ import annotations

import binascii
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

from smp import error as smp_error
from smp import message as smp_message
from smp.exceptions import SMPException
from smpclient import SMPClient
from smpclient.exceptions import SMPClientException
from smpclient.generics import error
from smpclient.requests.image_management import ImageUploadWrite
from smpclient.requests.os_management import ResetWrite
from smpclient.transport import SMPTransportDisconnected
from smpclient.transport.serial import Auto, BufferSize, SMPSerialTransport

from neurath.errors import DataError, LinkError, RefusedError
from neurath.flash.results import Result
from neurath.flash.trust import Birth, PublicKey
from neurath.wire import enrolment, smp
from neurath.wire.smp import Identity

#: Seconds to wait for an answer; the verdict of a whole bank takes longest. Within an upload the measured pace decides,
#: between QUICK and SLOW (the erase of a large sector).
ANSWER = 2.5
VERDICT = 40.0
#: The same of a file for what a cut left: the whole rewrite lies before the last answer.
REWRITE = 120.0
#: The same of a list of keys: up to ten signatures are checked before its last answer.
ANSWERED = 20.0
QUICK = 1.0
SLOW = 10.0
#: Times in a row that one piece is sent again before the machine is told.
AGAIN = 6
#: Every terminal takes frames of this many bytes; shorter than that the first one cannot be.
LEAST_BUFFER = 512
SHORTEST = 192
#: Why the core refuses (docs/spec/smp.md 3), in words for people.
WHY = {
    Result.ARG: "it was sent more than was announced",
    Result.FORMAT: "it is not a restoration package for this memory map",
    Result.SPACE: "it does not fit this terminal",
    Result.FLASH: "an erase or a program failed: the memory is worn or broken",
    Result.TORN: "its memory cannot be read: worn or broken",
    Result.GONE: "the file reads what the bank no longer holds",
    Result.DIGEST: "a leaf, the leaf list or the bank differs from what was signed",
    Result.BASE: "the bank does not hold what the file was made for",
    Result.TRUST: "signature, class or floor says no",
    Result.STATE: "the terminal runs its software and does not take another over the wire",
    Result.BOUND: "the file asks for more than its size allows",
    Result.READ: "what was sent could not be read again",
}
#: The library logs every lost frame; the machine tells the technician what it means.
logging.getLogger("smpclient").setLevel(logging.CRITICAL)
_DAMAGED = (TimeoutError, SMPException, binascii.Error, SMPClientException)


class _ErrorV1(smp_error.ErrorV1):
    _GROUP_ID = smp.GROUP


class _ErrorV2(smp_error.ErrorV2):  # type: ignore[type-arg]  # the core's results have no enum over there
    _GROUP_ID = smp.GROUP
    err: Any


class _Read(smp_message.ReadRequest):
    """What every question of ours says of itself."""

    _GROUP_ID = smp.GROUP
    _ErrorV1: ClassVar = _ErrorV1
    _ErrorV2: ClassVar = _ErrorV2


class _Write(smp_message.WriteRequest):
    """The same of everything that is sent."""

    _GROUP_ID = smp.GROUP
    _ErrorV1: ClassVar = _ErrorV1
    _ErrorV2: ClassVar = _ErrorV2


class _ReadAnswer(smp_message.ReadResponse):
    _GROUP_ID = smp.GROUP


class _WriteAnswer(smp_message.WriteResponse):
    _GROUP_ID = smp.GROUP


class _Piece(_Write):
    """A piece of what comes in several; the first one says how long all of it is, and its digest."""

    off: int
    data: bytes
    len: int | None = None
    sha: bytes | None = None


class _PieceAnswer(_WriteAnswer):
    off: int


class _IdentifyAnswer(_ReadAnswer):
    _COMMAND_ID = smp.IDENTIFY
    r: bytes


class _Identify(_Read):
    _COMMAND_ID = smp.IDENTIFY
    _Response: ClassVar = _IdentifyAnswer


class _EnrolAnswer(_WriteAnswer):
    _COMMAND_ID = smp.ENROL


class _Enrol(_Write):
    _COMMAND_ID = smp.ENROL
    _Response: ClassVar = _EnrolAnswer
    id: str
    model: str
    vendor: bytes
    klass: bytes
    key: bytes | None = None
    release: bytes
    ticket: bytes
    salt: bytes | None = None
    root: bytes | None = None


class _KnownAnswer(_ReadAnswer):
    _COMMAND_ID = smp.ENROL
    key: bytes
    token: bytes


class _Known(_Read):
    _COMMAND_ID = smp.ENROL
    _Response: ClassVar = _KnownAnswer


class _AidAnswer(_PieceAnswer):
    _COMMAND_ID = smp.AID


class _Aid(_Piece):
    _COMMAND_ID = smp.AID
    _Response: ClassVar = _AidAnswer


class _HeldAnswer(_ReadAnswer):
    _COMMAND_ID = smp.AID
    r: bytes


class _Held(_Read):
    _COMMAND_ID = smp.AID
    _Response: ClassVar = _HeldAnswer


class _ListAnswer(_PieceAnswer):
    _COMMAND_ID = smp.KEYS


class _List(_Piece):
    _COMMAND_ID = smp.KEYS
    _Response: ClassVar = _ListAnswer


class _BelievesAnswer(_ReadAnswer):
    _COMMAND_ID = smp.KEYS
    root: bytes
    list: int
    least: int


class _Believes(_Read):
    _COMMAND_ID = smp.KEYS
    _Response: ClassVar = _BelievesAnswer


class Sent(Enum):
    """What an upload is: a package, the file for what a cut left, or a list of keys."""

    PACKAGE = 1
    AID = 2
    LIST = 3


@dataclass(frozen=True, slots=True)
class _Whole:
    """What is uploaded."""

    data: bytes
    sha: bytes
    what: Sent


class Line:
    """One serial port. LinkError: no answer, or a damaged one (try again). ConnectionError: the port is gone."""

    def __init__(self, port: str, baud: int = 115200) -> None:
        self.port = port
        self.baud = baud
        self._frame = 0
        self._client: SMPClient | None = None

    @property
    def present(self) -> bool:
        return Path(self.port).exists()

    async def open(self) -> None:
        """Opens the port and asks for the terminal's buffer size; opening it again drops what was under way."""
        await self.close()
        strategy = BufferSize(self._frame) if self._frame else Auto()
        transport = SMPSerialTransport(strategy, baudrate=self.baud)
        client = SMPClient(transport, self.port, timeout_s=ANSWER)
        try:
            if self._frame:
                await transport.connect(self.port, ANSWER)  # its buffer size is known or does not matter
            else:
                await client.connect()
        except (TimeoutError, OSError, SMPTransportDisconnected) as fault:
            raise ConnectionError(str(fault)) from None
        except (SMPException, SMPClientException, binascii.Error) as fault:
            await client.disconnect()
            raise LinkError(f"a damaged answer on {self.port}", str(fault), "check the cable and the speed") from None
        self._client = client

    def shorten(self) -> None:
        """The line is noisy: shorter frames from the next opening on, so that more of them come through whole."""
        self._frame = max(SHORTEST, (self._frame or 2 * LEAST_BUFFER) // 2)

    def lengthen(self) -> None:
        """Another terminal: the longest frame it can take is asked for again."""
        self._frame = 0

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.disconnect()

    async def identity(self) -> Identity:
        """What the terminal says about itself; LinkError when it does not answer."""
        answer = await self._ask(_Identify())
        try:
            return smp.decode(answer.r)
        except (DataError, AttributeError) as fault:
            raise LinkError(f"the device on {self.port} is no terminal of ours", str(fault), "check the cable") from None

    async def held(self) -> bytes:
        """What the bank of a terminal in mid-rewrite holds (docs/spec/rescue.md 2); RefusedError where it takes packages only,
        or no plan is open."""
        answer = await self._ask(_Held(), VERDICT)
        if error(answer):
            raise RefusedError("the terminal does not say what its bank holds", str(answer), "send it the package")
        return bytes(answer.r)

    async def believes(self) -> tuple[bytes, int, int]:
        """Digest of the roots whose lists of keys the terminal takes, the number of the last one since its power came, and
        that below which no list counts; RefusedError where it takes none."""
        answer = await self._ask(_Believes())
        if error(answer):
            raise RefusedError("the terminal takes no lists of keys", str(answer), "send it the package")
        return bytes(answer.root), int(answer.list), int(answer.least)

    async def upload(self, package: bytes, what: Sent = Sent.PACKAGE) -> AsyncIterator[int]:
        """Sends a package, a file made for what the bank holds, or a list of keys, and yields how far the terminal has taken
        it, bytes. RefusedError: it said no. A frame without an answer is sent again, some times, in shorter pieces."""
        off, slowest, lost, whole = -1, 0.0, 0, _Whole(package, sha256(package).digest(), what)
        while off != len(package):
            begun = time.monotonic()
            try:
                answer = await self._piece(whole, off, min(max(4 * slowest, QUICK), SLOW) if slowest else SLOW)
            except LinkError:
                lost += 1
                if lost > AGAIN:
                    raise
                self.shorten()
                with contextlib.suppress(LinkError):
                    await self.open()
                continue
            lost, slowest = 0, max(slowest, time.monotonic() - begun)
            if error(answer) or answer.off is None:
                raise RefusedError("the terminal refused the package", str(answer), "see the record")
            off = int(answer.off)
            yield off

    async def _piece(self, whole: _Whole, off: int, timeout: float) -> Any:
        """One request of an upload; off -1: the first, which names the whole."""
        names: dict[str, Any] = {"len": len(whole.data), "sha": whole.sha} if off <= 0 else {}
        image: dict[str, Any] = {"image": 0} if off <= 0 else {}
        at = max(off, 0)
        room = self._open_client().get_max_cbor_and_data_size(ImageUploadWrite(off=at, data=b"", **names, **image))[1]
        # The judge reads the whole bank before the last answer.
        ends = at + room >= len(whole.data)
        data = whole.data[at : at + room]
        if whole.what is Sent.AID:
            return await self._ask(_Aid(off=at, data=data, **names), REWRITE if ends else timeout)
        if whole.what is Sent.LIST:
            return await self._ask(_List(off=at, data=data, **names), ANSWERED if ends else timeout)
        return await self._ask(ImageUploadWrite(off=at, data=data, **names, **image), VERDICT if ends else timeout)

    async def enrol(self, birth: Birth, salt: bytes = b"") -> None:
        """Writes a birth record; RefusedError where one is there already. With `salt`, 32 random bytes, the terminal makes its
        key itself, and the record's is not sent."""
        answer = await self._ask(
            _Enrol(
                id=birth.id,
                model=birth.model,
                vendor=birth.vendor,
                klass=birth.klass,
                key=None if salt else birth.device_key,
                release=b"".join(enrolment.bytes_of(key) for key in birth.release),
                ticket=enrolment.bytes_of(birth.ticket) if birth.ticket else b"",
                salt=salt or None,
                root=birth.root or None,
            )
        )
        if error(answer):
            why = "it has an identity, the record is malformed, or it cannot make a key"
            raise RefusedError("the terminal refused the enrolment", why, "identify it first")

    async def known(self) -> tuple[PublicKey, bytes]:
        """The public half of the terminal's key, and the SHA-256 of its token; RefusedError where it makes no keys."""
        answer = await self._ask(_Known())
        if error(answer):
            raise RefusedError(
                "the terminal names no key", "it has no name yet, or cannot make a key", "neurath station enrol"
            )
        try:
            return enrolment.key_of(answer.key.hex()), bytes(answer.token)
        except DataError as fault:
            raise LinkError(f"a damaged answer on {self.port}", fault.what, "the same again") from None

    async def reset(self) -> None:
        await self._ask(ResetWrite())

    async def _ask(self, request: Any, timeout: float | None = None) -> Any:
        try:
            return await self._open_client().request(request, timeout)
        except _DAMAGED as fault:
            raise LinkError(f"no answer on {self.port}", str(fault), "check the cable and the speed") from None
        except (SMPTransportDisconnected, OSError) as fault:
            raise ConnectionError(str(fault)) from None

    def _open_client(self) -> SMPClient:
        if self._client is None:
            raise ConnectionError("the port is closed")
        return self._client
