"""What a gateway adds to a packet: the time of an answer from its cache, 200 terminals of a site one after the other, with and
without the session's work beside it. `python bench/gateway.py` prints one line each; goal: p99 at most 2 ms."""

from __future__ import annotations

import random
import sys
import tempfile
import threading
import time
from pathlib import Path

from neurath.carriers.base import Seen
from neurath.gateway.cache import Cache
from neurath.gateway.run import TURN
from neurath.gateway.shelf import CHUNK
from neurath.ids import Version, digest
from neurath.wire import trickle
from neurath.wire.gateway import Course
from neurath.wire.offer import Kind
from neurath.wire.trickle import About, Ask, State

TERMINALS = 200
ANSWERS = 20_000
PIECE = 200


def stream(size: int) -> tuple[bytes, bytes, int]:
    """Program, bytes and count of pieces of a file's stream."""
    file = random.Random(1).randbytes(size)
    blocks = b"".join(digest(file[at : at + 4096])[:16] for at in range(0, size, 4096))
    head = trickle.header(About(Kind.DELTA, digest(file), size, b"e" * 200, blocks, Version("2")))
    plan = trickle.plan(head, PIECE)
    return digest(file)[:4], head.ljust(plan.begin * PIECE, b"\0") + file, plan.count


def answers(cache: Cache, program: bytes, count: int) -> list[float]:
    took = []
    for n in range(ANSWERS):
        state = trickle.encode_state(State(Ask.PIECES, program, n % count, 1000, 100))
        began = time.perf_counter()
        data = cache.answer(Seen(f"t{n % (TERMINALS - 1)}", "dhcp", "10.0.0.1"), state, 1000, 1000.0 + n)
        took.append(time.perf_counter() - began)
        assert len(data) > trickle.REPLY_HEADER
    return sorted(took)


def line(name: str, took: list[float]) -> str:
    p50, p99, most = (took[int(len(took) * share)] * 1000 for share in (0.5, 0.99, 0.9999))
    return f"{name:22} p50 {p50:6.3f} ms   p99 {p99:6.3f} ms   p99.99 {most:6.3f} ms"


def main() -> int:
    sys.setswitchinterval(TURN)
    program, data, count = stream(300_000)
    courses = tuple(Course(f"t{n}", program, PIECE, count) for n in range(TERMINALS))
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(folder=Path(folder))
        cache.learn(courses)
        while (want := cache.wanted()) is not None:
            cache.put(want, data[want.first * PIECE : (want.first + want.count) * PIECE])
        alone = answers(cache, program, count)
        stop = threading.Event()

        def session() -> None:
            last = cache.standing()["terminals"] - 1
            while not stop.wait(0.002):
                cache.words(time.time())
                cache.learn((*courses[:last], Course(f"t{last}")))
                cache.learn(courses)
                want = cache.wanted()
                assert want is None
                cache._drawer.put(next(iter(cache._shelf._chunks))[0], 0, data[: CHUNK * PIECE])

        thread = threading.Thread(target=session, daemon=True)
        thread.start()
        beside = answers(cache, program, count)
        stop.set()
        thread.join()
    print(line("answers alone", alone))
    print(line("with the session", beside))
    return 0 if beside[int(len(beside) * 0.99)] <= 0.002 else 1


if __name__ == "__main__":
    sys.exit(main())
