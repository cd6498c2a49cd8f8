"""The real product on either side of a narrow line: `neurath serve` at the far end, `neurath agent` at the near one, and pings
beside them as the foreground. It knows processes, networks of their own and a line; what they say to each other is theirs."""

from __future__ import annotations

import contextlib
import queue
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurath.errors import LinkError
from neurath.flash.native import Nor
from neurath.ids import TerminalId
from neurath.sim.corpus import Pair
from neurath.sim.ground import START_TIME, Ground
from neurath.sim.line import Line
from neurath.sim.processes import Running, Said, failure, verb
from neurath.sim.scenario import Actor, Fate, Scenario, board
from neurath.sim.taps import Space, Taps, tap

ONE = TerminalId("terminal-1")
NEAR, FAR, PORT = "10.90.0.1", "10.90.0.2", 8642
#: Bytes of RAM of the board: a file that comes in bulk is not held up for want of it.
RAM = 4 << 20
_ROUND_TRIP = re.compile(r"icmp_seq=(\d+) .*time=([\d.]+) ms")


@dataclass(frozen=True, slots=True)
class Kit:
    """What every run begins with: a server's data, one terminal's bank, both as they are before anything was rolled out."""

    ground: Ground

    @property
    def new(self) -> str:
        return self.ground.release(self.ground.scenario.pair.new_version)


def kit(root: Path, seed: int, changed: int, size: int = 0) -> Kit:
    """A server that knows two releases of random bytes, the first `changed` of `size` bytes of which differ, and one terminal
    that runs the old one."""
    rng = random.Random(seed)
    old = rng.randbytes(max(size, changed))
    pair = Pair("made", "1.0", "2.0", old, rng.randbytes(changed) + old[changed:], real=False)
    ground = Ground(Scenario(pair, board(pair, RAM), (Actor(ONE, Fate.SMOOTH),), seed), root, lambda text, **fields: None)
    try:
        ground.prepare(None)
    finally:
        if ground.server is not None:
            ground.server.end()
    return Kit(ground)


@dataclass
class Narrow:
    """One run: copies of the kit's server and terminal, each in a network of its own, joined by the line."""

    kit: Kit
    line: Line
    root: Path
    heard: queue.Queue[Said] = field(default_factory=queue.Queue)
    said: list[tuple[float, Mapping[str, Any]]] = field(default_factory=list)
    counts: list[dict[str, int]] = field(default_factory=list)
    others: list[Running] = field(default_factory=list)
    server: Running | None = None
    agent: Running | None = None

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True)
        shutil.copytree(self.kit.ground.data, self.root / "server")
        shutil.copy(self.kit.ground.bank(ONE), self.bank)
        self.near, self.far = Space(), Space()
        with self.near.entered():
            one = tap("line0", f"{NEAR}/24")
        with self.far.entered():
            other = tap("line0", f"{FAR}/24")
        self.taps = Taps(self.line, one, other)

    @property
    def bank(self) -> Path:
        return self.root / "terminal.bank"

    def roll_out(self) -> None:
        """From now on the new release is for everybody."""
        verb("rollout", "create", "--release", self.kit.new, "--all", "--start", "--data", self.root / "server")

    def serve(self, *more: str) -> None:
        """Starts the server at the far end."""
        words = ["serve", "--data", str(self.root / "server"), "--host", FAR, "--port", str(PORT), "--json", *more]
        own: queue.Queue[Said] = queue.Queue()
        with self.far.entered():
            self.server = Running("server", words, self.root / "server.log", own)
        try:
            said = own.get(timeout=START_TIME)
        except queue.Empty:
            raise LinkError("the server did not start", f"nothing for {START_TIME:.0f} s", str(self.server.log)) from None
        if said.ended is not None:
            raise failure("serve", said.ended, self.server.log.read_text(errors="replace"))

    def live(self, *more: str) -> None:
        """Starts the terminal at the near end; what it says gathers in `said`."""
        words: list[str | Path] = [
            "agent",
            "run",
            "--bank",
            self.bank,
            "--model",
            self.kit.ground.vault / "model.toml",
            "--json",
        ]
        link: list[str | Path] = [
            "--server",
            f"http://{FAR}:{PORT}",
            "--token",
            self.kit.ground.tokens[ONE],
            "--stage",
            self.root / "stage",
        ]
        with self.near.entered():
            self.agent = Running(ONE, [*words, *link, *more], self.root / "agent.log", self.heard)

    def beside(self, *words: str | Path) -> Running:
        """Starts one more process of ours at the far end, and waits for its first word."""
        own: queue.Queue[Said] = queue.Queue()
        with self.far.entered():
            made = Running(str(words[0]), [*words, "--json"], self.root / f"{words[0]}.log", own)
        self.others.append(made)
        said = own.get(timeout=START_TIME)
        if said.ended is not None:
            raise failure(str(words[0]), said.ended, made.log.read_text(errors="replace"))
        return made

    def listen(self, seconds: float = 0.0) -> list[tuple[float, Mapping[str, Any]]]:
        """What the terminal said so far and says within so many seconds, with when."""
        end = time.monotonic() + seconds
        while True:
            try:
                word = self.heard.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                return self.said
            self.said.append((time.monotonic(), word.record))

    def wait_for(self, seconds: float, **fields: object) -> None:
        """Until the terminal says this, or LinkError with its last words."""
        end = time.monotonic() + seconds
        while not any(all(record.get(k) == v for k, v in fields.items()) for _, record in self.said):
            assert self.agent is not None
            if time.monotonic() > end or not self.agent.alive:
                raise LinkError(f"the terminal did not say {fields}", self.agent.last_words(), str(self.agent.log))
            self.listen(0.2)

    def runs_new(self) -> bool:
        """Whether the terminal's bank holds the new image: nobody is asked."""
        layout, new = self.kit.ground.scenario.model.layout, self.kit.ground.scenario.pair.new
        nor = Nor.file(layout, self.bank)
        try:
            return b"".join(nor.read_raw(span.base, span.length) for span in layout.bank)[: len(new)] == new
        finally:
            nor.close()

    def pings(self, count: int, every: float) -> list[float | None]:
        """Round trips in milliseconds from the near end to the far one, None for what was lost."""
        words = ["ping", "-n", "-c", str(count), "-i", str(every), "-W", "30", FAR]
        with self.near.entered():
            said = subprocess.run(words, capture_output=True, text=True, check=False).stdout
        found = {int(number): float(took) for number, took in _ROUND_TRIP.findall(said)}
        return [found.get(number) for number in range(1, count + 1)]

    def close(self) -> Sequence[Mapping[str, int]]:
        """Ends it all; what the line did in each direction. Harmless when it was ended."""
        if self.counts:
            return self.counts
        for process in (self.agent, *self.others, self.server):
            if process is not None:
                process.end()
        self.counts = self.taps.close()
        self.near.close()
        self.far.close()
        return self.counts


@contextlib.contextmanager
def narrow(kit: Kit, line: Line, root: Path) -> Iterator[Narrow]:
    """One run, ended whatever happens."""
    made = Narrow(kit, line, root)
    try:
        yield made
    finally:
        made.close()
