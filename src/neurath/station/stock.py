"""The software store of a station: releases, assignments, release keys and images by digest, in the form the server keeps
them, usable without a network. It knows files; it must never trust one that its envelope does not vouch for."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neurath.disk import write_whole
from neurath.errors import DataError, NotFound, TrustError
from neurath.ids import ComponentName, ModelName, TerminalId, Version, checked_name
from neurath.station.select import Entry
from neurath.wire import manifest, package
from neurath.wire.keys import public_from_pem

INDEX = "stock.json"
#: Version of the index; one that is newer is refused.
FORM = 1


@dataclass(frozen=True, slots=True)
class Index:
    """What the server says there is. `keys` are the release keys (PEM) of each model; `assigned` is the release pinned to
    a terminal; `at` is when it was made, seconds since 1970. `models` are memory maps (TOML): what files for a cut rewrite
    are made by; nothing is believed because of them."""

    entries: tuple[Entry, ...] = ()
    keys: tuple[tuple[ModelName, str], ...] = ()
    assigned: tuple[tuple[TerminalId, Version], ...] = ()
    at: float = 0.0
    models: tuple[tuple[ModelName, str], ...] = ()


def index_of(text: str) -> Index:
    """The index in a JSON document, or DataError."""
    try:
        raw = json.loads(text)
        if raw["form"] != FORM:
            raise ValueError(f"form {raw['form']} is not known")
        return Index(
            entries=tuple(_entry(e) for e in raw["releases"]),
            keys=tuple((ModelName(checked_name(k["model"], "model")), str(k["pem"])) for k in raw["keys"]),
            assigned=tuple(
                (TerminalId(checked_name(a["id"], "terminal id")), Version(str(a["version"]))) for a in raw["assigned"]
            ),
            at=float(raw.get("at", 0.0)),
            models=tuple((ModelName(checked_name(k["model"], "model")), str(k["toml"])) for k in raw.get("models", [])),
        )
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as fault:
        raise DataError(
            "this is not a stock index", f"{type(fault).__name__}: {fault}", "docs/how-to/restore.md", id="NRT-290"
        ) from None


def index_text(index: Index) -> str:
    """The same index as JSON; `index_of` of it gives an equal one."""
    releases = [
        {
            "model": e.model,
            "component": e.component,
            "version": e.version,
            "image": e.image,
            "size": e.size,
            "envelope": e.envelope.hex(),
            "envelope_digest": e.envelope_digest,
            "sequence": e.sequence,
            "epoch": e.epoch,
            "revoked": e.revoked,
        }
        for e in index.entries
    ]
    keys = [{"model": model, "pem": pem} for model, pem in index.keys]
    assigned = [{"id": terminal, "version": version} for terminal, version in index.assigned]
    models = [{"model": model, "toml": toml} for model, toml in index.models]
    form = {"form": FORM, "at": index.at, "releases": releases, "keys": keys, "assigned": assigned, "models": models}
    return json.dumps(form, indent=1)


def _entry(raw: dict[str, Any]) -> Entry:
    image, envelope_digest = str(raw["image"]), str(raw["envelope_digest"])
    if len(bytes.fromhex(image)) != 32 or len(bytes.fromhex(envelope_digest)) not in (16, 32) or image != image.lower():
        raise ValueError("digests are lower-case hexadecimal")
    return Entry(
        model=ModelName(checked_name(str(raw["model"]), "model")),
        component=ComponentName(checked_name(str(raw["component"]), "component")),
        version=Version(checked_name(str(raw["version"]), "version")),
        image=image,
        size=int(raw["size"]),
        envelope=bytes.fromhex(str(raw["envelope"])),
        envelope_digest=envelope_digest,
        sequence=int(raw["sequence"]),
        epoch=int(raw["epoch"]),
        revoked=bool(raw["revoked"]),
    )


class Stock:
    """A directory: `stock.json`, images as `files/ab/abcdef...`, records that wait for the server in `records/`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def index(self) -> Index:
        """What was last synchronised; NotFound before the first time."""
        path = self.root / INDEX
        try:
            return index_of(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(
                f"no stock in {self.root}", "it was never synchronised", "neurath station sync --server URL", id="NRT-138"
            ) from None
        except UnicodeDecodeError:
            raise DataError(
                f"{path} is damaged", "it is not text", "neurath station sync --server URL", id="NRT-290"
            ) from None

    def keep(self, index: Index, listed: Collection[str] = ()) -> None:
        """Replaces the index, whole or not at all. A release key that was not known before is refused: keys come with the
        first synchronisation, later ones by hand (`accept_keys`), or for models that are `listed` from their roots."""
        try:
            known = self.index().keys
        except NotFound:
            known = ()
        models = {model for model, _ in known} - set(listed)
        strange = [model for model, pem in index.keys if model in models and (model, pem) not in known]
        if strange:
            raise TrustError(
                f"the server names a new release key for {strange[0]}",
                "a stock keeps the keys it was first given",
                "compare the key with its owner, then neurath station sync --accept-keys",
                id="NRT-292",
            )
        self._keep(self.root / INDEX, index_text(index).encode())

    def forget_keys(self) -> None:
        """The next index may bring new keys: the technician compared them."""
        index = self.index()
        bare = replace(index, keys=())
        self._keep(self.root / INDEX, index_text(bare).encode())

    def path(self, image: str) -> Path:
        """Where the image with this digest (64 hex digits) lies or would lie."""
        return self.root / "files" / image[:2] / image

    def has(self, entry: Entry) -> bool:
        return self.path(entry.image).is_file()

    def put(self, entry: Entry, image: bytes) -> None:
        """Keeps an image; DataError when it is not the entry's."""
        if hashlib.sha256(image).hexdigest() != entry.image or len(image) != entry.size:
            raise DataError(
                f"{entry.version} arrived damaged",
                "its digest is not the one the server named",
                "synchronise again",
                id="NRT-291",
            )
        self._keep(self.path(entry.image), image)

    def image(self, entry: Entry) -> bytes:
        """The image, checked against its digest; NotFound or DataError."""
        try:
            data = self.path(entry.image).read_bytes()
        except FileNotFoundError:
            raise NotFound(
                f"the image of {entry.version} is not in the stock",
                "only its entry was synchronised",
                "neurath station sync --server URL",
                id="NRT-139",
            ) from None
        if hashlib.sha256(data).hexdigest() != entry.image:
            raise DataError(
                f"the image of {entry.version} is damaged",
                "it rotted on the disk",
                "neurath station sync --server URL",
                id="NRT-291",
            )
        return data

    def package(self, entry: Entry) -> bytes:
        """The restoration package of a release, verified against the signed envelope here and now."""
        pems = [pem for model, pem in self.index().keys if model == entry.model]
        if not pems:
            raise TrustError(
                f"no release key for model {entry.model}",
                "the envelope cannot be checked",
                "neurath station sync",
                id="NRT-293",
            )
        signed = manifest.verify(entry.envelope, [public_from_pem(pem.encode()) for pem in pems])
        image = self.image(entry)
        built = package.build(entry.envelope, image, signed.leaf)
        leaves = hashlib.sha256(package.read(built).leaves).digest()
        if (signed.image, signed.image_size, signed.leaves) != (bytes.fromhex(entry.image), len(image), leaves):
            raise TrustError(
                f"the envelope of {entry.version} is for another image",
                "digest, size or leaves differ",
                "synchronise again",
                id="NRT-266",
            )
        if (signed.epoch, signed.sequence) != entry.rank or not signed.digest.hex().startswith(entry.envelope_digest[:32]):
            raise TrustError(
                f"the index lies about {entry.version}",
                "its envelope says another sequence, epoch or digest",
                "synchronise again",
                id="NRT-266",
            )
        return built

    def assigned(self, terminal: TerminalId) -> Version | None:
        """The release the server pinned to this terminal."""
        return dict(self.index().assigned).get(terminal)

    def record(self, fields: dict[str, object]) -> Path:
        """Queues the record of one restoration; it is on the disk when this returns."""
        name = f"{int(float(str(fields['at'])) * 1000):015d}-{secrets.token_hex(4)}.json"
        path = self.root / "records" / name
        self._keep(path, json.dumps(fields, sort_keys=True).encode())
        return path

    def queued(self) -> list[Path]:
        """Records the server has not had yet, oldest first."""
        return sorted((self.root / "records").glob("*.json"))

    def records(self) -> list[Path]:
        """Every record, those the server has had too."""
        return sorted([*self.queued(), *(self.root / "records/sent").glob("*.json")], key=lambda path: path.name)

    def _keep(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)

    def delivered(self, record: Path) -> None:
        """The server has this record: it moves to `records/sent`."""
        sent = record.parent / "sent"
        sent.mkdir(exist_ok=True)
        record.replace(sent / record.name)
