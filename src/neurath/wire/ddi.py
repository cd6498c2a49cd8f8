"""hawkBit's Direct Device Integration documents, as values and back: what a poll, a deployment, feedback and attributes
say. It knows JSON shapes and the quirks of the clients that read them; it must never fetch, store or decide anything.
Spec: docs/spec/ddi.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from neurath.errors import DataError
from neurath.wire import offer as offers
from neurath.wire.cbor import malformed
from neurath.wire.offer import Offer

#: No document of this protocol is longer; swupdate's log batches stay below 64 KiB.
MAX_DOCUMENT = 1 << 20
#: hawkBit takes no more attributes than this from one device.
MAX_ATTRIBUTES = 100
#: A sleep of a day or more would be spelled in another form, which breaks old clients.
MAX_SLEEP = 86399


def base_path(tenant: str, terminal: str) -> str:
    """Where a terminal's resources begin."""
    return f"/{tenant}/controller/v1/{terminal}"


@dataclass(frozen=True, slots=True)
class Poll:
    """The answer to a base poll: when to come again (seconds), and addresses of what there is to do ("": nothing)."""

    sleep: int
    deployment: str = ""
    cancel: str = ""
    config: str = ""
    installed: str = ""


_LINKS = (
    ("deploymentBase", "deployment"),
    ("cancelAction", "cancel"),
    ("configData", "config"),
    ("installedBase", "installed"),
)


def poll_to(poll: Poll) -> dict[str, object]:
    """The poll as a document; `_links` is absent when there is none."""
    links = {rel: {"href": getattr(poll, name)} for rel, name in _LINKS if getattr(poll, name)}
    document: dict[str, object] = {"config": {"polling": {"sleep": clock(poll.sleep)}}}
    return document | ({"_links": links} if links else {})


def poll_from(document: object) -> Poll:
    """The poll in a document, or DataError; a server that names no sleep means five minutes."""
    top = _map(document, "poll")
    links = _map(top.get("_links", {}), "poll links")
    polling = _map(_map(top.get("config", {}), "poll config").get("polling", {}), "polling")
    found = {name: _text(_map(links[rel], rel), "href") for rel, name in _LINKS if rel in links}
    return Poll(sleep=seconds(_text(polling, "sleep", "00:05:00")), **found)


def clock(length: int) -> str:
    """Seconds as HH:MM:SS, at most a day less one second."""
    length = max(0, min(length, MAX_SLEEP))
    return f"{length // 3600:02}:{length // 60 % 60:02}:{length % 60:02}"


def seconds(text: str) -> int:
    """HH:MM:SS as seconds, or DataError."""
    parts = text.split(":")
    if len(parts) != 3 or not all(p.isascii() and p.isdigit() and len(p) <= 4 for p in parts):
        raise malformed("poll", f"sleep {text[:20]!r} is not HH:MM:SS")
    return int(parts[0]) * 3600 + int(parts[1]) * 60 + int(parts[2])


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file of a chunk. `href` is where it lies; digests are lower-case hexadecimal, "" where not given."""

    filename: str
    size: int
    href: str
    sha256: str = ""
    sha1: str = ""
    md5: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of software in a deployment, with our own words as metadata."""

    name: str
    version: str
    artifacts: tuple[Artifact, ...]
    part: str = "os"
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a terminal is to download and install under one action."""

    action: str
    chunks: tuple[Chunk, ...]
    download: str = "forced"
    update: str = "forced"


def deployment_to(deployment: Deployment) -> dict[str, object]:
    """The deployment as a document; every artifact has a `download` and a `download-http` link, since some clients want
    one and some the other."""
    return {
        "id": deployment.action,
        "deployment": {
            "download": deployment.download,
            "update": deployment.update,
            "chunks": [_chunk_to(chunk) for chunk in deployment.chunks],
        },
    }


def _chunk_to(chunk: Chunk) -> dict[str, object]:
    document: dict[str, object] = {
        "part": chunk.part,
        "version": chunk.version,
        "name": chunk.name,
        "artifacts": [artifact_to(a) for a in chunk.artifacts],
    }
    if chunk.metadata:
        document["metadata"] = [{"key": key, "value": value} for key, value in chunk.metadata]
    return document


def artifact_to(artifact: Artifact) -> dict[str, object]:
    """One artifact as it stands in a deployment and in a module's list."""
    hashes = {"sha1": artifact.sha1, "md5": artifact.md5, "sha256": artifact.sha256}
    links = {"download": artifact.href, "md5sum": artifact.href + ".MD5SUM"}
    return {
        "filename": artifact.filename,
        "hashes": {name: value for name, value in hashes.items() if value},
        "size": artifact.size,
        "_links": {rel + tail: {"href": href} for rel, href in links.items() for tail in ("", "-http")},
    }


def deployment_from(document: object) -> Deployment:
    """The deployment in a document, or DataError."""
    top = _map(document, "deployment")
    inner = _map(top.get("deployment"), "deployment")
    return Deployment(
        action=_name(top, "id"),
        chunks=tuple(_chunk_from(c) for c in _list(inner.get("chunks", []), "chunks")),
        download=_text(inner, "download", "forced"),
        update=_text(inner, "update", "forced"),
    )


def _chunk_from(document: object) -> Chunk:
    top = _map(document, "chunk")
    pairs = [_map(m, "metadata") for m in _list(top.get("metadata", []), "metadata")]
    return Chunk(
        name=_text(top, "name", ""),
        version=_text(top, "version", ""),
        artifacts=tuple(_artifact_from(a) for a in _list(top.get("artifacts", []), "artifacts")),
        part=_text(top, "part", "os"),
        metadata=tuple((_text(p, "key"), _text(p, "value")) for p in pairs),
    )


