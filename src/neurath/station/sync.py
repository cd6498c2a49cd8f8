"""Keeps a stock in step with its server over plain HTTP: index and images down, records up. It knows requests; what is kept is
checked by the stock, and again by every envelope on use."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from neurath.errors import DataError, NotFound, RefusedError, TrustError, UsageError
from neurath.ids import FIRMWARE, ComponentName, ModelName, TerminalId, Version, checked_name
from neurath.station import keylists, link
from neurath.station.select import Entry
from neurath.station.stock import Index, Stock, index_of
from neurath.wire import manifest
from neurath.wire.keys import public_pem

if TYPE_CHECKING:
    import ssl

    from neurath.repository.client import Target
    from neurath.wire.keylist import KeyList

#: Where a stock keeps what it last believed of its repository.
COPY = "repository"

MOST_LIST = 16384
#: How a token of the management plane begins.
OWN = "nrt_"


@dataclass(frozen=True, slots=True)
class Synced:
    """What one synchronisation did."""

    releases: int
    fetched: int
    records: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where a stock comes from: the server's address, and a token, which a station on another machine needs. `ca`: a file of
    certificates that vouch for the server, "": those of the system; `certificate`: files of the station's own and of its
    private key, in the place of a token; `signed_at`: when the stock's list of keys was signed."""

    server: str
    token: str = ""
    ca: str = ""
    certificate: tuple[()] | tuple[str, str] = ()
    signed_at: float = 0.0

    @property
    def _secure(self) -> ssl.SSLContext | None:
        """None where nothing is encrypted, and TLS not loaded."""
        if not self.server.startswith("https://"):
            if self.certificate:
                raise UsageError("a certificate is shown in TLS alone", self.server[:80], "--server https://...")
            return None
        from neurath.carriers import tls

        if not self.certificate:
            return tls.trusted(self.ca, self.signed_at)
        made = tls.trust(self.ca, self.signed_at)
        try:
            made.load_cert_chain(*self.certificate)
        except (OSError, ValueError) as fault:
            hint = "--certificate NAME.crt.pem --key NAME.pem, of neurath key create"
            raise UsageError("this is no certificate with its key", str(fault), hint) from None
        return made

    def knowing(self, found: KeyList | None) -> Source:
        """The same, to whom it is not earlier than this list was signed (docs/decisions/0432)."""
        return self if found is None else replace(self, signed_at=float(found.issued))

    @property
    def _shown(self) -> str:
        """The token that all stations share, or one of its own (`neurath token add`), which is revoked alone."""
        return f"Bearer {self.token}" if self.token.startswith(OWN) else f"StationToken {self.token}"

    def repository(self, path: str) -> Iterator[bytes]:
        """A document or file of the repository, in pieces; how much of it is read is the caller's to say. A mirror has the
        same paths without the API's: its address ends with a slash."""
        base = self.server if self.server.endswith("/") else f"{self.server}/api/v1/repository/"
        if not base.startswith(("http://", "https://")):
            raise DataError(f"{self.server!r} is no address", "neither http:// nor https://", "say http://HOST:PORT")
        request = urllib.request.Request(f"{base}{urllib.parse.quote(path)}")
        if self.token:
            request.add_unredirected_header("Authorization", self._shown)
        return _pieces(request, self._secure)

    def key_list(self, version: int) -> bytes:
        """A list of keys; NotFound where there is none yet. It is the same for all tenants, and public."""
        if not self.server.startswith(("http://", "https://")):
            raise DataError(f"{self.server!r} is no address", "neither http:// nor https://", "say http://HOST:PORT")
        raw = bytearray()
        request = urllib.request.Request(f"{self.server.rstrip('/')}/DEFAULT/neurath/v1/keys/{version}")
        for piece in _pieces(request, self._secure):
            raw += piece
            if len(raw) > MOST_LIST:
                raise DataError("this is no list of keys", f"more than {MOST_LIST:,} bytes", id="NRT-337")
        return bytes(raw)

    def ask(self, path: str, body: bytes | None = None) -> bytes:
        """One request; the answer's body, or an error in three lines."""
        if not self.server.startswith(("http://", "https://")):
            raise DataError(f"{self.server!r} is no address", "neither http:// nor https://", "say http://HOST:PORT")
        try:
            request = urllib.request.Request(f"{self.server.rstrip('/')}/api/v1{path}", body)
        except ValueError as fault:
            raise DataError(f"{self.server!r} is no address", str(fault), "say http://HOST:PORT") from None
        if body is not None:
            request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_unredirected_header("Authorization", self._shown)
        return _answer(request, self._secure)


