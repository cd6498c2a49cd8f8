"""A server's process before its first answer."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from neurath.cli.main import main
from neurath.cli.serving import Process


def test_what_is_loaded_at_the_start_is_not_searched_for_garbage_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full search among all that a server loads takes 90 ms of CPU, in which nobody is answered."""
    frozen: list[int] = []

    def serves(process: Process) -> None:
        frozen.append(gc.get_freeze_count())
        process.server.close()

    monkeypatch.setattr(Process, "run", serves)
    gc.unfreeze()
    try:
        assert main(["serve", "--data", str(tmp_path), "--port", "0"]) == 0
    finally:
        gc.unfreeze()
    assert frozen[0] > 50_000
