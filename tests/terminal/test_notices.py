"""A question on a real desktop bus, shown by notify-send to a notification service: its buttons are answers."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neurath.ids import ComponentName
from neurath.terminal.compose import compose
from neurath.terminal.consent import Answer, Word
from neurath.terminal.gate import Wish
from neurath.terminal.notices import ENGLISH, JAPANESE, Notices, tongue
from neurath.terminal.setup import setup_from_toml
from tests.parts import need
from tests.rigs.bus import Bus

WISH = Wish(ComponentName("recorder"), b"f" * 32, "2.0")


class Desktop:
    """org.freedesktop.Notifications as a desktop has it: keeps what it was asked to show, and presses buttons."""

    def __init__(self, address: str) -> None:
        self.shown: queue.Queue[tuple[int, str, list[str]]] = queue.Queue()
        self.closed: queue.Queue[int] = queue.Queue()
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(address, ready), daemon=True)
        self._thread.start()
        assert ready.wait(60)

    def _run(self, address: str, ready: threading.Event) -> None:
        from dbus_fast.aio import MessageBus

        async def serve() -> None:
            bus = await MessageBus(bus_address=address).connect()
            bus.add_message_handler(self._handle)
            self._bus = bus
            await bus.request_name("org.freedesktop.Notifications")
            ready.set()
            await bus.wait_for_disconnect()

        self._loop.run_until_complete(serve())

    def _handle(self, message: Any) -> Any:
        from dbus_fast import Message

        match message.member:
            case "GetServerInformation":
                return Message.new_method_return(message, "ssss", ["desk", "tests", "1", "1.2"])
            case "GetCapabilities":
                return Message.new_method_return(message, "as", [["actions", "body"]])
            case "Notify":
                number = message.serial
                self.shown.put((number, message.body[4], message.body[5]))
                return Message.new_method_return(message, "u", [number])
            case "CloseNotification":
                self.closed.put(message.body[0])
                return Message.new_method_return(message)
        return None

    def press(self, number: int, action: str) -> None:
        from dbus_fast import Message

        place = {"path": "/org/freedesktop/Notifications", "interface": "org.freedesktop.Notifications"}
        said = Message.new_signal(member="ActionInvoked", signature="us", body=[number, action], **place)
        gone = Message.new_signal(member="NotificationClosed", signature="uu", body=[number, 2], **place)

        async def both() -> None:
            await self._bus.send(said)
            await self._bus.send(gone)

        asyncio.run_coroutine_threadsafe(both(), self._loop).result(60)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._bus.disconnect)
        self._thread.join(60)


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[Callable[[str], Desktop]]:
    """Desktops of users, each with a bus of its own."""
    for part in ("dbus-daemon", "notify-send", "gdbus"):
        need(part)
    made: list[tuple[Bus, Desktop]] = []

    def sign_in(user: str) -> Desktop:
        place = tmp_path / "user" / user
        place.mkdir(parents=True)
        bus = Bus(place)
        made.append((bus, Desktop(bus.address)))
        return made[-1][1]

    yield sign_in
    for bus, one in made:
        one.close()
        bus.stop()


def test_a_question_has_buttons_and_the_one_that_is_pressed_is_the_answer_for_everybody(
    desktop: Callable[[str], Desktop], tmp_path: Path
) -> None:
    one, two = desktop("1000"), desktop("1001")
    heard: queue.Queue[tuple[str, Answer]] = queue.Queue()
    notices = Notices(tmp_path / "user")
    notices.answered = lambda component, answer: heard.put((component, answer))
    notices(Word.ASK, WISH, "", 0.0)
    number, text, actions = one.shown.get(timeout=60)
    other, _, _ = two.shown.get(timeout=60)
    assert "recorder 2.0" in text
    assert dict(zip(actions[::2], actions[1::2], strict=True)) == {
        "now": "Close and update", "hour": "In 1 hour", "tonight": "Tonight 02:00", "no": "Not now"
    }  # fmt: skip
    one.press(number, "tonight")
    assert heard.get(timeout=60) == ("recorder", Answer.TONIGHT)
    assert two.closed.get(timeout=60) == other
    with pytest.raises(queue.Empty):
        heard.get(timeout=0.2)


def test_a_newer_word_takes_the_older_question_back(desktop: Callable[[str], Desktop], tmp_path: Path) -> None:
    one = desktop("1000")
    notices = Notices(tmp_path / "user")
    notices(Word.ASK, WISH, "", 0.0)
    number, _, _ = one.shown.get(timeout=60)
    notices(Word.LAST, WISH, "", time.time())
    assert one.closed.get(timeout=60) == number
    _, text, actions = one.shown.get(timeout=60)
    assert "Last warning" in text
    assert actions in ([], "[]")  # gdbus asks a service for its types, and this one has none to say


def test_a_button_is_an_answer_to_the_agents_own_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Notices] = []

    def kept(**how: bool) -> Notices:
        made.append(Notices(tmp_path, **how))
        return made[-1]

    monkeypatch.setattr("neurath.terminal.people.Notices", kept)
    setup = 'server = "http://127.0.0.1:9"\nid = "t"\nmodel = "m"\nstate = "s"\npush = false\n'
    part = '[[component]]\nname = "recorder"\ninstaller = "file"\npath = "tool"\nconsent = "ask"\n'
    agent = compose(setup_from_toml(setup + part, tmp_path), lambda kind, fields: None)
    gate = agent.lives[0].parts.gate
    made[0].answered("recorder", Answer.NO)  # too late, or too early: nobody was asked
    assert gate.may_install(WISH, time.time()).ask  # type: ignore[union-attr]
    made[0].answered("recorder", Answer.NOW)
    again = gate.may_install(WISH, time.time())  # type: ignore[union-attr]
    agent.close()
    assert not getattr(again, "ask", False)


FETCHED = replace(WISH, size=6000, rate=100.0)


@pytest.mark.parametrize(
    ("language", "wish", "said"),
    [
        ("C.UTF-8", FETCHED, "An update for recorder 2.0 is ready (6 KiB, about 1 minute). recorder must close first. "),
        ("en_US.UTF-8", replace(FETCHED, rate=25.0), "ready (6 KiB, about 4 minutes). "),
        ("", replace(FETCHED, rate=0.0), "ready (6 KiB). "),
        ("", replace(FETCHED, here=True), "An update for recorder 2.0 is ready. "),
        ("ja_JP.UTF-8", FETCHED, "recorder 2.0 の更新があります（6 KiB、約1分）。更新するには recorder を終了してください。"),
    ],
)
def test_a_question_says_how_much_and_how_long_in_the_language_of_the_machine(
    language: str, wish: Wish, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", language)
    assert said in tongue().question(wish)
    assert ("nothing is lost" in tongue().question(wish)) is not language.startswith("ja")


def test_both_languages_have_a_label_for_every_answer_and_for_a_restart() -> None:
    restart = replace(WISH, component=ComponentName("restart"))
    for one in (ENGLISH, JAPANESE):
        assert one.labels(WISH).keys() == one.labels(restart).keys() == set(Answer)
        assert one.labels(WISH)[Answer.NOW] != one.labels(restart)[Answer.NOW]
        assert "2.0" in one.question(restart)
