"""The monitor of watched folders: a file with its envelope beside it becomes a release. It knows when a file is whole and what
it is bound to; it must never write into a folder, hold a file open, or let one bad folder stop the others. Spec:
docs/spec/watched.md."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import watchfiles

from neurath.clock import agreed
from neurath.errors import NeurathError
from neurath.ids import digest
from neurath.server.software.catalog import IMAGE, Upload
from neurath.server.software.models import find_model, model_keys
from neurath.server.software.upload import read_upload
from neurath.server.store import Store, acts
from neurath.server.watch import arrival, folders
from neurath.server.watch.folders import ENVELOPE, Folder, Found, Standing
from neurath.server.watch.stillness import SETTLE, SETTLE_UNSIGNED, Stamp, Stillness, names, stamp, version_in
from neurath.wire import keys as keyfiles
from neurath.wire import manifest

log = logging.getLogger(__name__)

#: All folders are looked at so often, seconds, whatever the system says about changes.
EVERY = 2.0
#: No image and no package is larger, bytes.
MOST = 256 << 20
#: The store was busy: this is no verdict on a file.
_BUSY = "NRT-310"

Look = tuple[Stamp | None, Stamp | None]


class Watch:
    """What was seen of every folder; `started` counts rollouts begun. `look` may be called at any time, from one thread at a
    time."""

    def __init__(self, store: Store, clock: Callable[[], float] = agreed, still: Stillness | None = None) -> None:
        self._store = store
        self._clock = clock
        self._still = still or Stillness()
        self._done: dict[Path, Look] = {}
        self.started = 0

    def look(self) -> tuple[list[Path], bool]:
        """Looks at every folder once: (the folders that are there, whether something still has to settle)."""
        with self._store.read() as db:
            known = folders.all_folders(db)
        there, soon = [], False
        for folder in known:
            try:
                soon |= self._look_at(folder)
                there.append(Path(folder.path))
            except OSError as fault:
                self._trouble(folder, fault.strerror or str(fault))
        return there, soon

    def _trouble(self, folder: Folder, words: str) -> None:
        if folder.trouble != words:
            with self._store.write() as db:
                folders.trouble(db, folder.id, words)

    def _look_at(self, folder: Folder) -> bool:
        directory = Path(folder.path)
        listed = names(directory, ENVELOPE)
        self._trouble(folder, "")
        with self._store.read() as db:
            known = {one.name: one for one in folders.found_in(db, folder.id)}
        if gone := known.keys() - listed:
            with self._store.write() as db:
                folders.forget(db, folder.id, gone)
            for name in gone:
                self._done.pop(directory / name, None)
        # Every file is looked at: one that is not still yet holds up no other.
        return sum(self._look_at_file(folder, directory / name, known.get(name)) for name in listed) > 0

    def _look_at_file(self, folder: Folder, path: Path, known: Found | None) -> bool:
        """True: it is not still yet, or the store was busy."""
        seen = _look(path)
        age = self._still.age(path, seen)
        if known is not None and self._done.get(path) == seen:
            return False
        if age < SETTLE:
            return True
        try:
            found = self._read(folder, path, age)
        except OSError as fault:
            found = Found(path.name, 0, "", "", Standing.REFUSED, f"cannot be read: {fault.strerror or fault}", None)
        except NeurathError as fault:
            if fault.id != _BUSY:
                raise
            return True
        if found is None or _look(path) != seen:
            return True  # it changed while it was read
        if found != known:
            with self._store.write() as db:
                folders.note(db, folder.id, found)
        self._done[path] = seen
        return False

    def _read(self, folder: Folder, path: Path, age: float) -> Found | None:
        """How the file stands; None: not still for long enough."""
        seen = _look(path)
        size = 0 if seen[0] is None else seen[0].size
        if size > MOST:
            return Found(path.name, size, "", "", Standing.REFUSED, f"larger than {MOST >> 20} MiB", None)
        data, envelope = path.read_bytes(), _envelope_of(path)
        if _look(path) != seen:
            return None
        found = Found(
            name=path.name,
            size=len(data),
            digest=digest(data).hex(),
            envelope=digest(envelope).hex() if envelope else "",
            standing=Standing.REFUSED,
            note="",
            release=None,
        )
        try:
            return self._judged(folder, found, (data, envelope), age)
        except NeurathError as fault:
            if fault.id == _BUSY:
                raise
            return replace(found, note=": ".join(filter(None, (fault.what, fault.why))))

    def _judged(self, folder: Folder, found: Found, content: tuple[bytes, bytes], age: float) -> Found | None:
        data, envelope = content
        with self._store.read() as db:
            model = find_model(db, folder.model)
            keys = [keyfiles.public_from_pem(pem) for pem in model_keys(db, folder.model)]
        taken = read_upload(data, found.name, model, folder.component, signed=bool(envelope))
        upload = replace(taken, model=folder.model)
        if upload.kind != IMAGE:
            return None if age < SETTLE_UNSIGNED else self._taken(found, replace(upload, version=version_in(found.name)))
        if not envelope:
            return replace(found, standing=Standing.WAITING, note=f"no envelope beside it ({found.name}{ENVELOPE})")
        sealed = manifest.verify(envelope, keys)
        if sealed.image != digest(upload.data):
            return replace(found, standing=Standing.WAITING, note="the envelope beside it is for another image")
        version = sealed.version or f"sequence-{sealed.sequence}"
        return self._taken(found, replace(upload, version=version, envelope=envelope))

    def _taken(self, found: Found, upload: Upload) -> Found:
        if not upload.version:
            return replace(found, standing=Standing.REFUSED, note="no version in its name (NAME-1.2.3.swu)")
        with acts.acting(acts.by_server("software from a watched folder", upload.filename, model=upload.model)):
            came = arrival.arrive(self._store, upload, self._clock())
        self.started += came.rollout is not None
        if came.same is None or came.rollout is not None:
            log.info("%s is %s, rollout %s", found.name, came.release.name, came.rollout or "waits for a person")
        return replace(found, standing=Standing.RELEASED, note="", release=came.release.id)


def _look(path: Path) -> Look:
    return stamp(path), stamp(path.with_name(path.name + ENVELOPE))


def _envelope_of(path: Path) -> bytes:
    """The envelope beside a file, b"" where there is none; one that is too long stays so and is refused."""
    with contextlib.suppress(FileNotFoundError, IsADirectoryError), path.with_name(path.name + ENVELOPE).open("rb") as source:
        return source.read(manifest.MAX_ENVELOPE + 1)
    return b""


async def run(watch: Watch, started: asyncio.Event) -> None:
    """Watches until cancelled: woken by the system, by things that settle, and by the clock. Sets `started` when a rollout
    was, so that terminals are told at once."""
    stirred = asyncio.Event()
    told = 0
    listening: tuple[set[Path], asyncio.Task[None]] | None = None
    try:
        while True:
            stirred.clear()
            try:
                there, soon = await asyncio.to_thread(watch.look)
            except NeurathError as fault:
                log.warning("watched folders wait: %s (%s)", fault.what, fault.why)
                await asyncio.sleep(EVERY)
                continue
            if watch.started != told:
                told = watch.started
                started.set()
            if listening is None or listening[0] != set(there) or listening[1].done():
                if listening is not None:
                    listening[1].cancel()
                listening = set(there), asyncio.create_task(_listen(there, stirred))
            if soon:
                await asyncio.sleep(SETTLE / 2)
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stirred.wait(), EVERY)
    finally:
        if listening is not None:
            listening[1].cancel()


async def _listen(paths: list[Path], stirred: asyncio.Event) -> None:
    """Sets `stirred` when something in the folders changed. Where the system cannot tell (no inotify watches left, a network
    share), the clock does."""
    if not paths:
        await asyncio.Event().wait()
    try:
        async for _ in watchfiles.awatch(*paths, watch_filter=None, debounce=100, step=20, recursive=False):
            stirred.set()
    except (OSError, RuntimeError) as fault:
        log.warning("no word from the system about changes, looking every %.0f s: %s", EVERY, fault)
        await asyncio.Event().wait()
