"""The wire as the station sees it: identify, upload, enrol, through the SMP client library. It knows which of the library's
failures means what to the machine; it must never decide what to send."""

from __future__ import annotations

import binascii
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

from smp import error as smp_error
from smp import message as smp_message
from smp.exceptions import SMPException
from smpclient import SMPClient
from smpclient.exceptions import SMPClientException, SMPUploadError
from smpclient.generics import error
from smpclient.requests.os_management import ResetWrite
from smpclient.transport import SMPTransportDisconnected
from smpclient.transport.serial import SMPSerialTransport

from neurath.errors import DataError, LinkError, RefusedError
from neurath.flash.trust import Birth, PublicKey
from neurath.wire import smp
from neurath.wire.smp import Identity

#: Seconds to wait for one answer; the verdict of a whole bank takes longest.
ANSWER = 2.5
VERDICT = 40.0
#: Core results (docs/spec/smp.md 3) in words for people.
WHY = {
    8: "a leaf, the leaf list or the bank differs from what was signed",
    2: "it is not a restoration package for this memory map",
    3: "it does not fit this terminal",
    4: "an erase or a program failed: the memory is worn or broken",
    9: "signature, class or floor says no",
    10: "the terminal runs its software and does not take another over the wire",
}
_DAMAGED = (TimeoutError, SMPException, binascii.Error, SMPClientException)


class _ErrorV1(smp_error.ErrorV1):
    _GROUP_ID = smp.GROUP


class _ErrorV2(smp_error.ErrorV2):  # type: ignore[type-arg]  # the core's results have no enum over there
    _GROUP_ID = smp.GROUP
    err: Any


class _IdentifyAnswer(smp_message.ReadResponse):
    _GROUP_ID = smp.GROUP
    _COMMAND_ID = smp.IDENTIFY
    r: bytes


class _Identify(smp_message.ReadRequest):
    _GROUP_ID = smp.GROUP
    _COMMAND_ID = smp.IDENTIFY
    _Response: ClassVar = _IdentifyAnswer
    _ErrorV1: ClassVar = _ErrorV1
    _ErrorV2: ClassVar = _ErrorV2


class _EnrolAnswer(smp_message.WriteResponse):
    _GROUP_ID = smp.GROUP
    _COMMAND_ID = smp.ENROL


class _Enrol(smp_message.WriteRequest):
    _GROUP_ID = smp.GROUP
    _COMMAND_ID = smp.ENROL
    _Response: ClassVar = _EnrolAnswer
    _ErrorV1: ClassVar = _ErrorV1
    _ErrorV2: ClassVar = _ErrorV2
    id: str
    model: str
    vendor: bytes
    klass: bytes
    key: bytes
    release: bytes
    ticket: bytes


def _key(key: PublicKey) -> bytes:
    """A key as an enrolment carries it (docs/spec/smp.md 5)."""
    return bytes([key.alg]) + key.data


class Line:
    """One serial port. LinkError: no answer, or a damaged one (try again). ConnectionError: the port is gone."""

    def __init__(self, port: str, baud: int = 115200) -> None:
        self.port = port
        self.baud = baud
        self._client: SMPClient | None = None

    @property
    def present(self) -> bool:
        return Path(self.port).exists()

    async def open(self) -> None:
        """Opens the port and asks for the terminal's buffer size; opening it again drops what was under way."""
        await self.close()
        client = SMPClient(SMPSerialTransport(baudrate=self.baud), self.port, timeout_s=ANSWER)
        try:
            await client.connect()
        except (TimeoutError, OSError, SMPTransportDisconnected) as fault:
            raise ConnectionError(str(fault)) from None
        except (SMPException, SMPClientException, binascii.Error) as fault:
            await client.disconnect()
            raise LinkError(f"a damaged answer on {self.port}", str(fault), "check the cable and the speed") from None
        self._client = client

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

    async def upload(self, package: bytes) -> AsyncIterator[int]:
        """Sends a package and yields how far the terminal has taken it, bytes. RefusedError: it said no."""
        client = self._open_client()
        try:
            async for held in client.upload(package, first_timeout_s=VERDICT, subsequent_timeout_s=VERDICT / 4):
                yield held
        except SMPUploadError as fault:
            raise RefusedError("the terminal refused the package", str(fault), "see the record") from None
        except _DAMAGED as fault:
            raise LinkError(f"no answer on {self.port}", str(fault), "check the cable") from None
        except (SMPTransportDisconnected, OSError) as fault:
            raise ConnectionError(str(fault)) from None

    async def enrol(self, birth: Birth) -> None:
        """Writes a birth record; RefusedError where one is there already."""
        answer = await self._ask(
            _Enrol(
                id=birth.id,
                model=birth.model,
                vendor=birth.vendor,
                klass=birth.klass,
                key=birth.device_key,
                release=b"".join(_key(key) for key in birth.release),
                ticket=_key(birth.ticket) if birth.ticket else b"",
            )
        )
        if error(answer):
            raise RefusedError(
                "the terminal refused the enrolment", "it has an identity, or the record is malformed", "identify it first"
            )

    async def reset(self) -> None:
        await self._ask(ResetWrite())

    async def _ask(self, request: Any) -> Any:
        try:
            return await self._open_client().request(request)
        except _DAMAGED as fault:
            raise LinkError(f"no answer on {self.port}", str(fault), "check the cable and the speed") from None
        except (SMPTransportDisconnected, OSError) as fault:
            raise ConnectionError(str(fault)) from None

    def _open_client(self) -> SMPClient:
        if self._client is None:
            raise ConnectionError("the port is closed")
        return self._client
