"""What it costs a server to let a signed request in (docs/spec/links.md 3), beside one with a token: CPU of this process, no
network. Prints both and their ratio; the goal is 5 ms a signed one, which is 200 a second on a core.

    .venv/bin/python bench/signed.py [--count 2000]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from neurath.carriers.signing import Signing
from neurath.server.admission import Admission
from neurath.server.fleet import access, signing
from neurath.server.store import Store
from neurath.wire import httpsig, keys
from neurath.wire.httpsig import Message

PATH = "/DEFAULT/controller/v1/t1"
GOAL = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as folder:
        store, seed = Store(Path(folder)), bytes(range(32))
        with store.write() as db:
            token = access.register(db, access.Enrolment("t1"), 0.0)
            signing.give(db, access.find(db, "t1"), keys.from_seed(seed).public, 0.0)
        admission, terminal = Admission(store, plug_and_play=False), Signing(seed)
        message, epoch = asked(terminal)
        try:
            admission.admit_signed("DEFAULT", "t1", message)
        except signing.Stale as stale:
            terminal.again(epoch, httpsig.asks(stale.epoch))
        begin = time.process_time()
        messages = [asked(terminal)[0] for _ in range(count)]
        made = (time.process_time() - begin) / count
        begin = time.process_time()
        for one in messages:
            admission.admit_signed("DEFAULT", "t1", one)
        signed = (time.process_time() - begin) / count
        begin = time.process_time()
        for _ in range(count):
            admission.admit("DEFAULT", "t1", f"TargetToken {token}", 1.0)
        plain = (time.process_time() - begin) / count
        store.close()
    print(f"to sign {made * 1e3:.3f} ms; let in signed {signed * 1e3:.2f} ms, by a token {plain * 1e3:.2f} ms")
    print(f"ratio {signed / plain:.1f}; {signed * 1e3 / GOAL:.2f} of the goal of {GOAL:g} ms; load {os.getloadavg()[0]:.1f}")


def asked(terminal: Signing) -> tuple[Message, str]:
    """One signed poll, as the server reads it, and the word it was signed under."""
    made = terminal.headers("GET", PATH, None)
    return Message("GET", PATH, "", b"", {name.lower(): value for name, value in made.fields.items()}), made.epoch


if __name__ == "__main__":
    main()
