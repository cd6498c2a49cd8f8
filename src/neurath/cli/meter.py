"""How fast a task goes and when it ends, by what was measured. It knows numbers and how they read; it must never look at a
clock or write anywhere."""

from __future__ import annotations

#: Cells of the bar; seconds between two lines where nobody watches.
CELLS, LINE_EVERY = 30, 5.0


class Meter:
    """One task from its first report on; what was there by then (a resumed transfer) counts for no speed."""

    def __init__(self, task: str, done: int, now: float) -> None:
        self.task = task
        self._first, self._begun = done, now
        self._said = now - LINE_EVERY

    def at(self, done: int, total: int, now: float) -> Figures:
        elapsed = now - self._begun
        rate = (done - self._first) / elapsed if elapsed > 0 else 0.0
        return Figures(self.task, done, total, round(rate), round((total - done) / rate, 1) if rate else None)

    def due(self, now: float) -> bool:
        """Whether it is time for a line; asked once for each."""
        if now - self._said < LINE_EVERY:
            return False
        self._said = now
        return True


class Figures:
    """What is said at one moment. `left` is in seconds, None while nothing was measured."""

    __slots__ = ("done", "left", "rate", "task", "total")

    def __init__(self, task: str, done: int, total: int, rate: int, left: float | None) -> None:
        self.task, self.done, self.total, self.rate, self.left = task, done, total, rate, left

    @property
    def line(self) -> str:
        speed = f"{self.rate:,} a second, {_time(self.left)} left" if self.left is not None else "measuring"
        return f"{self.task}  {self.done:,} of {self.total:,}  {speed if self.done < self.total else 'done'}"

    @property
    def bar(self) -> str:
        full = CELLS * self.done // self.total if self.total else CELLS
        return f"|{'#' * full:{CELLS}}| {self.line}"


def _time(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"
