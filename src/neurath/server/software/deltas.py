"""Update files on demand: one build for each (old, new, memory map, profile) among all servers, in a process pool, kept for
ever. It knows
keys, races and failures of the pool; it must never decide who gets a file."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import select, update

from neurath.clock import agreed
from neurath.errors import NeurathError
from neurath.flash.geometry import Layout, file_layout
from neurath.flash.profiles import LARGE, LARGE_WORKSPACE, QUICK, SIMPLE, SMALL, TINY, TINY_WORKSPACE
from neurath.server.delivery.pace import Built, File, Pending, Unbuilt
from neurath.server.software import catalog, hopeless
from neurath.server.software.hopeless import RETRY, Key
from neurath.server.store import Store
from neurath.server.store.marks import NOBODY
from neurath.server.store.sql import upsert
from neurath.server.store.tables import delta as deltas

if TYPE_CHECKING:
    from neurath.delta.budget import Wish
    from neurath.delta.build import Delta

log = logging.getLogger(__name__)

#: Which coder builds (docs/spec/delta.md): 2 is the smallest file of a decoder in 20 KiB, 1 ("simple") one in 12 KiB for those
#: who lend less. Part of the key, so a better coder makes new files.
PROFILE, LEAN = SMALL, SIMPLE
#: Seconds by the clock after which a build counts as hanging; 35 MB take 80 (docs/assurance/delta-bench.md).
BUILD_TIME = 300.0
#: More builders than this starve the check-ins on a small machine.
WORKERS = 2


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is told: paths of whole images; `old` None asks for the full image in the container."""

    old: Path | None
    new: Path
    layout: Layout
    profile: int = PROFILE
    left: Left | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """What a cut left of a rewrite, as its terminal describes it, the file that was cut where it is known, and
    the image that file was to make, where another is wanted now."""

    description: bytes
    file: Path | None
    meant: Path | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """The same with digests of files, "" where there is none."""

    description: bytes
    file: str = ""
    meant: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a worker gives back."""

    data: bytes
    workspace: int
    sectors: int
    seconds: float


def usual(profiles: int) -> int:
    """What to build where nothing speaks for more or less, for a core that decodes these (a bit each)."""
    return TINY if profiles >> TINY & 1 and not profiles >> PROFILE & 1 else PROFILE


class Files(Protocol):
    """Deltas.get or Deltas.peek."""

    def __call__(self, old: str, new: str, layout: Layout, profile: int = PROFILE) -> File: ...


Builder = Callable[[Job], Result]


def build(job: Job) -> Result:
    """Builds one update file and rehearses it with the core; runs in a worker process."""
    from neurath import delta  # only a worker needs the encoder

    began = time.monotonic()
    new = job.new.read_bytes()
    # A component that is a file keeps its old bytes while the new ones are made beside them.
    wish = delta.Wish(LEAN if job.profile == LEAN else None, apart=job.layout == file_layout(), quick=job.profile == QUICK)
    if job.profile == TINY:
        wish = replace(wish, profile=TINY, workspace=TINY_WORKSPACE)
    if job.profile == LARGE:
        wish = replace(wish, workspace=LARGE_WORKSPACE)
    old = b"" if job.old is None else job.old.read_bytes()
    with _limited(BUILD_TIME):
        if job.left is not None:
            made = _resumed(old, new, job.left, job.layout, wish if job.profile == TINY else delta.Wish())
        else:
            made = delta.build(old, new, job.layout, wish if old else replace(wish, apart=False))
            made = _bounded(old, new, made, job.layout)
    return Result(made.data, made.workspace, made.sectors, time.monotonic() - began)


def _resumed(old: bytes, new: bytes, left: Left, layout: Layout, wish: Wish) -> Delta:
    """The resume delta for what a cut left (docs/spec/rescue.md)."""
    from neurath.delta import hybrid

    file, meant = (b"" if path is None else path.read_bytes() for path in (left.file, left.meant))
    goal = hybrid.Goal(old, new, file, meant)
    return hybrid.build(hybrid.recognise(left.description, goal, layout), goal, layout, wish)


def _bounded(old: bytes, new: bytes, made: Delta, layout: Layout) -> Delta:
    """In resume mode the file is offered only where the largest resume delta fits too: what that takes is counted to its
    workspace."""
    if not layout.resume or not old:
        return made
    from neurath.delta import hybrid

    most = hybrid.largest(hybrid.Goal(old, new, made.data), layout)
    beyond = max(0, most.size - len(made.data))
    return replace(made, workspace=max(made.workspace, most.workspace) + beyond + beyond // 64)


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """A build that hangs ends: with an error where Python gets to speak, else, after twice the time, with its process."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only a worker has the build in its main thread
        return

    def late(_signal: int, _frame: object) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        raise TimeoutError(f"not built within {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, late)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)


def layout_digest(layout: Layout) -> str:
    """A memory map's name in keys: every field counts."""
    return hashlib.sha256(repr(layout).encode()).hexdigest()[:32]


@dataclass(slots=True)
class Deltas:
    """The update files of one store. `failures` counts builds that failed, the pool's own deaths included."""

    store: Store
    builder: Builder = build
    clock: Callable[[], float] = agreed
    pool: Executor | None = None
    failures: int = 0
    builds: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _running: dict[Key, Future[Result]] = field(default_factory=dict)
    _failed: dict[Key, tuple[float, str]] = field(default_factory=dict)
    _builders: list[BaseProcess] = field(default_factory=list)

    def get(self, old: str, new: str, layout: Layout, profile: int = PROFILE) -> File:
        """The file that turns image `old` ("" for none) into image `new`, Pending while it is built, or why it cannot be.
        Asking begins the building, once however many ask."""
        key = (old, new, layout_digest(layout), profile)
        with self._lock:
            known = self._known(key)
            if known is not None:
                return known
            try:
                old_path = self.store.files.verified(old) if old else None
                future = self._start(key, Job(old_path, self.store.files.verified(new), layout, profile))
                if future is None:
                    return Pending()
            except (NeurathError, OSError, RuntimeError) as fault:
                return self._note_failure(key, fault)
        # Not under the lock: a future that is done already calls back at once, in this thread.
        future.add_done_callback(lambda done: self._finished(key, done))
        return Pending()

    def resumed(self, old: str, new: str, layout: Layout, cut: Cut, profile: int = PROFILE) -> File:
        """The file that brings a bank in mid-rewrite, begun on image `old`, to image `new`."""
        whole = hashlib.sha256(b"|".join((cut.description, *(n.encode() for n in (old, cut.file, cut.meant))))).hexdigest()
        key = (f"left-{whole[:48]}", new, layout_digest(layout), profile)
        with self._lock:
            known = self._known(key)
            if known is not None:
                return known
            try:
                file, meant = (self.store.files.verified(n) if n else None for n in (cut.file, cut.meant))
                left = Left(cut.description, file, meant)
                job = Job(self.store.files.verified(old), self.store.files.verified(new), layout, profile, left)
                future = self._start(key, job)
                if future is None:
                    return Pending()
            except (NeurathError, OSError, RuntimeError) as fault:
                return self._note_failure(key, fault)
        future.add_done_callback(lambda done: self._finished(key, done))
        return Pending()

    def peek(self, old: str, new: str, layout: Layout, profile: int = PROFILE) -> File:
        """As get(), but builds nothing: what is not there is Pending."""
        with self._lock:
            return self._known((old, new, layout_digest(layout), profile)) or Pending()

    def _known(self, key: Key) -> File | None:
        """What is there to say without building; None: build it."""
        if key in self._running:
            return Pending()
        kept = self._kept(key)
        if kept is not None:
            return kept
        failed = self._failed.get(key)
        if failed is not None and self.clock() - failed[0] < RETRY:
            return Unbuilt(failed[1])
        with self.store.read() as db:
            reason = hopeless.stands(db, key, self.clock())
        return Unbuilt(reason) if reason else None

    def close(self) -> None:
        """Ends the workers; unfinished builds begin again when they are next asked for."""
        if self.pool is not None:
            # Idle workers are waited for, so that nothing of theirs is left behind; a build may take too long for that.
            self.pool.shutdown(wait=not self._running, cancel_futures=True)
            self.pool = None

    def _start(self, key: Key, job: Job) -> Future[Result] | None:
        """The build, begun here; None: another process is at it, or has just done it."""
        if not self.store.claim(_claim(key)):
            return None
        try:
            return None if self._kept(key) is not None else self._submitted(key, job)
        finally:
            if key not in self._running:
                self.store.release(_claim(key))

    def _submitted(self, key: Key, job: Job) -> Future[Result]:
        if self.pool is None:
            self.pool = workers()
        self.builds += 1
        future = self._running[key] = self.pool.submit(self.builder, job)
        self._builders = multiprocessing.active_children()
        return future

    def _finished(self, key: Key, future: Future[Result]) -> None:
        try:
            result = future.result()
        except CancelledError:
            pass  # the server ends: nothing is known against this build
        except BaseException as fault:  # the callback is the last one who sees it
            lacks = hopeless.want(fault, _ends(self._builders) if isinstance(fault, BrokenProcessPool) else ())
            if isinstance(fault, BrokenProcessPool):
                with self._lock:
                    self.pool = None  # the next request starts another
            self._remember(key, fault, lacks)
        else:
            self._finish(key, result)
        finally:
            with self._lock:
                self._running.pop(key, None)
            self.store.release(_claim(key))

    def _finish(self, key: Key, result: Result) -> None:
        """Keeps what was built. A full disk is no fault of this build's: the next try is a minute away, however often."""
        try:
            self._keep(key, result)
        except BaseException as fault:
            with self._lock:
                self._note_failure(key, fault)

    def _remember(self, key: Key, fault: BaseException, lacks: str) -> None:
        """Notes for all servers that a build failed; for this one alone while the database is away, or where this server
        `lacks` something: as with a full disk, the next try is a minute away."""
        with self._lock:
            found = self._note_failure(key, lacks or fault)
        if lacks:
            return
        try:
            with self.store.write(NOBODY) as db:
                hopeless.note(db, key, found.reason, self.clock())
        except NeurathError as trouble:
            log.warning("the failure is not written down: %s", trouble.why)
            return
        self._failed.pop(key, None)

    def _note_failure(self, key: Key, fault: BaseException | str) -> Unbuilt:
        self.failures += 1
        what = fault if isinstance(fault, str) else f"{type(fault).__name__}: {fault}"
        what = fault.what if isinstance(fault, NeurathError) else what
        reason = f"its update file could not be built ({what[:200]})"
        self._failed[key] = (self.clock(), reason)
        is_delta = key[0] and not key[0].startswith("left-")
        instead = "; the full image is offered instead" if is_delta else ""
        log.warning("from %s to %s: %s%s", key[0][:12] or "nothing", key[1][:12], reason, instead)
        return Unbuilt(reason)

    def _keep(self, key: Key, result: Result) -> None:
        now = self.clock()
        name = self.store.files.put(result.data).hex()
        values = dict(zip(("old", "new", "layout", "profile"), key, strict=True)) | {
            "file": name,
            "size": len(result.data),
            "workspace": result.workspace,
            "sectors": result.sectors,
            "seconds": result.seconds,
            "built": now,
        }
        with self.store.write() as db:
            catalog.keep_file(db, name, result.data, now)
            # Another process may have been first; its file stays, if it is still there.
            row = deltas.c.old == key[0], deltas.c.new == key[1], deltas.c.layout == key[2], deltas.c.profile == key[3]
            first = db.scalar(select(deltas.c.file).where(*row))
            if first is not None and not self.store.files.sound(first):
                db.execute(update(deltas).where(*row).values(**values))
            db.execute(upsert(deltas).values(**values).on_conflict_do_nothing())
            hopeless.over(db, key)
        self._failed.pop(key, None)

    def _kept(self, key: Key) -> Built | None:
        old, new, layout, profile = key
        query = select(deltas).where(
            deltas.c.old == old, deltas.c.new == new, deltas.c.layout == layout, deltas.c.profile == profile
        )
        with self.store.read() as db:
            row = db.execute(query).one_or_none()
        if row is None or not self.store.files.sound(row.file):
            return None  # never built, or lost since: it is built (again)
        return Built(row.file, row.size, row.workspace, row.sectors)


def _claim(key: Key) -> str:
    return "build " + " ".join(map(str, key))


def workers() -> ProcessPoolExecutor:
    """Processes that build, none of which outlives the server."""
    # Not fork: the server has threads, and a forked child may inherit a held lock.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(WORKERS, mp_context=context, initializer=_end_with_server)


def _ends(builders: Collection[BaseProcess]) -> list[int | None]:
    """How those ended that have. A process closes its files a moment before anybody can ask how it ended."""
    gone = set(connection.wait([one.sentinel for one in builders], 1.0))
    ended = [one for one in builders if one.sentinel in gone]
    for one in ended:
        one.join(10.0)
    return [one.exitcode for one in ended]


def _end_with_server() -> None:
    """In a worker: it ends when the server has, also when that was killed. Nobody else would ever end it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: BaseProcess) -> None:
    parent.join()
    os._exit(0)
