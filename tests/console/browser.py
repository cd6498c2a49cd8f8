"""A real browser, driven through its own debugging pipe with nothing but the standard library: pages, their DOM, every
request they make, pictures of them."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


class Browser:
    """One page of one browser. Events are kept in `events` as they come."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> Any:
        """One command and its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next(time.monotonic() + 120)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError("the browser does not answer")
            part = os.read(self._read, 1 << 20)
            if not part:
                raise ConnectionError("the browser has ended")
            self._buffer += part
        raw, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(raw)
        if "method" in message:
            self.events.append(message)
        return message

    def open(self, url: str) -> None:
        """Goes to the page and waits until it is loaded."""
        self.ask("Page.navigate", url=url)
        self.until(lambda: self.run("document.readyState") == "complete" and self.run("location.href").split("#")[0] == url)

    def drawn(self, url: str) -> set[str]:
        """Every line of words that the page draws, loaded anew, its scripts running or not."""
        loads = [e["method"] for e in self.events].count("Page.loadEventFired")
        self.ask("Page.navigate", url=url)
        self.until(lambda: [e["method"] for e in self._heard()].count("Page.loadEventFired") > loads)
        found = self.ask("DOMSnapshot.captureSnapshot", computedStyles=[])
        lines = (found["strings"][one] for one in found["documents"][0]["layout"]["text"] if one >= 0)
        return {" ".join(line.split()) for line in lines} - {""}

    def _heard(self) -> list[dict[str, Any]]:
        self.ask("Page.getLayoutMetrics")  # whatever has come by now is read on the way to the answer
        return self.events

    def run(self, script: str) -> Any:
        """What the expression gives in the page."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, true: Callable[[], object], patience: float = 120.0) -> None:
        """Waits until it is so; TimeoutError."""
        end = time.monotonic() + patience
        while not true():
            if time.monotonic() > end:
                raise TimeoutError(
                    f"not so within {patience:.0f} s; the page says: {self.run('document.body.innerText')[:2000]}"
                )
            time.sleep(0.1)

    def text(self, selector: str = "body") -> str:
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def requests(self) -> list[str]:
        """Every address any page asked for."""
        found = [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return [url for url in found if url != "about:blank"]

    def complaints(self) -> list[str]:
        """What the browser complains about: script errors, refused resources."""
        logged = [e["params"]["entry"]["text"] for e in self.events if e["method"] == "Log.entryAdded"]
        return logged + [str(e["params"]) for e in self.events if e["method"] == "Runtime.exceptionThrown"]

    def look(self, width: int, height: int = 900, *, dark: bool = False, scripts: bool = True) -> None:
        """The size and mood of the screen."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        mood = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[mood, {"name": "prefers-reduced-motion", "value": "reduce"}])
        self.ask("Emulation.setScriptExecutionDisabled", value=not scripts)

    def picture(self, path: Path, *, height: int | None = None) -> None:
        """The page as PNG, whole or its first `height` pixels."""
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}
        shot = self.ask("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser(program: str, *flags: str) -> Iterator[Browser]:
    """A browser of one's own, ended with its profile afterwards."""
    low_in, our_out = os.pipe()
    our_in, low_out = os.pipe()
    # The browser reads at 3 and writes at 4; ours may not lie there themselves when the two are put in place.
    their_in, their_out = fcntl.fcntl(low_in, fcntl.F_DUPFD, 10), fcntl.fcntl(low_out, fcntl.F_DUPFD, 10)
    os.close(low_in)
    os.close(low_out)
    profile = tempfile.mkdtemp(prefix="neurath-browser-")
    start = f"import os, sys; os.dup2({their_in}, 3); os.dup2({their_out}, 4); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", start, program, *FLAGS, *flags, f"--user-data-dir={profile}"],
        pass_fds=(their_in, their_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(their_in)
    os.close(their_out)
    try:
        yield Browser(our_in, our_out)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(our_out)
        os.close(our_in)
        shutil.rmtree(profile, ignore_errors=True)
