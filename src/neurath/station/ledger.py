"""The records of what a station enrolled: a file that only grows. It knows which names and keys were given; it must never
change a line that is there, nor add one that contradicts it."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass, replace
from pathlib import Path

from neurath.errors import RefusedError
from neurath.wire import enrolment
from neurath.wire.enrolment import BEGINNING, BEGUN, ENROLLED, Record
from neurath.wire.keys import Signer


@dataclass(frozen=True, slots=True)
class Desk:
    """Who writes: a person, a station, and the station's key where it has one."""

    by: str
    station: str
    signer: Signer | None = None


class Ledger:
    """`path` is made with the first record."""

    def __init__(self, path: Path, desk: Desk) -> None:
        self.path = path
        self.desk = desk

    def records(self) -> list[Record]:
        """All of them, checked; a last line that power cut short is not one (it was acknowledged to nobody)."""
        try:
            lines = self.path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        return list(enrolment.read(line for line in lines if line.endswith(b"\n")))

    def begun(self, name: str) -> bool:
        """This terminal was being written to, and what became of it is not recorded."""
        mine = [one.what for one in self.records() if one.id == name]
        return bool(mine) and ENROLLED not in mine

    def check(self, name: str, key: str = "") -> None:
        """RefusedError where this id has a key already, or the key another id."""
        for one in self.records():
            if one.what != ENROLLED:
                continue
            if one.id == name:
                why = f"it was given on {self.desk.station}'s record {one.n}, to the key {one.fingerprint[:16]}"
                raise RefusedError(f"{name} is another terminal's name", why, "read the label again", id="NRT-394")
            if key and one.key == key:
                why = f"{one.id} has it (record {one.n}): one of the two is a copy, or its noise source is dead"
                raise RefusedError(
                    f"the key of {name} is not its own", why, "do not ship it; neither of the two", id="NRT-395"
                )

    def begin(self, record: Record) -> None:
        """Before anything is written to a terminal."""
        self.check(record.id)
        self._add(replace(record, what=BEGUN, key="", token=""))

    def enrolled(self, record: Record) -> Record:
        """Its key is known: the record that the server takes."""
        self.check(record.id, record.key)
        return self._add(replace(record, what=ENROLLED))

    def _add(self, record: Record) -> Record:
        """On the disk when this returns. One station writes at a time."""
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            if whole != data:
                file.truncate(len(whole))  # what a power cut left of a line
            lines = whole.splitlines(keepends=True)
            before = enrolment.bound(lines[-1]) if lines else BEGINNING
            record = replace(record, n=len(lines) + 1, before=before, by=self.desk.by, station=self.desk.station)
            line = enrolment.written(record, self.desk.signer)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        return record
