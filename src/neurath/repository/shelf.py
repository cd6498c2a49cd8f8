"""The documents of a repository on the publisher's disk: taken in when those who may have signed them, and followed by
what the server signs by itself. It knows what follows what, as a client does; it must never take a document that a
client would refuse."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from tuf.api.metadata import DelegatedRole, Metadata, TargetFile, Targets

from neurath.disk import write_whole
from neurath.errors import NotFound, RefusedError
from neurath.repository import roles
from neurath.repository.roles import INDEX, ONLINE, Document
from neurath.wire.keys import Signer

#: Days that what the server signs by itself is good for; it is signed anew when less than this part of them is left.
FRESH_DAYS = 3.0
RENEW_AT = 2.0 / 3.0


class Shelf:
    """A directory: N.ROLE.json of every version, timestamp.json, and the index of what there is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def newest(self, role: str) -> Document | None:
        """The newest document of a role, as it was taken in."""
        found = self._versions(role)
        return roles.read((self.folder / f"{max(found)}.{role}.json").read_bytes()) if found else None

    def _versions(self, role: str) -> list[int]:
        names = (path.name.partition(".")[0] for path in self.folder.glob(f"*.{role}.json"))
        return [int(name) for name in names if name.isdigit()]

    def read(self, name: str) -> bytes:
        """One document by its file name; NotFound."""
        try:
            return (self.folder / name).read_bytes()
        except (OSError, ValueError):  # too long a name among them
            raise NotFound(f"no document {name[:64]}", "this repository never had it", "timestamp.json is the first") from None

    def take(self, raw: bytes) -> str:
        """Takes a document in and says which role it is for; RefusedError where a client would not follow."""
        document = roles.read(raw)
        if document.signed.type == "root":
            return self._take_root(document, raw)
        trusted = self.newest("root")
        if trusted is None:
            raise RefusedError("there are no roots yet", "they come first", "neurath repository publish 1.root.json")
        if document.signed.type != "targets":
            raise RefusedError(
                f"a {document.signed.type} is the server's own", "it signs them by itself", "publish the others"
            )
        role = self._role_of(trusted, document)
        self._after(self.newest(role), document, role)
        self._keep(document, role, raw)
        return role

    def _take_root(self, document: Document, raw: bytes) -> str:
        before = self.newest("root")
        for judge in (before, document):
            if judge is not None:
                roles.demand(judge, "root", document)
        self._after(before, document, "root")
        self._keep(document, "root", raw)
        return "root"

    def _role_of(self, root: Document, document: Document) -> str:
        """A document does not say which role it is for: it is for the one whose keys have signed it."""
        if document.signed.delegations is not None:
            roles.demand(root, "targets", document)
            return "targets"
        top = self.newest("targets")
        known = top.signed.delegations.roles if top is not None else {}
        for role in known:
            if role != ONLINE and _signed_for(top, role, document):
                _within(known[role], document)
                return str(role)
        raise RefusedError(
            "nobody who may has signed this", "no family's key holds", "neurath key sign FILE --key RELEASE.pem"
        )

    def _after(self, before: Document | None, document: Document, role: str) -> None:
        wanted = 1 if before is None else before.signed.version + 1
        if document.signed.version != wanted:
            why = f"{role} has version {wanted - 1}"
            raise RefusedError(f"version {document.signed.version} of {role} does not follow", why, f"make version {wanted}")

    def _keep(self, document: Document, role: str, raw: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / roles.file_name(document, role), raw)

    # ---- the server's own ------------------------------------------------------------------------------------------------

    def refresh(self, key: Signer, files: Mapping[str, TargetFile], assigned: Mapping[str, str], now: float) -> bool:
        """Signs anew what the server says by itself, where something changed or a third of its time has gone; False where
        nothing was to do. `files` are the deltas there are, `assigned` the releases terminals are pinned to."""
        with self._alone():
            top = self.newest("targets")
            if top is None:
                return False
            families = [role for role in top.signed.delegations.roles if role != ONLINE]
            held = {role: found for role in families if (found := self.newest(role)) is not None}
            names = sorted(name for found in held.values() for name in found.signed.targets)
            index = json.dumps({"releases": names, "assigned": dict(assigned)}, sort_keys=True).encode()
            wanted = {INDEX: TargetFile.from_data(INDEX, index, ["sha256"]), **files}
            numbers = {"targets": top.signed.version, **{role: found.signed.version for role, found in held.items()}}
            if self._stands(numbers, wanted, now):
                return False
            write_whole(self.folder / INDEX, index)
            self._sign(key, numbers, wanted, now)
            return True

    def _stands(self, numbers: Mapping[str, int], wanted: Mapping[str, TargetFile], now: float) -> bool:
        before, own = self.newest("snapshot"), self.newest(ONLINE)
        if before is None or own is None or dict(own.signed.targets) != dict(wanted):
            return False
        said = {name.removesuffix(".json"): meta.version for name, meta in before.signed.meta.items()}
        until = before.signed.expires.timestamp()
        return said == {**numbers, ONLINE: own.signed.version} and until - now > FRESH_DAYS * RENEW_AT * 86400

    def _sign(self, key: Signer, numbers: Mapping[str, int], wanted: Mapping[str, TargetFile], now: float) -> None:
        until = roles.in_days(FRESH_DAYS, now)
        own = Metadata(Targets(version=self._next(ONLINE, now), expires=until, targets=dict(wanted)))
        self._keep(own, ONLINE, roles.signed(own, key))
        shot = roles.snapshot({**numbers, ONLINE: own.signed.version}, self._next("snapshot", now), until)
        self._keep(shot, "snapshot", roles.signed(shot, key))
        before = self.folder / "timestamp.json"
        last = roles.read(before.read_bytes()).signed.version if before.exists() else 0
        stamp = roles.timestamp(shot.signed.version, max(last + 1, int(now)), until)
        write_whole(before, roles.signed(stamp, key))  # last: it names what is there by now

    def _next(self, role: str, now: float) -> int:
        """From the clock: a server that came back from a backup of yesterday says nothing that looks older (decision 0042)."""
        return max(max(self._versions(role), default=0) + 1, int(now))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Of several workers one signs at a time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _signed_for(top: Document | None, role: str, document: Document) -> bool:
    assert top is not None
    with contextlib.suppress(RefusedError):
        roles.demand(top, role, document)
        return True
    return False


def _within(role: DelegatedRole, document: Document) -> None:
    """A family names images of its own models only: a client would stop at any other."""
    for name in document.signed.targets:
        if not role.is_delegated_path(name):
            raise RefusedError(
                f"{name} is of another family", f"{role.name} has {', '.join(role.paths or ())}", "leave it out"
            )
