"""hawkBit DDI over HTTP, the client's side: configData, base poll, deployment, feedback, artifact by Range, and the rescue
route by digest. It knows one server's address and one terminal's token; it must never wait for ever, nor hand on a byte that
does not lie where it was asked for. Spec: docs/spec/ddi.md."""

from __future__ import annotations

import base64
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from neurath.carriers import tls
from neurath.carriers.base import Answer, Descriptor
from neurath.carriers.http1 import Broken, Connection, Gone, Response
from neurath.errors import DataError, LinkError, NeurathError, NotFound, RefusedError, UsageError
from neurath.wire import check as checks
from neurath.wire import ddi
from neurath.wire import report as reports
from neurath.wire.check import Check
from neurath.wire.report import Report

if TYPE_CHECKING:
    from neurath.carriers.signing import Signing

#: Absolute limits in seconds: a message whole, and a transfer: this much plus its bytes at SLOWEST bytes a second.
MESSAGE_LIMIT = 15.0
TRANSFER_LIMIT = 30.0
SLOWEST = 100
_CHUNK = 4096
#: A request is signed anew so often at the most.
SIGNED_TRIES = 3
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server is and who asks."""

    url: str
    terminal: str
    token: str = ""
    tenant: str = "DEFAULT"
    message_limit: float = MESSAGE_LIMIT
    transfer_limit: float = TRANSFER_LIMIT
    ca: str = ""  # a file of certificates that vouch for the server; "": those of the system
    oscore: str = ""  # CoAP: a folder for sequence numbers, and messages are protected; "": they are not
    narrow: bool = False  # CoAP: messages carry a tag and no token
    proxy: str = ""  # http://HOST:PORT of a proxy; "": none
    signed_at: Callable[[], float] = tls.never  # when the list of keys was signed that it goes by (docs/decisions/0432)
    device_key: bytes = field(default=b"", repr=False)  # its seed, where requests are signed with it; no token is sent then

    def credentials(
        self, method: str, target: str, body: bytes | None, scheme: str = "TargetToken"
    ) -> tuple[dict[str, str], str]:
        """The headers that show who asks, and the word that a signature was made under."""
        if self.device_key:
            made = self._signing().headers(method, target, body)
            return made.fields, made.epoch
        return ({"Authorization": f"{scheme} {self.token}"} if self.token else {}), ""

    def again(self, answer: Response, used: str) -> bool:
        """Whether the server asks for the same, signed under another word."""
        told = answer.getheader("Accept-Signature") if answer.status == 401 and used else ""
        return bool(told) and self._signing().again(used, told)

    def _signing(self) -> Signing:
        from neurath.carriers.signing import signing

        return signing(self.device_key)


def connection(place: Place, timeout: float) -> Connection:
    """A connection to the server, not opened yet; through the proxy by CONNECT, where there is one."""
    parts, proxy = urlsplit(place.url), urlsplit(place.proxy)
    secure = tls.trusted(place.ca, place.signed_at()) if parts.scheme == "https" else None
    to = (parts.hostname or "", parts.port or (80 if secure is None else 443))
    if not place.proxy:
        return Connection(to, timeout, secure)
    return Connection((proxy.hostname or "", proxy.port or 80), timeout, secure, (*to, _proxy_login(proxy)))


def _proxy_login(proxy: SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    words = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    return {"Proxy-Authorization": "Basic " + base64.b64encode(words).decode()}


class Http:
    """One terminal's link to one server: a kept connection, opened when needed."""

    descriptor = Descriptor("http", 0, "dynamic", True, False)
    #: What the token is shown as.
    scheme = "TargetToken"

    def __init__(self, place: Place) -> None:
        parts = urlsplit(place.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{place.url!r} is no server address", "http://HOST:PORT is", "--server http://127.0.0.1:8642")
        self._place = place
        self._parts = parts
        self._base = ddi.base_path(place.tenant, place.terminal)
        self._link: Connection | None = None
        self._socket: socket.socket | None = None
        self._files: dict[bytes, str] = {}
        self._about = ""
        #: Reports that the server took.
        self.taken = 0

    def check(self, check: Check) -> Answer:
        attributes = ddi.attributes_to(ddi.Attributes(checks.to_attributes(check)))
        self._message("PUT", f"{self._base}/configData", attributes)
        # Which component it is about: one whose user is asked, say, must not hide what there is for another.
        self._about = f"?component={quote(check.component)}"
        poll = ddi.poll_from(self._message("GET", self._base + self._about))
        again = float(poll.sleep)
        if not poll.deployment:
            return Answer(None, again)
        found = ddi.offered(ddi.deployment_from(self._message("GET", poll.deployment)))
        if found is None:
            return Answer(None, again)
        offer, artifact = found
        self._files = {offer.file: artifact.href}
        return Answer(offer, again)

    def report(self, report: Report) -> None:
        path = f"{self._base}/deploymentBase/{report.action}/feedback"
        try:
            self._message("POST", path, reports.to_feedback(report))
        except NotFound:
            # The server has closed or forgotten the action: there is nobody left to tell.
            return
        self.taken += 1

    def fetch(self, file: bytes, offset: int, length: int) -> Iterator[bytes]:
        if file not in self._files:
            raise NotFound("this file was not offered", file.hex()[:16], "check in again")
        return self._range(self._files[file], offset, length)

    def fetch_by_digest(self, file: bytes, offset: int, length: int) -> Iterator[bytes]:
        return self._range(f"/{self._place.tenant}/neurath/v1/file/{file[:16].hex()}", offset, length)

    def rescue(self, question: bytes) -> bytes | None:
        """The answer to what a terminal that cannot boot asks; None: its file is being built."""
        path = f"/{self._place.tenant}/neurath/v1/rescue/{quote(self._place.terminal, safe='')}"
        return self._exchange("POST", path, {"Content-Type": "application/octet-stream"}, question) or None

    def key_list(self, version: int) -> bytes:
        return self._exchange("GET", f"/{self._place.tenant}/neurath/v1/keys/{version}", {}, None)

    def still_wanted(self, action: str) -> bool:
        poll = ddi.poll_from(self._message("GET", self._base + self._about))
        return not poll.cancel and f"/deploymentBase/{action}" in poll.deployment.partition("?")[0] + "/"

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = self._socket = None

    def _message(self, method: str, path: str, document: object = None) -> object:
        """One request with a JSON answer; None where the answer is empty."""
        body = None if document is None else json.dumps(document).encode()
        headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if body else {})
        data = self._exchange(method, path, headers, body)
        return ddi.parse(data) if data else None

    def _exchange(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> bytes:
        """One request and the body of its answer, whole."""
        with self._deadline(self._place.message_limit, method):
            answer = self._ask(method, path, headers, body)
            data = answer.read(ddi.MAX_DOCUMENT + 1)
            if answer.length or (method == "GET" and answer.status == 200 and not data):
                raise Broken(f"{answer.length or 'some'} bytes of the answer are missing")
            if answer.will_close:
                self.close()
        _refuse(answer, data, path)
        return data

    def _range(self, path: str, offset: int, length: int) -> Iterator[bytes]:
        """The asked bytes as they arrive; a server that ignores Range is read from the start."""
        limit = self._place.transfer_limit + length / SLOWEST
        with self._deadline(limit, "GET"):
            answer = self._ask("GET", path, {"Range": f"bytes={offset}-{offset + length - 1}"}, None)
            if answer.status >= 300:
                _refuse(answer, answer.read(_CHUNK), path)
            skip = _skip(answer, offset)
            left = length
            while left:
                data = answer.read1(_CHUNK)
                if not data:
                    raise LinkError("the server stopped in mid-file", f"{left} bytes are missing", "it is tried again")
                data, skip = data[skip:], max(0, skip - len(data))
                if data:
                    yield data[:left]
                    left -= min(left, len(data))
            if not answer.isclosed() or answer.will_close:
                self.close()

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> Response:
        url = urlsplit(urljoin(f"{self._parts.scheme}://{self._parts.netloc}{path if path.startswith('/') else '/'}", path))
        if url.netloc != self._parts.netloc:
            raise RefusedError("the server points elsewhere", url.netloc, "files are fetched from the server itself")
        target = url.path + (f"?{url.query}" if url.query else "")
        answer, used = self._answer(method, target, headers, body)
        for _ in range(SIGNED_TRIES):
            if not self._place.again(answer, used):
                break
            if len(answer.read(ddi.MAX_DOCUMENT + 1)) > ddi.MAX_DOCUMENT or answer.will_close:
                self.close()
            answer, used = self._answer(method, target, headers, body)
        return answer

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes | None) -> tuple[Response, str]:
        """The answer to one request, and the word it was signed under."""
        fresh = self._link is None
        auth, used = self._credentials(method, target, body)
        try:
            self._send(method, target, headers | auth, body)
            assert self._link is not None
            return self._link.getresponse(), used
        except (Gone, ConnectionResetError, BrokenPipeError):
            if fresh:
                raise
            # A kept connection that the server had closed meanwhile: once more on a new one, and under a new number.
            self.close()
            auth, used = self._credentials(method, target, body)
            self._send(method, target, headers | auth, body)
            assert self._link is not None
            return self._link.getresponse(), used

    def _credentials(self, method: str, target: str, body: bytes | None) -> tuple[dict[str, str], str]:
        return self._place.credentials(method, target, body, self.scheme)

    def _send(self, method: str, target: str, headers: dict[str, str], body: bytes | None) -> None:
        if self._link is None:
            self._link = connection(self._place, self._place.message_limit)
        self._link.request(method, target, body=body, headers=headers)
        self._socket = self._link.sock

    @contextmanager
    def _deadline(self, limit: float, what: str) -> Iterator[None]:
        """Every failure of the link inside is a LinkError; after `limit` seconds the link is cut, whatever drips in."""
        late = threading.Event()

        def cut() -> None:
            late.set()
            link = self._link.sock if self._socket is None and self._link is not None else self._socket
            if link is not None:
                with suppress(OSError):  # not TLS's own, which would take the socket from under who reads
                    socket.socket.shutdown(link, socket.SHUT_RDWR)

        timer = threading.Timer(limit, cut)
        timer.daemon = True
        timer.start()
        began = time.monotonic()
        try:
            yield
        except (NeurathError, GeneratorExit):
            # Part of an answer may still be on its way; it must not be taken for the next one.
            self.close()
            raise
        except (OSError, ValueError) as fault:
            self.close()
            why = f"no whole answer within {limit:.0f} s" if late.is_set() else f"{type(fault).__name__}: {fault}"
            raise LinkError(
                f"{self._place.url} does not answer",
                f"{what} failed after {time.monotonic() - began:.1f} s: {why}",
                "is `neurath serve` running there?",
                id="NRT-420",
            ) from None
        finally:
            timer.cancel()


