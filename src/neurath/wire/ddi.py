"""hawkBit's Direct Device Integration documents, as values and back: what a poll, a deployment, feedback and attributes
say. It knows JSON shapes and the quirks of the clients that read them; it must never fetch, store or decide anything.
Spec: docs/spec/ddi.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from neurath.errors import DataError, RefusedError
from neurath.wire import offer as offers
from neurath.wire.cbor import malformed
from neurath.wire.documents import MAX_DOCUMENT as MAX_DOCUMENT
from neurath.wire.documents import count_of, listing, mapping, name_of, text_of
from neurath.wire.documents import parse as parse

if TYPE_CHECKING:
    from neurath.wire.offer import Offer

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
    confirmation: str = ""


_LINKS = (
    ("deploymentBase", "deployment"),
    ("cancelAction", "cancel"),
    ("confirmationBase", "confirmation"),
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
    top = mapping(document, "poll")
    links = mapping(top.get("_links", {}), "poll links")
    polling = mapping(mapping(top.get("config", {}), "poll config").get("polling", {}), "polling")
    found = {name: text_of(mapping(links[rel], rel), "href") for rel, name in _LINKS if rel in links}
    return Poll(sleep=seconds(text_of(polling, "sleep", "00:05:00")), **found)


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
    """What a terminal is to download and install under one action: each is "skip", "attempt" or "forced". `window` is
    "available" or "unavailable" where there are maintenance windows, "" where there are none."""

    action: str
    chunks: tuple[Chunk, ...]
    download: str = "forced"
    update: str = "forced"
    window: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """What was said about an action so far: the status it led to, and messages, newest first."""

    status: str
    messages: tuple[str, ...] = ()


def deployment_to(deployment: Deployment, history: History | None = None, key: str = "deployment") -> dict[str, object]:
    """The deployment as a document; every artifact has a `download` and a `download-http` link, since some clients want
    one and some the other. `key` is "confirmation" where the device is asked to confirm first."""
    inner: dict[str, object] = {"download": deployment.download, "update": deployment.update}
    inner |= {"maintenanceWindow": deployment.window} if deployment.window else {}
    inner |= {"chunks": [_chunk_to(chunk) for chunk in deployment.chunks]}
    document: dict[str, object] = {"id": deployment.action, key: inner}
    if history is not None:
        document["actionHistory"] = {"status": history.status, "messages": list(history.messages)}
    return document


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
    top = mapping(document, "deployment")
    inner = mapping(top.get("deployment"), "deployment")
    return Deployment(
        action=name_of(top, "id"),
        chunks=tuple(_chunk_from(c) for c in listing(inner.get("chunks", []), "chunks")),
        download=text_of(inner, "download", "forced"),
        update=text_of(inner, "update", "forced"),
        window=text_of(inner, "maintenanceWindow", ""),
    )


def _chunk_from(document: object) -> Chunk:
    top = mapping(document, "chunk")
    pairs = [mapping(m, "metadata") for m in listing(top.get("metadata", []), "metadata")]
    return Chunk(
        name=text_of(top, "name", ""),
        version=text_of(top, "version", ""),
        artifacts=tuple(_artifact_from(a) for a in listing(top.get("artifacts", []), "artifacts")),
        part=text_of(top, "part", "os"),
        metadata=tuple((text_of(p, "key"), text_of(p, "value")) for p in pairs),
    )


def _artifact_from(document: object) -> Artifact:
    top = mapping(document, "artifact")
    hashes = mapping(top.get("hashes", {}), "hashes")
    links = mapping(top.get("_links", {}), "artifact links")
    link = links.get("download", links.get("download-http"))
    size = top.get("size")
    if type(size) is not int or size < 0:
        raise malformed("artifact", "size is not a count")
    return Artifact(
        filename=text_of(top, "filename"),
        size=size,
        href=text_of(mapping(link, "download link"), "href"),
        **{kind: text_of(hashes, kind, "").lower() for kind in ("sha256", "sha1", "md5")},
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


#: The status of an action that each execution leads to, as hawkBit names it.
_STATUS = {
    Execution.PROCEEDING: "RUNNING",
    Execution.SCHEDULED: "RUNNING",
    Execution.RESUMED: "RUNNING",
    Execution.DOWNLOAD: "DOWNLOAD",
    Execution.DOWNLOADED: "DOWNLOADED",
    Execution.REJECTED: "WARNING",
    Execution.CANCELED: "CANCELED",
}


@dataclass(frozen=True, slots=True)
class Feedback:
    """One word of a client about an action; `count` of `of` are steps, not bytes; `code` is the client's own, None where it
    gave none."""

    execution: Execution
    finished: Finished = Finished.NONE
    details: tuple[str, ...] = ()
    count: int = 0
    of: int = 0
    code: int | None = None

    @property
    def status(self) -> str:
        """The status it leads to, in hawkBit's words."""
        return _STATUS.get(self.execution) or ("ERROR" if self.finished is Finished.FAILURE else "FINISHED")


def feedback_from(document: object) -> Feedback:
    """The feedback in a document, or DataError. `id` and both spellings of the time are taken and not needed."""
    status = mapping(mapping(document, "feedback").get("status"), "feedback status")
    result = mapping(status.get("result", {}), "feedback result")
    progress = mapping(result.get("progress") or {}, "feedback progress")
    try:
        execution = Execution(text_of(status, "execution").lower())
        finished = Finished(text_of(result, "finished", "none").lower())
    except ValueError as fault:
        raise malformed("feedback", str(fault)[:80]) from None
    details, code = listing(status.get("details") or [], "details"), status.get("code")
    return Feedback(
        execution=execution,
        finished=finished,
        details=tuple(str(line)[:4096] for line in details[:1000]),
        count=count_of(progress, "cnt"),
        of=count_of(progress, "of"),
        code=code if type(code) is int else None,
    )


class TooMuch(RefusedError):  # noqa: N818 (what it is, not what went wrong)
    """A device says more than a server keeps of one; answered 429."""

    default_id = "NRT-350"


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
            raise TooMuch("these are too many attributes", f"more than {MAX_ATTRIBUTES}", "send fewer, or mode=remove")
        return result


def attributes_to(attributes: Attributes) -> dict[str, object]:
    return {"mode": attributes.mode, "data": dict(attributes.data)}


def attributes_from(document: object) -> Attributes:
    """The attributes in a document, or DataError. Numbers and truth values are taken as their text."""
    top = mapping(document, "attributes")
    mode = text_of(top, "mode", "merge").lower()
    data = mapping(top.get("data"), "attribute data")
    if mode not in ("merge", "replace", "remove") or not data:
        raise malformed("attributes", "mode is merge, replace or remove, and data is not empty")
    if any(isinstance(v, (dict, list)) or len(str(v)) > 4096 or len(k) > 128 for k, v in data.items()):
        raise malformed("attributes", "keys up to 128 and values up to 4096 characters")
    return Attributes({k: "" if v is None else str(v) for k, v in data.items()}, mode)


def problem(error: DataError | Exception, code: str, message: str) -> dict[str, str]:
    """An error as DDI clients know it."""
    return {"exceptionClass": type(error).__name__, "errorCode": code, "message": message}
