"""Control groups of Linux as memory is lent through them: how much one uses, how much is left, freezing and limiting it. It
knows both versions of cgroupfs; it must never change a group that was not named to it."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
#: A limit above this is none.
_NONE = 1 << 60
#: A group is frozen within so many seconds, or it is not.
_FREEZE_TIME = 5.0


@dataclass(frozen=True, slots=True)
class Cell:
    """One control group by its path below the root, in every hierarchy that has it."""

    path: str
    root: Path = ROOT

    @property
    def unified(self) -> Path:
        """The group in version 2, wherever that is mounted."""
        base = self.root if (self.root / "cgroup.controllers").exists() else self.root / "unified"
        return base / self.path

    @property
    def _memory(self) -> Path:
        return self.root / "memory" / self.path

    @property
    def used(self) -> int:
        """Bytes it uses that nobody could simply take away: its page cache does not count."""
        for file in (self.unified / "memory.current", self._memory / "memory.usage_in_bytes"):
            with contextlib.suppress(OSError):
                return max(0, int(file.read_text()) - self._cache)
        return 0

    @property
    def left(self) -> int:
        """Bytes until its own limit; as good as endless where it has none."""
        for file in (self.unified / "memory.max", self._memory / "memory.limit_in_bytes"):
            with contextlib.suppress(OSError):
                text = file.read_text().strip()
                return _NONE if text == "max" else max(0, int(text) - self.used)
        return _NONE

    @property
    def _cache(self) -> int:
        for file, prefix in ((self.unified / "memory.stat", ""), (self._memory / "memory.stat", "total_")):
            with contextlib.suppress(OSError):
                found = dict(line.split() for line in file.read_text().splitlines())
                if f"{prefix}inactive_file" in found:
                    return int(found[f"{prefix}inactive_file"]) + int(found[f"{prefix}active_file"])
        return 0

    # ---- limiting -----------------------------------------------------------------------------------------------------

    def limit(self) -> tuple[Path, str] | None:
        """Where its limit stands and what it is; None where it has none of either version."""
        for file in (self.unified / "memory.high", self._memory / "memory.limit_in_bytes"):
            with contextlib.suppress(OSError):
                return file, file.read_text().strip()
        return None

    def squeeze(self, least: int) -> None:
        """Takes what can be taken, down to `least` bytes: the rest of it can be read again, or is swapped out."""
        found = self.limit()
        if found is None:
            return
        file, _ = found
        if file.name == "memory.high":
            file.write_text(str(least))
            with contextlib.suppress(OSError):
                (self.unified / "memory.reclaim").write_text(str(max(1, self.used - least)))
            return
        for amount in range(4):  # version 1 refuses a limit it cannot reach: as near as it goes
            with contextlib.suppress(OSError):
                file.write_text(str(least + (self.used - least) * amount // 4 + (amount and 1 << 20)))
                return

    # ---- freezing -----------------------------------------------------------------------------------------------------

    def freeze(self) -> bool:
        """Nothing in it runs any more; whether that came about."""
        switch = self.switch()
        if switch is None:
            return False
        file, on, _ = switch
        file.write_text(on)
        end = time.monotonic() + _FREEZE_TIME
        while time.monotonic() < end:
            if self._frozen():
                return True
            time.sleep(0.01)
        return False

    def switch(self) -> tuple[Path, str, str] | None:
        """(file, frozen, thawed): where it is frozen, and the words."""
        for file, on, off in (
            (self.unified / "cgroup.freeze", "1", "0"),
            (self.root / "freezer" / self.path / "freezer.state", "FROZEN", "THAWED"),
        ):
            if file.exists():
                return file, on, off
        return None

    def _frozen(self) -> bool:
        with contextlib.suppress(OSError):
            return "frozen 1" in (self.unified / "cgroup.events").read_text()
        with contextlib.suppress(OSError):
            return (self.root / "freezer" / self.path / "freezer.state").read_text().strip() == "FROZEN"
        return False


def own(root: Path = ROOT, about: Path = Path("/proc/self/cgroup")) -> list[Cell]:
    """The groups this process lies in, innermost first, up to the root."""
    path = "/"
    for line in about.read_text().splitlines():
        _, kinds, where = line.split(":", 2)
        if kinds in ("", "memory") and len(where) > len(path):
            path = where
    parts = [part for part in path.split("/") if part]
    return [Cell("/".join(parts[:count]), root) for count in range(len(parts), 0, -1)]


def available(root: Path = ROOT) -> int:
    """Bytes that this process could take now without any other losing some: what the machine has to spare, and each group it
    lies in."""
    with open("/proc/meminfo", encoding="ascii") as source:
        machine = next(int(line.split()[1]) * 1024 for line in source if line.startswith("MemAvailable:"))
    return min([machine, *(cell.left for cell in own(root))])
