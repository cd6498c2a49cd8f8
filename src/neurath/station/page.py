"""The technician's screen as a web page of the station itself: no network beyond this machine, no file from elsewhere, to be
read with JavaScript off too. It knows HTTP and HTML; what is said is screen's, what happens the desk's. Labels come from this
page alone."""

from __future__ import annotations

import html
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from neurath.station import records, screen
from neurath.station.desk import Desk, Seat

#: Longest label that is read, bytes; seconds between two looks at what has changed.
LONGEST, TICK = 512, 0.2
STYLE = """
body{margin:0;font:16px/1.5 system-ui,sans-serif;background:#111;color:#fff}main{display:flex;flex-wrap:wrap}
section{flex:1 1 24rem;padding:1.5rem;min-height:60vh}.empty{background:#333}.busy{background:#0b4f9c}.good{background:#14692f}
.bad{background:#a11d1d}h2{font-size:3rem;margin:.3em 0}ol{display:flex;flex-wrap:wrap;gap:.8em;padding:0;list-style:none}
li[aria-current]{font-weight:700;text-decoration:underline}form,footer{padding:1rem 1.5rem}input,button{font-size:1.2rem}
a{color:#9cf}progress{width:100%}.unplug{font-size:1.3rem}strong{font-size:2.2rem}#shift{white-space:pre-wrap}pre{white-space:pre-wrap;overflow-wrap:anywhere;font:inherit;margin:0}
"""
SCRIPT = """
const main=document.querySelector('main'),shift=document.querySelector('#shift');
new EventSource('/events').onmessage=e=>{const s=JSON.parse(e.data);main.innerHTML=s.html;shift.textContent=s.shift};
"""


def seat_html(seat: Seat) -> str:
    """One port as a section; every text of it escaped."""
    state, esc = seat.state, html.escape
    steps = "".join(
        f"<li{' aria-current=step' if name.startswith('[') else ''}>{esc(name.strip('[]'))}</li>"
        for name in screen.steps(state).split("  ")
    )
    bar = ""
    if screen.progress(state, seat.pace):
        bar = f"<progress aria-label=written max={state.total} value={state.held}></progress>"
        bar += f"<p>{state.step.name.lower()}: {esc(screen.amounts(state, seat.pace))}</p>"
    answer, _, why = screen.unplug(state).partition(" ")
    said = esc("\n".join([*screen.facts(state), *screen.trouble(seat)]))
    return (
        f"<section class={screen.tone(state)}><p>{esc(seat.port)}</p><ol>{steps}</ol><h2 role=status>{screen.word(state)}</h2>"
        f"<pre>{said}</pre>{bar}<p class=unplug><b>Safe to unplug now? <strong>{answer}</strong></b> {esc(why.strip())}</p>"
        f"</section>"
    )


def page(desk: Desk) -> str:
    """The whole page; without JavaScript it loads itself again."""
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Restoration station</title><noscript><meta http-equiv=refresh content=2></noscript><style>{STYLE}</style>"
        f"<main>{''.join(map(seat_html, desk.seats))}</main>"
        f"<form method=post action=/label><label>Label <input name=label autofocus autocomplete=off></label> "
        f"<button>Enter</button></form><footer><p id=shift>{html.escape(screen.shift(desk))}</p>"
        f"<a href=/records.csv>records (CSV)</a> <a href=/records.txt>record to print</a></footer>"
        f"<script>{SCRIPT}</script></html>"
    )


def facts(desk: Desk) -> dict[str, object]:
    """The page's JSON twin."""
    seats = [
        {
            "port": seat.port, "step": seat.state.step.name.lower(), "verdict": seat.state.verdict.value,
            "unplug": seat.state.unplug.value, "held": seat.state.held, "total": seat.state.total,
            "terminal": seat.state.identity.id if seat.state.identity else "", "reason": seat.state.reason,
            "troubles": [{"what": one.what, "why": one.why, "cure": one.cure} for one in seat.troubles],
        }
        for seat in desk.seats
    ]  # fmt: skip
    return {"ports": seats, "label": desk.label, "shift": {verdict.value: count for verdict, count in desk.shift.items()}}


class Page:
    """The server, in threads of its own; of the desk they read what is shown, and give it labels."""

    def __init__(self, desk: Desk, host: str, port: int) -> None:
        self.desk = desk
        self.over = threading.Event()
        self._server = ThreadingHTTPServer((host, port), type("Bound", (_Answers,), {"page": self}))
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Answers(BaseHTTPRequestHandler):
    page: Page
    timeout = 30

    def do_GET(self) -> None:
        desk = self.page.desk
        if not self._ours():
            return
        match urlsplit(self.path).path:
            case "/":
                self._answer(page(desk), "text/html; charset=utf-8")
            case "/state.json":
                self._answer(json.dumps(facts(desk)), "application/json")
            case "/records.csv":
                self._answer(records.table(records.since(desk.job.stock, desk.begun)), "text/csv; charset=utf-8")
            case "/records.txt":
                self._answer(records.sheet(records.since(desk.job.stock, desk.begun)), "text/plain; charset=utf-8")
            case "/events":
                self._events()
            case _:
                self.send_error(404)

    def do_POST(self) -> None:
        desk, length = self.page.desk, self.headers.get("Content-Length", "")
        if not self._ours():
            return
        if self.path != "/label" or not (length.isdigit() and 0 < int(length) <= LONGEST):
            self.send_error(404 if self.path != "/label" else 400)
            return
        said = parse_qs(self.rfile.read(int(length)).decode("utf-8", "replace"), keep_blank_values=True)
        desk.scan(said.get("label", [""])[0])
        self.send_response(303)
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _ours(self) -> bool:
        """Asked by this page under the name it is served at, not by another page in the same browser."""
        here = urlsplit(self.page.url).netloc
        origin = self.headers.get("Origin")
        if self.headers.get("Host") == here and origin in (None, self.page.url):
            return True
        self.send_error(403)
        return False

    def _answer(self, text: str, kind: str) -> None:
        data = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", "default-src 'self' 'unsafe-inline'; frame-ancestors 'none'")
        self.end_headers()
        self.wfile.write(data)

    def _events(self) -> None:
        """What the screen says, each time it says something else."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        last = ""
        desk = self.page.desk
        while not self.page.over.is_set():
            now = json.dumps({"html": "".join(map(seat_html, desk.seats)), "shift": screen.shift(desk)})
            try:
                if now != last:
                    self.wfile.write(f"data: {now}\n\n".encode())
            except OSError:
                return
            last = now
            time.sleep(TICK)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's name)
        """Nobody reads it: the screen is full."""