def sync(stock: Stock, source: Source, *, accept_keys: bool = False, roots: bytes = b"") -> Synced:
    """Records first: they are the only copy. Then lists of keys, images, and the index that names them. `roots`: the first
    list of keys, out of its owner's hand."""
    source = source.knowing(keylists.kept(stock))
    records = deliver(stock, source)
    found = keylists.catch_up(stock, source.key_list, roots)
    source = source.knowing(found)
    index = index_of(source.ask("/stock").decode("utf-8", "replace"))
    fetched = _fetch(stock, source, index)
    if accept_keys:
        with contextlib.suppress(NotFound):
            stock.forget_keys()
    if found is not None:
        index = keylists.judged(index, found)
    stock.keep(index, [] if found is None else [name for family in found.families for name in family.models])
    return Synced(len(index.entries), fetched, records)


def sync_signed(stock: Stock, source: Source, root: bytes = b"") -> Synced:
    """The same from the repository: every image, key and revocation is what its family and the roots signed. `root` names the
    roots, the first time. A mirror takes no records: they wait for the server."""
    from neurath.repository.client import Copy

    source = source.knowing(keylists.kept(stock))
    copy = Copy(stock.root / COPY)
    if root:
        copy.begin(root)
    before = {path.name for path in (stock.root / "files").glob("*/*")}
    found = copy.sync(source.repository)
    records = 0 if source.server.endswith("/") else deliver(stock, source)
    index = Index(
        entries=tuple(_entry(one) for one in found),
        keys=tuple(
            sorted({(ModelName(one.name.partition("/")[0]), public_pem(key).decode()) for one in found for key in one.keys})
        ),
        assigned=tuple((TerminalId(name), Version(version)) for name, version in sorted(copy.assigned().items())),
        at=time.time(),
        models=_maps(stock, source),
    )
    with contextlib.suppress(NotFound):
        stock.forget_keys()  # whose they are is the roots' to say
    stock.keep(index)
    return Synced(len(index.entries), len({one.digest for one in found} - before), records)


def _maps(stock: Stock, source: Source) -> tuple[tuple[ModelName, str], ...]:
    """Memory maps, which nobody signed: of a mirror those that are here already. A wrong one makes files that are refused."""
    if not source.server.endswith("/"):
        return index_of(source.ask("/stock").decode("utf-8", "replace")).models
    try:
        return stock.index().models
    except NotFound:
        return ()


def _entry(one: Target) -> Entry:
    """The release as the envelope has it, which its family's key signed as well."""
    sealed = manifest.verify(one.envelope, list(one.keys))
    if (sealed.image.hex(), sealed.image_size) != (one.digest, one.size):
        raise TrustError(
            f"the envelope of {one.name} is for another image", "digest or size differ", "nothing was taken", id="NRT-266"
        )
    model, version, *component = one.name.split("/")
    return Entry(
        model=ModelName(checked_name(model, "model")),
        version=Version(checked_name(version, "version")),
        image=one.digest,
        size=one.size,
        envelope=one.envelope,
        envelope_digest=sealed.digest.hex(),
        sequence=sealed.sequence,
        epoch=sealed.epoch,
        revoked=one.revoked,
        component=ComponentName(checked_name(component[0], "component")) if component else FIRMWARE,
    )


def signed(stock: Stock) -> bool:
    """Whether roots were named to this stock: from then on it believes nothing else."""
    return (stock.root / COPY / "1.root.json").exists()


def deliver(stock: Stock, source: Source) -> int:
    """Gives the server the records that wait; each is sent again until the server says it has it."""
    waiting = stock.queued()
    for record in waiting:
        body = json.dumps({"name": record.stem, **json.loads(record.read_text())}).encode()
        source.ask("/restorations", body)
        stock.delivered(record)
    return len(waiting)


def _fetch(stock: Stock, source: Source, index: Index) -> int:
    fetched = 0
    for entry in index.entries:
        if not stock.has(entry):
            stock.put(entry, source.ask(f"/stock/files/{entry.image}"))
            fetched += 1
    return fetched


def _pieces(request: urllib.request.Request, secure: ssl.SSLContext | None) -> Iterator[bytes]:
    try:
        yield from link.answer(request, secure)
    except urllib.error.HTTPError as fault:
        if fault.code == 404:
            raise NotFound("the repository has no such file", request.full_url, "is it the right address?") from None
        raise RefusedError(f"the server refused: {fault.code}", request.full_url, "check --server and --token") from None


def _answer(request: urllib.request.Request, secure: ssl.SSLContext | None) -> bytes:
    try:
        return b"".join(link.answer(request, secure))
    except urllib.error.HTTPError as fault:
        hint = "--token, from station.token in the server's data directory" if fault.code == 403 else "check --server"
        raise RefusedError(f"the server refused: {fault.code}", request.full_url, hint) from None