def _artifact_from(document: object) -> Artifact:
    top = _map(document, "artifact")
    hashes = _map(top.get("hashes", {}), "hashes")
    links = _map(top.get("_links", {}), "artifact links")
    link = links.get("download", links.get("download-http"))
    size = top.get("size")
    if type(size) is not int or size < 0:
        raise malformed("artifact", "size is not a count")
    return Artifact(
        filename=_text(top, "filename"),
        size=size,
        href=_text(_map(link, "download link"), "href"),
        **{kind: _text(hashes, kind, "").lower() for kind in ("sha256", "sha1", "md5")},
    )


def offered(deployment: Deployment) -> tuple[Offer, Artifact] | None:
    """Our offer in a deployment and the artifact it names; None when the deployment holds none of ours; DataError when
    offer and artifact disagree."""
    for chunk in deployment.chunks:
        words = dict(chunk.metadata)
        if offers.PREFIX + "file" not in words:
            continue
        found = offers.from_metadata(words, version=chunk.version, action=deployment.action)
        for artifact in chunk.artifacts:
            if artifact.sha256 == found.file.hex() and artifact.size == found.size:
                return found, artifact
        raise malformed("deployment", "no artifact has the digest and size that the offer names")
    return None


class Execution(Enum):
    """What a client says it is doing."""

    PROCEEDING = "proceeding"
    SCHEDULED = "scheduled"
    RESUMED = "resumed"
    DOWNLOAD = "download"
    DOWNLOADED = "downloaded"
    REJECTED = "rejected"
    CANCELED = "canceled"
    CLOSED = "closed"


class Finished(Enum):
    """How it ended, where it has."""

    NONE = "none"
    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Feedback:
    """One word of a client about an action; `count` of `of` are steps, not bytes."""

    execution: Execution
    finished: Finished = Finished.NONE
    details: tuple[str, ...] = ()
    count: int = 0
    of: int = 0


def feedback_from(document: object) -> Feedback:
    """The feedback in a document, or DataError. `id` and both spellings of the time are taken and not needed."""
    status = _map(_map(document, "feedback").get("status"), "feedback status")
    result = _map(status.get("result", {}), "feedback result")
    progress = _map(result.get("progress") or {}, "feedback progress")
    try:
        execution = Execution(_text(status, "execution").lower())
        finished = Finished(_text(result, "finished", "none").lower())
    except ValueError as fault:
        raise malformed("feedback", str(fault)[:80]) from None
    details = _list(status.get("details") or [], "details")
    return Feedback(
        execution=execution,
        finished=finished,
        details=tuple(str(line)[:4096] for line in details[:1000]),
        count=_count(progress, "cnt"),
        of=_count(progress, "of"),
    )


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a client says about itself: merged into, put in place of, or taken out of what is known."""

    data: Mapping[str, str] = field(default_factory=dict)
    mode: str = "merge"

    def onto(self, known: Mapping[str, str]) -> dict[str, str]:
        """What is known afterwards; DataError where that would be too much."""
        match self.mode:
            case "replace":
                result = dict(self.data)
            case "remove":
                result = {k: v for k, v in known.items() if k not in self.data}
            case _:
                result = {**known, **self.data}
        if len(result) > MAX_ATTRIBUTES:
            raise malformed("attributes", f"more than {MAX_ATTRIBUTES}")
        return result


def attributes_to(attributes: Attributes) -> dict[str, object]:
    return {"mode": attributes.mode, "data": dict(attributes.data)}


def attributes_from(document: object) -> Attributes:
    """The attributes in a document, or DataError. Numbers and truth values are taken as their text."""
    top = _map(document, "attributes")
    mode = _text(top, "mode", "merge").lower()
    data = _map(top.get("data"), "attribute data")
    if mode not in ("merge", "replace", "remove") or not data:
        raise malformed("attributes", "mode is merge, replace or remove, and data is not empty")
    if any(isinstance(v, (dict, list)) or len(str(v)) > 4096 or len(k) > 128 for k, v in data.items()):
        raise malformed("attributes", "keys up to 128 and values up to 4096 characters")
    return Attributes({k: "" if v is None else str(v) for k, v in data.items()}, mode)


def problem(error: DataError | Exception, code: str, message: str) -> dict[str, str]:
    """An error as DDI clients know it."""
    return {"exceptionClass": type(error).__name__, "errorCode": code, "message": message}


def parse(body: bytes) -> object:
    """JSON in the bytes, or DataError."""
    if len(body) > MAX_DOCUMENT:
        raise malformed("document", f"{len(body)} bytes; the longest is {MAX_DOCUMENT}")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as fault:
        raise malformed("document", f"not JSON: {str(fault)[:80]}") from None


def _map(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise malformed(what, "not an object")
    return value


def _list(value: object, what: str) -> Sequence[object]:
    if not isinstance(value, list):
        raise malformed(what, "not a list")
    return value


def _text(values: Mapping[str, object], key: str, default: str | None = None) -> str:
    value = values.get(key, default)
    if not isinstance(value, str):
        raise malformed("document", f"{key} is not text")
    return value


def _name(values: Mapping[str, object], key: str) -> str:
    """An id, which some write as text and some as a number."""
    value = values.get(key)
    if type(value) is int or (isinstance(value, str) and value):
        return str(value)[:64]
    raise malformed("document", f"{key} is not an id")


def _count(values: Mapping[str, object], key: str) -> int:
    value = values.get(key, 0)
    return value if type(value) is int and 0 <= value <= 0xFFFF_FFFF else 0