def _skip(answer: Response, offset: int) -> int:
    """Bytes to pass over before the asked ones begin; DataError when the range is another."""
    if answer.status == 200:
        return offset
    found = _RANGE.fullmatch(answer.getheader("Content-Range", ""))
    if not found or int(found[1]) != offset:
        if not answer.read(1):
            raise Broken("not a byte of the body came")
        raise DataError(
            "the server sent another range",
            f"asked from byte {offset}, got {answer.getheader('Content-Range', 'none')!r}",
            "it is fetched anew",
            id="NRT-276",
        )
    return 0


def _refuse(answer: Response, data: bytes, path: str) -> None:
    """Nothing for 2xx; else the error that the status means."""
    status = answer.status
    if status < 300:
        return
    why = _why(data) or answer.reason
    if status in (401, 403):
        raise RefusedError(
            "the server does not know this terminal by this token",
            f"{status} {why}",
            "neurath terminal add ID --model M  prints a token; give it with --token",
            id="NRT-340",
        )
    if status == 409:
        raise RefusedError("the server refuses the transfer for now", why, "report secured memory first", id="NRT-341")
    if status in (404, 410, 416):
        raise NotFound(f"the server has nothing at {path[:80]}", f"{status} {why}", "check in again", id="NRT-145")
    if status in (408, 425, 429) or status >= 500:
        raise LinkError("the server asks to try later", f"{status} {why}", "it is tried again", id="NRT-421")
    raise RefusedError("the server refuses the message", f"{status} {why}", "is it a Neurath or hawkBit server?", id="NRT-342")


def _why(data: bytes) -> str:
    try:
        document = json.loads(data or b"{}")
    except ValueError:
        return ""
    return str(document.get("message", ""))[:200] if isinstance(document, dict) else ""
