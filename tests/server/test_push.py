"""The embedded stream keeps the contract of every push, on a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from neurath.errors import LinkError
from neurath.ids import TerminalId
from neurath.server.delivery.push import follow
from neurath.server.delivery.streams import StreamPush
from neurath.server.device import long_poll
from neurath.units import Seconds
from tests.contracts.push import PATIENCE, Opened, PushContract


class HttpEar:
    def __init__(self, base: str) -> None:
        self.base = base

    async def lines(self, terminal: str) -> AsyncIterator[str]:
        async with (
            httpx.AsyncClient(timeout=30, trust_env=False) as client,
            client.stream("GET", f"{self.base}/DEFAULT/neurath/v1/{terminal}/events") as answer,
        ):
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                yield line

    async def listen(self, terminal: TerminalId) -> AsyncIterator[str]:
        async for line in self.lines(terminal):
            if line.startswith("event: "):
                yield line.removeprefix("event: ")


@asynccontextmanager
async def served(push: StreamPush) -> AsyncIterator[HttpEar]:
    async def events(request: Request) -> Response:
        return push.respond(TerminalId(request.path_params["id"]), long_poll(request), "last-event-id" in request.headers)

    app = Starlette(routes=[Route("/{tenant}/neurath/v1/{id}/events", events)])
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    running = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield HttpEar(f"http://127.0.0.1:{listener.getsockname()[1]}")
    finally:
        push.close()
        server.should_exit = True
        await asyncio.wait_for(running, 10)
        listener.close()


class TestStreamPush(PushContract):
    @asynccontextmanager
    async def open(self) -> AsyncIterator[Opened]:
        push = StreamPush()
        async with served(push) as ear:
            yield Opened(push, ear)


def test_a_quiet_stream_is_kept_alive_by_comments() -> None:
    async def story() -> None:
        async with served(StreamPush(keep_alive=Seconds(0.1))) as ear:
            lines = ear.lines("t1")
            seen = [await asyncio.wait_for(anext(lines), 10) for _ in range(12)]
            assert seen.count(": keep-alive") >= 2
            assert seen[0] == "retry: 5000"

    asyncio.run(story())


def test_a_second_stream_of_a_terminal_ends_the_first() -> None:
    async def story() -> None:
        push = StreamPush()
        async with served(push) as ear:
            first, second = ear.listen(TerminalId("t1")), ear.listen(TerminalId("t1"))
            assert await anext(first) == "check"
            assert await anext(second) == "check"
            assert [notice async for notice in first] == []
            assert push.listening == 1
            push.notify([TerminalId("t1")])
            assert await asyncio.wait_for(anext(second), 10) == "check"

    asyncio.run(story())


def test_streams_are_bounded_and_one_more_is_told_to_poll() -> None:
    async def story() -> None:
        push = StreamPush(limit=1)
        async with served(push) as ear:
            held = ear.listen(TerminalId("t1"))
            assert await anext(held) == "check"
            async with httpx.AsyncClient(trust_env=False) as client:
                answer = await client.get(f"{ear.base}/DEFAULT/neurath/v1/t2/events")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")

    asyncio.run(story())


def test_a_broken_stream_frees_its_place() -> None:
    async def story() -> None:
        push = StreamPush()
        async with served(push) as ear:
            notices = ear.listen(TerminalId("t1"))
            assert await anext(notices) == "check"
            await notices.aclose()  # type: ignore[attr-defined]
            for _ in range(200):
                if push.listening == 0:
                    break
                await asyncio.sleep(0.05)
            assert push.listening == 0

    asyncio.run(story())


def test_a_notice_to_many_says_how_much_time_there_is_and_a_more_urgent_one_wins() -> None:
    async def story() -> None:
        push = StreamPush()
        async with served(push) as ear:
            lines = ear.lines("t1")
            seen = [await asyncio.wait_for(anext(lines), 10) for _ in range(4)]
            assert seen[2:] == ["event: check", "data: {}"]
            push.notify([TerminalId("t1")], Seconds(500.0))
            push.notify([TerminalId("t1")], Seconds(30.0))
            push.notify([TerminalId("t1")], Seconds(90.0))
            said = [await asyncio.wait_for(anext(lines), 10) for _ in range(3)]
            assert said[1:] == ["event: check", 'data: {"within": 30}']

    asyncio.run(story())


def test_many_who_come_back_at_once_are_given_turns() -> None:
    async def story() -> None:
        push = StreamPush(check_ins=2.0)
        async with served(push) as ear:
            given = []
            held = []
            for number in range(6):
                lines = ear.lines(f"t{number}")
                held.append(lines)
                said = [await asyncio.wait_for(anext(lines), 10) for _ in range(4)]
                given.append(said[3])
            assert given[0] == "data: {}"
            assert given[-1] in ('data: {"within": 2}', 'data: {"within": 3}')

    asyncio.run(story())


def test_a_terminal_counts_as_reached_when_its_notice_was_written() -> None:
    async def story() -> None:
        push, told = StreamPush(), []
        async with served(push) as ear:
            heard = ear.listen(TerminalId("t1"))
            assert await anext(heard) == "check"
            assert push.notify([TerminalId("t1"), TerminalId("t2")], reached=told.append) == 1
            assert await asyncio.wait_for(anext(heard), 10) == "check"
            for _ in range(100):
                if told:
                    break
                await asyncio.sleep(0.02)
            assert told == ["t1"]

    asyncio.run(story())


def test_long_polls_miss_nothing_between_two_of_them() -> None:
    async def story() -> None:
        push = StreamPush()
        async with served(push) as ear, httpx.AsyncClient(trust_env=False, timeout=30) as client:

            async def poll(wait: int, *, again: bool) -> httpx.Response:
                headers = {"Prefer": f"wait={wait}"} | ({"Last-Event-ID": "p"} if again else {})
                return await client.get(f"{ear.base}/DEFAULT/neurath/v1/t1/events", headers=headers)

            first = await poll(20, again=False)  # whoever begins to listen checks in
            assert (first.status_code, first.text) == (200, "event: check\ndata: {}\n\n")
            assert first.headers["content-length"] == str(len(first.content))
            assert (await poll(0, again=True)).status_code == 204
            assert push.notify([TerminalId("t1")]) == 1  # between two polls
            assert (await poll(20, again=True)).status_code == 200
            waiting = asyncio.ensure_future(poll(20, again=True))
            await asyncio.sleep(0.3)
            assert not waiting.done()
            push.notify([TerminalId("t1")])
            assert (await asyncio.wait_for(waiting, 5)).status_code == 200

    asyncio.run(story())


@pytest.mark.heavy
def test_a_rollout_started_in_another_process_reaches_a_waiting_terminal(tmp_path: Path) -> None:
    """The real server and the real verbs, three processes: promised within 1 s."""

    def verb(*words: str) -> list[dict[str, str]]:
        command = [sys.executable, "-m", "neurath.cli.main", *words, "--data", str(tmp_path / "data"), "--json"]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        return [json.loads(line) for line in done.stdout.splitlines()]

    package = tmp_path / "update.swu"
    head = b"".join(b"%08X" % n for n in (1, 0o100644, 0, 0, 1, 0, 12, 0, 0, 0, 0, 15, 0))
    package.write_bytes(b"070701" + head + b"sw-description\0" + bytes(3) + b'version="1";' + b"070701TRAILER!!!\0")
    verb("model", "add", "--plain", "router")
    verb("image", "add", str(package), "--model", "router", "--version", "1")
    token = verb("terminal", "add", "t1", "--model", "router")[0]["token"]
    command = [sys.executable, "-m", "neurath.cli.main", "serve", "--data", str(tmp_path / "data"), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["url"]
            headers = {"Authorization": f"TargetToken {token}"}
            with (
                httpx.Client(trust_env=False, timeout=10, headers=headers) as client,
                client.stream("GET", f"{url}/DEFAULT/neurath/v1/t1/events") as answer,
            ):
                assert answer.status_code == 200
                lines = (line for line in answer.iter_lines() if line.startswith("event:"))
                assert next(lines) == "event: check"
                verb("rollout", "create", "--release", "router/1", "--all", "--start")
                begin = time.monotonic()
                assert next(lines) == "event: check"
                assert time.monotonic() - begin < PATIENCE
            stranger = httpx.get(f"{url}/DEFAULT/neurath/v1/t1/events", trust_env=False, timeout=10)
            assert stranger.status_code == 401
        finally:
            server.terminate()
            server.wait(20)


class Rows:
    """A table of notices that another process fills; it fails once, as a locked database does."""

    def __init__(self) -> None:
        self.rows = [TerminalId("old")]
        self.faults = 1

    def since(self, mark: int) -> tuple[int, Sequence[TerminalId]]:
        if len(self.rows) > 1 and self.faults:
            self.faults -= 1
            raise LinkError("the store is locked")
        return len(self.rows), self.rows[mark:]


def test_what_another_process_writes_is_handed_on_once_and_old_news_is_not() -> None:
    async def story() -> None:
        rows, told = Rows(), []
        following = asyncio.ensure_future(follow(rows, told.extend, Seconds(0.02)))
        await asyncio.sleep(0.2)
        assert told == []
        rows.rows += [TerminalId("t1"), TerminalId("t2")]
        for _ in range(300):
            if told:
                break
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        assert told == ["t1", "t2"]
        following.cancel()

    asyncio.run(story())
