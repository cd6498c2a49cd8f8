"""Recorded sessions of clients that were released (vectors/compat): their requests byte by byte, and what of each answer they
rely on. It reads answers by the rules of their day, so it must never use a codec of the product; docs/spec/compat.md."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cbor2

#: Headers of HTTP that a client may rely on; a length only where the body is a file.
HEADERS = ("content-type", "content-range", "accept-ranges", "retry-after")
#: Options of CoAP likewise: Content-Format, Max-Age, Block2, Block1, Size2, Q-Block2.
OPTIONS = (12, 14, 23, 27, 28, 31)
#: Fields that differ from run to run: signed anew for each offer, or of a package that is made anew for each recording.
VARIES = ("neurath.ticket", ".sha1", ".sha256", ".md5")
OCTETS, CBOR = "application/octet-stream", 60
#: What is longer is kept as its digest.
SHORT = 64
#: Seconds for an answer on a busy machine.
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer as it came, HTTP's or CoAP's: the words around the payload by name, what the payload is, the payload."""

    status: str
    words: dict[str, str]
    kind: str
    payload: bytes


# ---- what a client relies on ----------------------------------------------------------------------------------------------


def flat(value: object, at: str = "") -> Iterator[tuple[str, object]]:
    """Every leaf with its path. hawkBit's lists of key and value are read as their clients do, by key."""
    if isinstance(value, list) and value and all(isinstance(one, Mapping) and set(one) == {"key", "value"} for one in value):
        value = {one["key"]: one["value"] for one in value}
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, f"{at}.{key}" if at else str(key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from flat(inner, f"{at}.{place}")
    else:
        yield at, value.hex() if isinstance(value, bytes) else value


def relied_on(heard: Heard) -> dict[str, Any]:
    """What is written down of an answer: exact values, paths of links, and what kind the fields are that vary."""
    found: dict[str, Any] = {"status": heard.status, "words": heard.words}
    if heard.kind == "json":
        found |= {"links": {}, "varies": [], "fields": {}}
        for at, value in flat(json.loads(heard.payload)):
            if at.endswith(".href"):
                found["links"][at] = path_of(str(value))
            elif at == "message":
                pass  # for people
            elif at.endswith(VARIES):
                found["varies"].append(at)
            else:
                found["fields"][at] = value
    elif heard.kind == "cbor":
        # Clients of ours refuse a key they do not know: so no field more, and none less. Key 6 of an offer is its ticket.
        found["every_field"] = {at: "varies" if at == "6" else value for at, value in flat(cbor2.loads(heard.payload))}
    elif heard.kind == "answer":
        found |= {"begins": heard.payload[:4].hex(), "length": len(heard.payload)}
    elif heard.kind == "package":
        found["length"] = len(heard.payload)
    elif len(heard.payload) > SHORT:
        found |= {"sha256": hashlib.sha256(heard.payload).hexdigest(), "length": len(heard.payload)}
    else:
        found["payload"] = heard.payload.hex()
    return found


#: How long a terminal is told to sleep: each a time of its own (decision 0441). A field of HTTP, Max-Age of CoAP.
PACES = ("config.polling.sleep", "14")


def lacking(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What the recorded client would miss in an answer of now. Fields, links and headers more do it no harm."""
    found = []
    for key, value in recorded.items():
        given = now.get(key)
        if key in ("fields", "words"):
            kept = {at: v for at, v in value.items() if at not in PACES or at not in (given or {})}
            found += [f"{key} {at}: {given.get(at)!r}, was {v!r}" for at, v in kept.items() if given and given.get(at) != v]
            found += [f"{key}: none at all"] if value and not given else []
        elif key == "links":
            found += [f"link {at} is gone" for at in value if at not in (given or {})]
        elif key == "varies":
            found += [f"field {at} is gone" for at in value if at not in (given or [])]
        elif given != value:
            found.append(f"{key}: {given!r}, was {value!r}")
    return found


def path_of(href: str) -> str:
    parts = urlsplit(href)
    return parts.path + (f"?{parts.query}" if parts.query else "")


# ---- files ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """`do`: what the operator does now; else a request and its answers. A request is bytes, kept as the text or the hex of
    them."""

    do: str = ""
    send: bytes = b""
    answers: list[dict[str, Any]] = field(default_factory=list)


def save(file: Path, head: Mapping[str, Any], steps: list[Step]) -> None:
    lines: list[Mapping[str, Any]] = [head]
    for step in steps:
        key = "text" if head["plane"] == "http" else "hex"
        sent = step.send.decode("latin-1") if key == "text" else step.send.hex()
        lines.append({"do": step.do} if step.do else {key: sent, "answers": step.answers})
    file.write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))


def load(file: Path) -> tuple[dict[str, Any], list[Step]]:
    head, *lines = map(json.loads, file.read_text().splitlines())
    steps = []
    for line in lines:
        sent = bytes.fromhex(line["hex"]) if "hex" in line else line.get("text", "").encode("latin-1")
        steps.append(Step(line.get("do", ""), sent, line.get("answers", [])))
    return head, steps


# ---- HTTP -----------------------------------------------------------------------------------------------------------------


def ask_http(port: int, request: bytes) -> tuple[http.client.HTTPResponse, bytes]:
    """The answer to these very bytes, read with the standard library."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as link:
        link.sendall(request)
        answer = http.client.HTTPResponse(link, method=request.partition(b" ")[0].decode())
        answer.begin()
        return answer, answer.read()


def heard_http(request: bytes, answer: http.client.HTTPResponse, body: bytes) -> Heard:
    words = {name: value.partition(";")[0] for name in HEADERS if (value := answer.headers.get(name)) is not None}
    kind, method = "octets", request.partition(b" ")[0]
    if b"/gateway/v1/exchange " in request:
        kind = "cbor"
    elif body and words.get("content-type", "").endswith("json"):
        kind = "json"
    elif b"/artifacts/" in request.partition(b"\r\n")[0] and b".swu " in request.partition(b"\r\n")[0]:
        kind = "package"
    if method == b"HEAD" or "content-range" in words:
        words["content-length"] = str(answer.headers.get("content-length"))
    return Heard(str(answer.status), words, kind, body)


class Http:
    """One client's conversation. Links are followed where they lead now: what was recorded is replaced in request lines."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._moved: dict[bytes, bytes] = {}

    def say(self, step: Step) -> list[str]:
        line, rest, after = step.send.partition(b"\r\n")
        for old, new in self._moved.items():
            line = line.replace(old, new)
        heard = relied_on(heard_http(line, *ask_http(self.port, line + rest + after)))
        (recorded,) = step.answers
        for at, path in recorded.get("links", {}).items():
            new = heard.get("links", {}).get(at, path)
            self._moved |= {path.partition("?")[0].encode(): new.partition("?")[0].encode()}
            self._moved = {path.encode(): new.encode()} | self._moved  # the longer one first
        return lacking(recorded, heard)


# ---- CoAP -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Datagram:
    """A message of RFC 7252, by its section 3."""

    type: int
    code: int
    mid: bytes
    token: bytes
    options: list[tuple[int, bytes]]
    payload: bytes


def read_coap(data: bytes) -> Datagram:
    source, token = io.BytesIO(data[4:]), data[0] & 15
    name, options, number = source.read(token), [], 0

    def extended(nibble: int) -> int:
        return (
            nibble if nibble < 13 else source.read(1)[0] + 13 if nibble == 13 else int.from_bytes(source.read(2), "big") + 269
        )

    while (head := source.read(1)) and head[0] != 0xFF:
        number += extended(head[0] >> 4)
        options.append((number, source.read(extended(head[0] & 15))))
    return Datagram(data[0] >> 4 & 3, data[1], data[2:4], name, options, source.read())


def heard_coap(message: Datagram) -> Heard:
    words = {str(number): value.hex() for number, value in message.options if number in OPTIONS}
    kind = "cbor" if words.get("12") == f"{CBOR:02x}" and message.payload else "octets"
    kind = "answer" if message.payload[:3] == b"NRA" else kind
    return Heard(f"{message.code >> 5}.{message.code & 31:02}", words, kind, message.payload)


class Coap:
    """One client's socket."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))

    def close(self) -> None:
        self._socket.close()

    def answers(self, request: bytes, count: int) -> list[Datagram]:
        """So many answers to these very bytes; fewer where no more come."""
        asked, found = read_coap(request), []
        self._socket.send(request)
        end = time.monotonic() + PATIENCE
        while len(found) < count and (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                message = read_coap(self._socket.recv(65535))
            except TimeoutError:
                break
            if message.type == 0:
                self._socket.send(b"\x60\x00" + message.mid)
            if message.code and message.token == asked.token and all(one.mid != message.mid for one in found):
                found.append(message)
        return found

    def say(self, step: Step) -> list[str]:
        heard = [relied_on(heard_coap(one)) for one in self.answers(step.send, len(step.answers))]
        if len(heard) != len(step.answers):
            return [f"{len(heard)} answers came, {len(step.answers)} did"]
        return [word for recorded, now in zip(step.answers, heard, strict=True) for word in lacking(recorded, now)]
