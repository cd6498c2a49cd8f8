"""The roles of the software store as TUF metadata: roots and targets offline, one offline role for each family of
models, one online role for what the server itself may say. It knows who signs what and what a document becomes; it must
never hold a key longer than one signature, nor read the network. Spec: docs/spec/repository.md."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from securesystemslib.signer import Signature, SSlibKey
from securesystemslib.signer import Signer as TufSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError

from neurath.errors import DataError, NotFound, RefusedError
from neurath.wire import keys
from neurath.wire.keys import Alg, PublicKey, Signer

#: The role of the server's own key, and what it may name: deltas, and the list of what there is. No image is among them.
ONLINE = "online"
INDEX = "index.json"
ONLINE_PATHS = ("deltas/*", INDEX)
#: Roots: so many sign, and so many there are at most (docs/spec/keylist.md has the same numbers).
THRESHOLD, MOST = 2, 5

Document = Metadata[Any]


@dataclass(frozen=True, slots=True)
class Image:
    """One release as its family publishes it. `name` is MODEL/VERSION, with the component where it is not the firmware."""

    name: str
    data: bytes
    envelope: bytes
    revoked: bool = False


def tuf_key(key: PublicKey) -> SSlibKey:
    """Our key as TUF has it; its id is that of securesystemslib."""
    if key.alg is Alg.ED25519:
        value, scheme, kind = key.data.hex(), "ed25519", "ed25519"
    else:
        value, scheme, kind = keys.public_pem(key).decode(), "ecdsa-sha2-nistp256", "ecdsa"
    name = hashlib.sha256(f"{kind} {scheme} {value}".encode()).hexdigest()
    return SSlibKey(name, kind, scheme, {"public": value})


def our_key(key: object) -> PublicKey:
    """The other way; DataError for a kind of key that no terminal of ours verifies."""
    assert isinstance(key, SSlibKey)
    value = key.keyval["public"]
    if key.scheme == "ed25519":
        return PublicKey(Alg.ED25519, bytes.fromhex(value))
    if key.scheme == "ecdsa-sha2-nistp256":
        return keys.public_from_pem(value.encode())
    raise DataError("this is no key of ours", key.scheme, "es256 or ed25519")


class Pen(TufSigner):
    """A key of ours, in a file or on a token, as TUF asks for signatures."""

    def __init__(self, key: Signer) -> None:
        self._key = key

    @property
    def public_key(self) -> SSlibKey:
        return tuf_key(self._key.public)

    @classmethod
    def from_priv_key_uri(cls, priv_key_uri: str, public_key: Any, secrets_handler: Any = None) -> Pen:
        raise NotImplementedError("keys are given, not looked up")

    def sign(self, payload: bytes) -> Signature:
        made = self._key.sign(payload)
        if self._key.alg is Alg.ES256:  # r and s here, ASN.1 there
            made = encode_dss_signature(int.from_bytes(made[:32], "big"), int.from_bytes(made[32:], "big"))
        return Signature(self.public_key.keyid, made.hex())


def in_days(days: float, now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC).replace(microsecond=0) + timedelta(days=days)


def read(raw: bytes) -> Document:
    """A document; DataError where it is none."""
    try:
        return Metadata.from_bytes(raw)
    except (DeserializationError, RepositoryError, ValueError, KeyError, TypeError) as fault:
        raise DataError("this is no document of a repository", type(fault).__name__, "docs/spec/repository.md") from None


def family_role(models: Sequence[str]) -> str:
    return f"release-{models[0]}"


def file_name(document: Document, role: str) -> str:
    """As consistent snapshots name it."""
    return f"{document.signed.version}.{role}.json"


# ---- the ceremony ----------------------------------------------------------------------------------------------------------


def root(roots: Sequence[PublicKey], online: PublicKey, expires: datetime, before: Document | None = None) -> Document:
    """The roots' document, the first or the next: two roots sign for it and for the targets role, the server's key for what
    changes by itself."""
    if not THRESHOLD <= len(set(roots)) <= MOST:
        raise RefusedError(f"{len(set(roots))} roots", f"{THRESHOLD} sign, of at most {MOST}", "three roots")
    made = Root(version=1 if before is None else before.signed.version + 1, expires=expires, consistent_snapshot=True)
    for role in ("root", "targets"):
        for key in roots:
            made.add_key(tuf_key(key), role)
        made.roles[role].threshold = THRESHOLD
    for role in ("timestamp", "snapshot"):
        made.add_key(tuf_key(online), role)
    return Metadata(made)


def targets(
    families: Mapping[tuple[str, ...], Sequence[PublicKey]],
    online: PublicKey,
    expires: datetime,
    before: Document | None = None,
) -> Document:
    """Who may publish for which models, and the server's own role. An image has to be signed by its family: the server's role
    has no path that an image could lie under."""
    held = {key.keyid: key for key in (tuf_key(one) for one in (online, *(k for those in families.values() for k in those)))}
    roles = {ONLINE: DelegatedRole(ONLINE, [tuf_key(online).keyid], 1, True, paths=list(ONLINE_PATHS))}
    for models, signers in families.items():
        name = family_role(models)
        paths = [f"{model}/{tail}" for model in models for tail in ("*", "*/*")]
        roles[name] = DelegatedRole(name, [tuf_key(key).keyid for key in signers], 1, True, paths=paths)
    version = 1 if before is None else before.signed.version + 1
    return Metadata(Targets(version=version, expires=expires, delegations=Delegations(dict(held), roles)))


def published(images: Sequence[Image], expires: datetime, before: Document | None = None) -> Document:
    """A family's next document: what it named before, and these."""
    found = {} if before is None else dict(before.signed.targets)
    for one in images:
        custom = {"envelope": one.envelope.hex(), "revoked": one.revoked}
        found[one.name] = TargetFile(
            len(one.data), {"sha256": hashlib.sha256(one.data).hexdigest()}, one.name, {"custom": custom}
        )
    version = 1 if before is None else before.signed.version + 1
    return Metadata(Targets(version=version, expires=expires, targets=found))


def signed(document: Document, key: Signer) -> bytes:
    """With one signature more."""
    document.sign(Pen(key), append=True)
    return document.to_bytes()


def signers(document: Document) -> set[str]:
    """The ids of those who have signed it, whether the signatures hold or not."""
    return set(document.signatures)


# ---- what the server says by itself ----------------------------------------------------------------------------------------


def snapshot(documents: Mapping[str, int], version: int, expires: datetime) -> Document:
    return Metadata(
        Snapshot(version=version, expires=expires, meta={f"{role}.json": MetaFile(n) for role, n in documents.items()})
    )


def timestamp(snapshot_version: int, version: int, expires: datetime) -> Document:
    return Metadata(Timestamp(version=version, expires=expires, snapshot_meta=MetaFile(snapshot_version)))


def demand(delegator: Document, role: str, document: Document) -> None:
    """NotFound, or RefusedError, unless those who may have signed this document for this role."""
    try:
        delegator.verify_delegate(role, document)
    except ValueError:
        raise NotFound(f"no role {role}", "nobody delegated it", "neurath repository create --family names it") from None
    except RepositoryError as fault:
        raise RefusedError(f"{role} is not signed", str(fault), "neurath key sign FILE --key K") from None
