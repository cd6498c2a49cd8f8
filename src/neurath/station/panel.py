"""The technician's screen on a terminal: every port side by side, drawn by textual. It knows columns and colours; what is said
is screen's, what happens the desk's. Hands are busy: whatever is typed or scanned is a label, and Enter is enough."""

from __future__ import annotations

from rich.text import Text
from textual.app import App, ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Static

from neurath.station import screen
from neurath.station.desk import Desk, Seat

#: Times a second that what has changed is drawn.
RATE = 10


class Port(Static):
    """One port: a column whose colour is the state's."""

    def __init__(self, seat: Seat) -> None:
        super().__init__(markup=False)
        self.seat = seat

    def draw(self) -> None:
        state, pace = self.seat.state, self.seat.pace
        body = [self.seat.port, "", *_steps(screen.steps(state), self.size.width), ""]
        body += [f"  {' '.join(screen.word(state))}", "", *screen.facts(state), screen.progress(state, pace)]
        body += [*screen.trouble(self.seat), "", "Safe to unplug now?", f"  {screen.unplug(state)}"]
        self.set_classes(screen.tone(state))
        self.update(Text("\n".join(body)))


def _steps(text: str, width: int) -> list[str]:
    """The six steps, on two lines where the column is narrow."""
    if len(text) < width - 4:
        return [text]
    parts = text.split("  ")
    half = len(parts) // 2 + 1
    return ["  ".join(parts[:half]), "  ".join(parts[half:])]


class Panel(App[None]):
    """Draws a desk until it is closed (Ctrl-Q) or every port is done (`once`)."""

    CSS = """
    Port { width: 1fr; height: 100%; padding: 1 2; color: white; }
    .empty { background: #333333; } .busy { background: #0b4f9c; }
    .good { background: #14692f; } .bad { background: #a11d1d; }
    #shift { height: 1; } Input { height: 3; }
    """
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, desk: Desk, *, once: bool = False, note: str = "") -> None:
        super().__init__()
        self.desk = desk
        self._once = once
        self._note = note

    def compose(self) -> ComposeResult:
        with Horizontal():
            for seat in self.desk.seats:
                yield Port(seat)
        yield Static(id="shift", markup=False)
        yield Input(placeholder=f"read or type a label, Enter; empty: whichever comes; Ctrl-Q ends   {self._note}".rstrip())

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self.set_interval(1 / RATE, self.draw)
        self.run_worker(self._work(), exit_on_error=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.desk.scan(event.value)
        event.input.value = ""

    def draw(self) -> None:
        for port in self.query(Port):
            port.draw()
        self.query_one("#shift", Static).update(screen.shift(self.desk))

    async def _work(self) -> None:
        await self.desk.run(self._once)
        self.exit()
