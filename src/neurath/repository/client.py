"""A copy of the software store, kept in step by python-tuf's client: nothing enters it that its roots' delegations do
not vouch for. It knows folders and how one file is asked for; it must never judge a signature itself, nor believe a
list of what there is for more than names. Spec: docs/spec/repository.md."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.api.metadata import TargetFile
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from neurath.disk import write_whole
from neurath.errors import DataError, LinkError, NotFound, TrustError
from neurath.repository import roles
from neurath.repository.roles import INDEX, ONLINE
from neurath.wire.keys import PublicKey

METADATA, FILES, ROOT = "metadata", "files", "1.root.json"
#: How one document or file is asked for: a path in, pieces of bytes out; LinkError, or NotFound where there is none.
Ask = Callable[[str], Iterator[bytes]]
#: No image of ours is larger (docs/spec/restoration.md); the index names so much at most.
_LARGEST, _NAMES = 1 << 30, 1 << 22


@dataclass(frozen=True, slots=True)
class Target:
    """One release: its name, the size and SHA-256 that its family signed for, and what else it said."""

    name: str
    size: int
    digest: str
    envelope: bytes
    revoked: bool
    keys: tuple[PublicKey, ...]


class _Fetcher(FetcherInterface):
    """The client's network: our own requests. Lengths are the client's to bound. What came is written down in `kept`."""

    def __init__(self, ask: Ask, kept: Path | None = None) -> None:
        self._ask = ask
        self._kept = kept

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            yield from self._ask(url) if self._kept is None else self._noted(url, self._kept / url)
        except NotFound as fault:
            raise DownloadHTTPError(fault.what, 404) from None

    def _noted(self, url: str, to: Path) -> Iterator[bytes]:
        part = to.with_name(f".{to.name}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            for piece in self._ask(url):
                file.write(piece)
                yield piece
        part.replace(to)


class Copy:
    """A folder with the documents last believed, and the files they name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def begun(self) -> bool:
        """Whether roots were named: from then on nothing else is believed."""
        return (self.folder / ROOT).exists()

    def begin(self, root: bytes) -> None:
        """Names the roots, once; TrustError for others afterwards."""
        path = self.folder / ROOT
        if path.exists() and path.read_bytes() != root:
            raise TrustError("this copy has other roots", "they are named once", "an empty folder begins anew")
        if roles.read(root).signed.type != "root":
            raise DataError("this names no roots", "another document", "1.root.json of the repository")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, root)

    def sync(self, ask: Ask, kept: Path | None = None) -> list[Target]:
        """The releases there are, each image checked and in the folder; TrustError, LinkError, DataError: what was there
        before stays."""
        try:
            return self._sync(self._updater(_Fetcher(ask, kept)))
        except ExpiredMetadataError as fault:
            why = f"{fault}: an old answer is repeated, or the server has not signed a new one"
            raise TrustError("what the server says is too old", why, "is this machine's clock right?", id="NRT-244") from None
        except DownloadLengthMismatchError as fault:
            raise TrustError("more came than was announced", str(fault), "the server or a mirror lies", id="NRT-244") from None
        except DownloadError as fault:
            raise LinkError("the repository cannot be read", str(fault.__cause__ or fault), "is the server running?") from None
        except RepositoryError as fault:
            raise TrustError("this repository is not to be believed", str(fault), "nothing was taken", id="NRT-244") from None

    def _updater(self, fetcher: _Fetcher) -> Updater:
        for name in (METADATA, FILES):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        root = (self.folder / ROOT).read_bytes()
        where = str(self.folder / METADATA), "metadata/", str(self.folder / FILES), "targets/"
        return Updater(*where, fetcher, UpdaterConfig(), bootstrap=root)

    def _sync(self, client: Updater) -> list[Target]:
        client.refresh()
        index = self._index(client)
        signers = self._signers()
        found = [self._one(client, name, signers) for name in index["releases"]]
        write_whole(self.folder / INDEX, json.dumps(index, sort_keys=True).encode())
        return found

    def _index(self, client: Updater) -> dict[str, Any]:
        """Names, and pins: what the server's own key may say."""
        info = client.get_targetinfo(INDEX)
        if info is None or info.length > _NAMES:
            raise TrustError("the server lists nothing", "no index, or one without end", "nothing was taken", id="NRT-244")
        raw = Path(client.download_target(info)).read_bytes()
        try:
            found = json.loads(raw)
            names, pins = [str(one) for one in found["releases"]], {str(k): str(v) for k, v in found["assigned"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError("this is no index of a repository", "it does not parse", "docs/spec/repository.md") from None
        return {"releases": names, "assigned": pins}

    def _signers(self) -> dict[str, tuple[PublicKey, ...]]:
        """The release keys of each model, as the roots delegate them."""
        top = roles.read((self.folder / METADATA / "targets.json").read_bytes()).signed.delegations
        return {
            pattern.partition("/")[0]: tuple(roles.our_key(top.keys[name]) for name in role.keyids)
            for role in top.roles.values()
            if role.name != ONLINE
            for pattern in role.paths
        }

    def _one(self, client: Updater, name: str, signers: dict[str, tuple[PublicKey, ...]]) -> Target:
        info = client.get_targetinfo(name)
        model = name.partition("/")[0]
        if info is None or model not in signers:
            raise TrustError(
                f"nobody signed for {name}", "the index names it, no family does", "nothing was taken", id="NRT-244"
            )
        if info.length > _LARGEST:
            raise TrustError(f"{name} is too large", f"{info.length:,} bytes", "no bank is larger", id="NRT-244")
        digest, envelope, revoked = said(info)
        to = self.path(digest)
        to.parent.mkdir(parents=True, exist_ok=True)
        if client.find_cached_target(info, str(to)) is None:
            client.download_target(info, str(to))
        return Target(name, info.length, digest, envelope, revoked, signers[model])

    def path(self, digest: str) -> Path:
        """Where the file with this SHA-256 lies: as in a stock."""
        return self.folder.parent / FILES / digest[:2] / digest

    def assigned(self) -> dict[str, str]:
        """The releases that terminals are pinned to, as last synchronised."""
        return dict(json.loads((self.folder / INDEX).read_text())["assigned"])


def said(info: TargetFile) -> tuple[str, bytes, bool]:
    """What a family said of one image: digest, envelope, revoked or not. The digest names a file here: nothing else may."""
    custom = info.custom or {}
    try:
        digest = bytes.fromhex(info.hashes["sha256"])
        if len(digest) == 32:
            return digest.hex(), bytes.fromhex(custom["envelope"]), bool(custom["revoked"])
        raise ValueError(digest)
    except (KeyError, ValueError, TypeError):
        raise DataError(f"{info.path} says too little", "digest and envelope are needed", "publish it again") from None


def mirror(to: Path, root: bytes, ask: Ask) -> list[Target]:
    """Keeps `to` as a repository that any web server hands on as it is: metadata/ and targets/, each file believed before it
    appears there, timestamp.json last. Nothing is signed anew: who reads it believes it as little as the server."""
    copy = Copy(to / ".copy" / "tuf")
    copy.begin(root)
    with tempfile.TemporaryDirectory(dir=to) as kept:
        found = copy.sync(ask, Path(kept))
        write_whole(to / ROOT, root)
        came = sorted(
            (path for path in Path(kept).rglob("[!.]*") if path.is_file()), key=lambda path: path.name == "timestamp.json"
        )
        for path in came:
            target = to / path.relative_to(kept)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
    return found
