"""Whom a terminal believes by now: the keys of its birth record, or those of the last key list it took, which lies in a file
beside its flash. It knows how lists are taken one after the other; it must never go back to an older one, nor believe a
list that the roots have not signed. Spec: docs/spec/keylist.md 4."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from neurath.disk import write_whole
from neurath.errors import DataError, NotFound
from neurath.flash.bank import Facts
from neurath.flash.trust import Birth
from neurath.wire import keylist

if TYPE_CHECKING:
    from neurath.wire.keylist import KeyList

#: Gives the list of this version, NotFound where there is none.
Source = Callable[[int], bytes]
#: Lists taken in one go: more than a terminal misses that sleeps for years, and an end to a server that never ends.
MOST = 1000


class Log(Protocol):
    """The highest version that was ever taken, where a power cut cannot lower it: the core."""

    @property
    def facts(self) -> Facts: ...

    def accept_key_list(self, version: int) -> None: ...


def kept(path: Path | None) -> KeyList | None:
    """The list in the file, where there is one and it is whole."""
    try:
        return None if path is None else keylist.unpack(path.read_bytes())[1]
    except (OSError, DataError):
        return None


class Keyring:
    """The keys of one terminal. The file may be lost or old, or there is no place for one: then lists are taken anew from
    number 1 on, and none is believed that is older than the log says."""

    def __init__(self, birth: Birth, path: Path | None, log: Log) -> None:
        self._born = birth
        self._path = path
        self._log = log
        self._at: KeyList | None = self._kept()

    def _kept(self) -> KeyList | None:
        return kept(self._path) if self._born.root else None

    @property
    def signed_at(self) -> float:
        """When the list held here was signed, 0.0 where it does not say or there is none. Of this one, not the latest of
        all: a later list is what mends a wrong time, and only two roots make one (docs/decisions/0432)."""
        return 0.0 if self._at is None else float(self._at.issued)

    @property
    def current(self) -> KeyList | None:
        """The list that counts: none that is older than the newest ever taken."""
        known = self._at is not None and self._at.version >= self._log.facts.key_list
        return self._at if known else None

    def birth(self, *, wire: bool = False) -> Birth:
        """The birth record with the keys that count now. Where the list is lost nobody is believed over the air until it is
        here again, as keys of the birth record may have been revoked since; on the wire they are: nobody torn is abandoned."""
        if self.current is not None:
            return replace(self._born, release=self.current.release(self._born.model), ticket=self.current.ticket)
        return self._born if wire or self._log.facts.key_list == 0 else replace(self._born, release=(), ticket=None)

    def catch_up(self, source: Source) -> int:
        """Takes every list there is, one after the other; how many. TrustError, RefusedError, DataError: a list that is none;
        what was taken before it stays."""
        taken = 0
        if self._at is not None:
            self._record(self._at.version)  # power may have gone between file and log
        while self._born.root and taken < MOST:
            version, root = (0, self._born.root) if self._at is None else (self._at.version, self._at.successors.digest)
            try:
                raw = source(version + 1)
            except NotFound:
                break
            found = keylist.accept(raw, root, version)
            self._at = found
            if self._path is not None and found.version >= self._log.facts.key_list:
                write_whole(self._path, raw)  # first: the log never names a list that was not kept
            self._record(found.version)
            taken += 1
        return taken

    def _record(self, version: int) -> None:
        if version > self._log.facts.key_list:
            self._log.accept_key_list(version)
