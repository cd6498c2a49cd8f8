"""One file on its way into staging over a carrier: where it gathers, how much memory it takes, how fast it comes. It knows
staging, the arena and a carrier; it must never begin before the memory is secured, nor touch the bank."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from neurath.carriers.base import Carrier
from neurath.errors import DataError, LinkError, NeurathError
from neurath.flash import parity
from neurath.terminal.machine import events as ev
from neurath.terminal.memory.lender import Lender
from neurath.terminal.memory.reserve import Area, Shortfall
from neurath.terminal.staging import durable
from neurath.terminal.staging.area import PIECE, SYNC_EVERY, Backend, Staging, Volatile

#: Bytes staged between two words about progress.
WORD_EVERY = 4096


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file: its digest (16 or 32 bytes), size, and whether it is fetched by digest alone (rescue)."""

    file: bytes
    size: int
    rescue: bool = False


class Transfer:
    """Staging of one file at a time, durable in `folder` or, without one, in the memory that was secured. A folder that is
    not its own (`alone`) also holds files that trickle. `whole`: for a component that is replaced whole, so that nothing of
    its file need be mended, and none of it is copied."""

    def __init__(
        self, reserve: Lender, folder: Path | None, *, piece: int = PIECE, alone: bool = True, whole: bool = False
    ) -> None:
        self.reserve = reserve
        self.folder = folder
        self._piece = piece
        self._alone = alone
        self._whole = whole
        self._staging: Staging | None = None
        #: Gives a complete file that lies in memory beside the arena, where files trickle into RAM.
        self.beside: Callable[[bytes], Staging | None] = lambda file: None
        self._handed = False
        self.rate = 0  # bytes a second, measured; 0: not yet

    @property
    def in_ram(self) -> bool:
        return self.folder is None and not self._handed

    @property
    def held(self) -> int:
        return 0 if self._staging is None else self._staging.held

    def staged(self) -> tuple[bytes, int]:
        """(digest, sync point) of what a power cut would leave; RAM leaves nothing."""
        return (b"", 0) if self.folder is None else durable.anything(self.folder)

    def secure(self, amount: int, size: int) -> ev.Secured | ev.Short:
        """The memory for an update that needs `amount` bytes of RAM; what is staged durably counts as secured besides."""
        area = self.reserve.free(amount)
        if isinstance(area, Shortfall):
            return ev.Short(area.by)
        assert isinstance(area, Area)
        return ev.Secured(area.length + (0 if self.in_ram else size))

    def lent(self, size: int) -> int:
        """Bytes of the secured area that are left for the core, beside file and parity."""
        area = self.reserve.area
        held = 0 if area is None else area.length
        return held - (size + parity.size(size) if self.in_ram else 0)

    def open(self, wanted: Wanted) -> Staging:
        """The staging of this file, as it was left."""
        known = self._staging and (self._staging.file[:16], self._staging.size)
        if self.folder is None and known is None and self.found(wanted) and self._staging is not None:
            return self._staging
        if self._staging is None or known != (wanted.file[:16], wanted.size):
            backend: Backend
            if self.folder is None:
                backend = Volatile(self.reserve.view(), wanted.size)
            else:
                kind = durable.Durable if self._alone else durable.Beside
                backend = kind(self.folder, wanted.file, wanted.size, self._piece)
            # A large file in small pieces would spend its time on syncs and its map.
            every = 4096 if self._whole else SYNC_EVERY
            self._staging = Staging(wanted.file, wanted.size, backend, piece=self._piece, sync_every=every)
            self._staging.keep_parity = not self._whole
        return self._staging

    def run(self, carrier: Carrier, wanted: Wanted, word: Callable[[int], bool]) -> ev.Event:
        """Fetches what is missing; the event it ended in. `word(held)` is called as pieces come; False stops the transfer,
        for the wire takes precedence."""
        staging = self.open(wanted)
        fetch = carrier.fetch_by_digest if wanted.rescue else carrier.fetch
        began, first, said = time.monotonic(), staging.held, staging.held
        try:
            while not staging.complete:
                offset, length = staging.gap()
                for data in _whole(fetch(staging.file, offset, length), length):
                    staging.take(offset, data)
                    offset += len(data)
                    if staging.held - said >= WORD_EVERY:
                        said = staging.held
                        if not word(said):
                            staging.link_lost()
                            return ev.WireSpeaks()
        except LinkError:
            staging.link_lost()
            staging.sync()
            return ev.LinkLost()
        except DataError as fault:
            staging.link_lost()
            return ev.FileBad(fault.what)
        except OSError as fault:
            return ev.LinkRefused(f"the file cannot be staged: {fault.strerror}")
        except NeurathError as refusal:
            staging.link_lost()
            return ev.LinkRefused(f"{refusal.what}: {refusal.why}")
        finally:
            spent = time.monotonic() - began
            if staging.held - first >= WORD_EVERY and spent > 0:
                self.rate = int((staging.held - first) / spent)
        word(staging.held)
        return ev.Complete()

    def seal(self) -> ev.FileGood | ev.FileBad:
        """G4: digest of the whole file, then its parity."""
        assert self._staging is not None
        try:
            self._staging.seal()
        except NeurathError as fault:
            return ev.FileBad(f"{fault.what}: {fault.why}")
        return ev.FileGood()

    def contents(self) -> bytes | memoryview:
        """The sealed file, mended if one block was damaged; DataError when more is."""
        assert self._staging is not None
        return self._staging.contents()

    def drop(self) -> None:
        if self._staging is not None:
            self._staging.drop()
        self._staging, self._handed = None, False

    def power_up(self, reserve: Lender) -> None:
        """RAM is new and empty; what is durable is still there."""
        self.reserve = reserve
        self._staging, self._handed = None, False

    def found(self, wanted: Wanted) -> bool:
        """Whether the whole of this file is staged durably, or trickled into RAM that no tenant wants."""
        if self.folder is None:
            staged = self.beside(wanted.file)
            if staged is not None and staged.size == wanted.size:
                self._staging, self._handed = staged, True
            return self._handed and staged is not None
        if not durable.complete(self.folder, wanted.file, wanted.size):
            return False
        self._staging = None  # it may have been filled by others
        return self.open(wanted).complete

    def give_back(self) -> None:
        """The memory goes back to its owners. Volatile staging lay in it and is gone."""
        if self.in_ram:
            self._staging = None
        self.reserve.give_back()


def _whole(pieces: Iterator[bytes], length: int) -> Iterator[bytes]:
    """The pieces; LinkError where they end early or say nothing: who gives less than was asked would be asked for ever."""
    for data in pieces:
        if not data:
            break
        length -= len(data)
        yield data
    if length > 0:
        raise LinkError("the link gave too little", f"{length} bytes are missing", "it is tried again")
