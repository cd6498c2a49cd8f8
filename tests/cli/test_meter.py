"""Progress is what was measured, drawn in place where a person watches and said line by line where not."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from neurath.cli.meter import Meter
from tests.rigs.screen import PATIENCE, Screen

WORK = """
import sys, time
from neurath.cli.output import Output
out = Output(json_lines='--json' in sys.argv)
for done in (1000, 2000, 3000):
    out.progress('upload', done, 3000)
    time.sleep(0.01)
print('end', flush=True)
"""


def test_what_was_there_at_the_beginning_counts_for_no_speed() -> None:
    meter = Meter("upload", 1000, 10.0)
    assert meter.at(1000, 5000, 10.0).line == "upload  1,000 of 5,000  measuring"
    assert meter.at(2000, 5000, 12.0).line == "upload  2,000 of 5,000  500 a second, 6 s left"
    assert meter.at(1100, 99_100, 20.0).line.endswith("10 a second, 163 min 20 s left")
    assert meter.at(5000, 5000, 20.0).bar == f"|{'#' * 30}| upload  5,000 of 5,000  done"


def test_a_line_every_five_seconds_is_enough_for_a_log() -> None:
    meter = Meter("upload", 0, 10.0)
    assert [meter.due(at) for at in (10.0, 11.0, 14.9, 15.0, 16.0, 30.0)] == [True, False, False, True, False, True]


def test_a_person_sees_one_line_that_moves(tmp_path: Path) -> None:
    screen = Screen([sys.executable, "-c", WORK], tmp_path / "log")
    end = time.monotonic() + PATIENCE
    while "end" not in screen.text():
        assert time.monotonic() < end
        time.sleep(0.02)
    text = screen.text().splitlines()
    screen.close()
    assert text[0] == f"|{'#' * 30}| upload  3,000 of 3,000  done"
    assert text[1] == "end"


def test_events_name_rate_and_time_left(capsys) -> None:
    from neurath.cli.output import Output

    out = Output(json_lines=True)
    out.progress("upload", 0, 10)
    out.progress("upload", 5, 10)
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["rate"], first["left_s"]) == (0, None)
    assert second["rate"] > 0
    assert second["left_s"] is not None
