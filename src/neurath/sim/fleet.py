"""A story told with real processes: a server, one agent process a terminal, power cuts that are SIGKILL, a station on a pty.
It watches and says what it sees in plain lines; whether all went well is read from the bank files, never from reports."""

from __future__ import annotations

import queue
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from neurath.ids import TerminalId
from neurath.sim import leak
from neurath.sim.ground import Ground, Say
from neurath.sim.processes import Running, Said, free_port, verb, was_killed
from neurath.sim.scenario import Actor, Fate, Scenario
from neurath.wire.keys import load_private

#: Seconds within which the whole story ends, well or badly.
PATIENCE = 240.0
#: Seconds that reports may take to the server after the last verdict.
SETTLE = 20.0
#: Exit code of a station that found nothing to restore.
NOTHING_TO_RESTORE = 3
#: Seconds between two lines about the same progress.
LINE_EVERY = 5.0


@dataclass(slots=True)
class Part:
    """How far one terminal is in its part of the story."""

    actor: Actor
    process: Running | None = None
    lives: int = 0
    phase: str = ""
    said_at: float = 0.0
    wire: str = ""
    station: Running | None = None
    done: bool = False
    lost: str = ""


class Fleet:
    """Tells one scenario in one folder; ends every process it started."""

    def __init__(self, scenario: Scenario, folder: Path, port: int | None, say: Say) -> None:
        self.scenario = scenario
        self.say = say
        self.ground = Ground(scenario, folder, say)
        self.parts = {actor.id: Part(actor) for actor in scenario.actors}
        self._port = port
        self._dead = free_port()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, where: TracebackType | None) -> None:
        for part in self.parts.values():
            for process in (part.station, part.process):
                if process is not None:
                    process.end()
        if self.ground.server is not None:
            self.ground.server.end()

    def tell(self) -> bool:
        """The whole story; True when every bank holds the new software and every part went as the scenario says."""
        self.ground.prepare(self._port)
        pair = self.scenario.pair
        verb(
            "rollout",
            "create",
            "--release",
            self.ground.release(pair.new_version),
            "--all",
            "--start",
            "--data",
            self.ground.data,
        )
        self.say(f"rollout of {self.ground.release(pair.new_version)} to all {len(self.parts)} terminals started")
        for part in self.parts.values():
            self._power_up(part)
        end = time.monotonic() + PATIENCE
        while not all(part.done or part.lost for part in self.parts.values()) and time.monotonic() < end:
            try:
                said = self.ground.heard.get(timeout=0.5)
            except queue.Empty:
                continue
            self._hear(said)
        self._settle()
        self._ask_why()
        return self._verdict() and self._no_release_key_at_the_server()

    def _settle(self) -> None:
        """Lets the last reports reach the server before the processes end: a terminal says its verdict, then sends it."""
        end = time.monotonic() + SETTLE
        waiting = [name for name, part in self.parts.items() if part.done]
        while waiting and time.monotonic() < end:
            ledger = verb("terminal", "show", waiting[0], "--data", self.ground.data)[0]["ledger"]
            wanted = (self.scenario.pair.new_version, "confirmed")
            if any((line["version"], line["verdict"]) == wanted for line in ledger):
                waiting.pop(0)

    def _no_release_key_at_the_server(self) -> bool:
        """Looks through every file the server has."""
        looked, held = leak.found(self.ground.data, load_private(self.ground.vault / "release.pem"))
        where = f"in {held[0]}" if held else "in none of them"
        self.say(f"{looked} files of the server searched: the release key is {where}", searched=looked, held=len(held))
        return not held

    def _ask_why(self) -> None:
        """What the server says of those that did not come through."""
        for name, part in self.parts.items():
            if not part.done and not part.lost:
                said = verb("terminal", "why", name, "--data", self.ground.data)
                part.lost = f"after {PATIENCE:.0f} s the server says: {said[0].get('why', said[0]) if said else 'nothing'}"

    def stay(self) -> None:
        """Keeps server and terminals up until Ctrl-C."""
        self.say(f"console: {self.ground.url}   everything lies in {self.ground.root}   Ctrl-C ends it")
        try:
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            self.say("ended")

    def _power_up(self, part: Part) -> None:
        """A process that holds nothing but the bank file and how to reach the server."""
        actor, ground = part.actor, self.ground
        stranded = actor.fate is Fate.STRANDED and part.lives == 1
        words = [
            "agent", "run", "--bank", str(ground.bank(actor.id)), "--model", str(ground.vault / "model.toml"),
            "--server", f"http://127.0.0.1:{self._dead}" if stranded else ground.url,
            "--token", ground.tokens[actor.id], "--json",
        ]  # fmt: skip
        if part.lives == 0 and actor.kill_at:
            words += ["--kill-at", str(actor.kill_at)]
        if stranded:
            words += ["--wire", str(ground.root / "terminals" / f"{actor.id}.wire")]
        part.lives += 1
        part.process = Running(actor.id, words, ground.log(f"{actor.id}-{part.lives}"), ground.heard)

    def _hear(self, said: Said) -> None:
        """One line or the end of one process."""
        name = TerminalId(said.who.removeprefix("station of "))
        part = self.parts[name]
        if said.who != name:
            self._hear_station(part, said)
        elif said.ended is None:
            self._hear_agent(part, said)
        elif part.process is not None and not part.process.alive:
            self._ended(part, said.ended)

    def _hear_agent(self, part: Part, said: Said) -> None:
        record, name = said.record, part.actor.id
        phase, verdict = str(record.get("phase", part.phase)), record.get("verdict")
        if verdict:
            if not part.done:
                self.say(f"{name}: {verdict}{_reason(record)}", terminal=name, verdict=verdict)
            part.done = verdict == "confirmed"
        elif phase != "idle" and (phase != part.phase or time.monotonic() - part.said_at > LINE_EVERY):
            part.said_at = time.monotonic()
            self.say(f"{name}: {phase}{_progress(record)}{_reason(record)}", terminal=name, phase=phase)
        part.phase = phase
        if record.get("wire") and part.station is None:
            self._restore(part, str(record["wire"]))

    def _ended(self, part: Part, code: int) -> None:
        """A process is gone: as by a power cut, or by itself."""
        actor = part.actor
        if was_killed(code) and part.lives == 1 and actor.kill_at:
            self.say(f"{actor.id}: POWER CUT (SIGKILL) at flash operation {actor.kill_at}; {self._bank_state(actor)}")
            if actor.fate is Fate.STRANDED:
                self.say(f"{actor.id}: its link is dead too; it opens its wire and waits for the station")
            else:
                self.say(f"{actor.id}: power is back; a new process holds nothing but the bank file")
            self._power_up(part)
        elif not part.done and part.station is None:
            words = part.process.last_words() if part.process else ""
            part.lost = f"its process ended with {code}: {words}"

    def _bank_state(self, actor: Actor) -> str:
        ground = self.ground
        if ground.runs_new(actor.id):
            return "its bank already holds the new image"
        old = ground.runs(actor.id, self.scenario.pair.old)
        return "its bank still holds the old image" if old else "its bank now holds neither the old image nor the new one"

    def _restore(self, part: Part, wire: str) -> None:
        """The technician: takes stock from the server, plugs the cable in."""
        ground = self.ground
        stock = ground.root / "stock"
        verb("station", "sync", "--server", ground.url, "--stock", stock)
        self.say(f"station: stock taken from the server, then offline; plugged into {part.actor.id} at {wire}")
        name = f"station of {part.actor.id}"
        words = ["station", "run", "--port", wire, "--stock", str(stock), "--once", "--json"]
        part.station = Running(name, words, ground.log("station"), ground.heard)

    def _hear_station(self, part: Part, said: Said) -> None:
        if said.ended is not None:
            if said.ended not in (0, NOTHING_TO_RESTORE):
                part.lost = f"the station ended with {said.ended}: {part.station.last_words() if part.station else ''}"
            else:
                self._mended(part, by_itself=said.ended == NOTHING_TO_RESTORE)
        elif said.record.get("event") == "task_progress":
            step, held, total = (said.record.get(key) for key in ("step", "held", "total"))
            self.say(f"station: {step} {held:,} of {total:,} bytes" if total else f"station: {step}")

    def _mended(self, part: Part, by_itself: bool) -> None:
        """The cable is out again, the link is mended: the terminal confirms by itself, the station's record goes up."""
        ground = self.ground
        if by_itself:
            self.say(f"station: nothing to do; {part.actor.id} finished by itself from its scratch sectors")
        else:
            self.say(f"station: {part.actor.id} is restored; it is safe to unplug")
        if part.process is not None:
            part.process.end()
        verb("station", "sync", "--server", ground.url, "--stock", ground.root / "stock")
        self.say(f"{'' if by_itself else 'station: its record is with the server; '}the link of {part.actor.id} is mended")
        self._power_up(part)

    def _verdict(self) -> bool:
        """Reads every bank file and says what it holds."""
        pair, whole = self.scenario.pair, True
        for part in self.parts.values():
            new = self.ground.runs_new(part.actor.id)
            whole = whole and new and part.done
            if part.actor.kill_at and part.lives == 1 and not part.lost:
                part.lost = f"its rewrite was over before flash operation {part.actor.kill_at}: it was not cut"
            held = (
                f"holds {pair.new_version}, {len(pair.new):,} bytes, byte for byte" if new else "does NOT hold the new image"
            )
            self.say(
                f"{part.actor.id}: its bank {held}{'; ' + part.lost if part.lost else ''}", terminal=part.actor.id, new=new
            )
        self.say(
            "every bank holds the new software" if whole else f"NOT every terminal came through; logs: {self.ground.root}/logs"
        )
        return whole


def _progress(record: Mapping[str, Any]) -> str:
    done, total = record.get("done"), record.get("total")
    return f", {done:,} of {total:,} bytes" if isinstance(done, int) and isinstance(total, int) and total else ""


def _reason(record: Mapping[str, Any]) -> str:
    return f" ({record['reason']})" if record.get("reason") else ""
