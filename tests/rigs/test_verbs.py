"""The loaded process that runs verbs for tests: what comes back is what a process from the start would say."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from neurath.errors import NeurathError
from neurath.sim import processes
from tests.rigs import verbs


def said(run: object, *words: str | Path) -> object:
    assert callable(run)
    try:
        return run(*words)
    except NeurathError as fault:
        return fault.id, fault.what, fault.why, fault.hint


def test_a_verb_says_the_same_as_a_process_of_its_own_also_where_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    verbs.verb("model", "add", "--plain", "box", "--data", "data")
    for words in (("model", "list", "--data", "data"), ("model", "list", "--data", "none"), ("model", "nothing")):
        assert said(verbs.verb, *words) == said(processes.verb, *words) != []
    monkeypatch.setenv("NEURATH_DATA", str(tmp_path / "data"))
    assert said(verbs.verb, "config", "show") == said(processes.verb, "config", "show")


def test_in_another_network_and_beside_a_verb_it_is_a_process_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[object] = []
    monkeypatch.setattr(processes, "verb", lambda *words: begun.append(words) or [])
    assert os.readlink(verbs.NETWORK) == str(verbs.HOME)
    with verbs._busy:
        verbs.verb("--version")
    monkeypatch.setattr(verbs, "HOME", Path("net:[1]"))
    verbs.verb("--version")
    assert begun == [("--version",)] * 2


def test_it_ends_though_something_that_was_forked_here_lives_on() -> None:
    made = verbs.Verbs()
    other = os.fork()
    if other == 0:
        time.sleep(600)
        os._exit(0)
    begun = time.monotonic()
    try:
        made.close()
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
    assert made._process.returncode == 0
    assert time.monotonic() - begun < verbs.END
