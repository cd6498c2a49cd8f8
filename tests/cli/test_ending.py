"""A process hears that it is to end, whichever of its threads the signal comes to, and whenever."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from neurath.cli.ending import TOLD, Ending


@pytest.fixture
def ending() -> Iterator[Ending]:
    before = [signal.getsignal(number) for number in TOLD]
    with Ending() as found:
        yield found
    assert [signal.getsignal(number) for number in TOLD] == before


@pytest.mark.parametrize("number", TOLD)
def test_a_signal_that_another_thread_gets_ends_the_wait(ending: Ending, number: int) -> None:
    aside = threading.Timer(0.2, lambda: signal.pthread_kill(threading.get_ident(), number))
    aside.start()
    began = time.monotonic()
    assert ending.wait(60)
    assert time.monotonic() - began < 30
    aside.join()


@pytest.mark.parametrize("number", TOLD)
def test_a_signal_before_the_wait_is_not_forgotten(ending: Ending, number: int) -> None:
    signal.raise_signal(number)
    assert ending.heard
    assert ending.wait()
    assert ending.wait(0)


def test_nobody_said_so(ending: Ending) -> None:
    assert not ending.wait(0)
    assert not ending.wait(0.05)


def test_another_signal_says_nothing(ending: Ending) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    aside = threading.Timer(0.1, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGUSR1))
    aside.start()
    assert not ending.wait(0.5)
    aside.join()
    signal.signal(signal.SIGUSR1, before)


def test_what_woke_others_before_wakes_them_again() -> None:
    before = signal.set_wakeup_fd(-1)
    with Ending():
        pass
    assert signal.set_wakeup_fd(before) == -1
