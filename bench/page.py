"""The part of a page of figures that a run writes. What people added around it stays: on the page it lies between two marks.
It knows marks and lines; it must never know what was measured."""

from __future__ import annotations

import datetime
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def put(page: Path, part: str, lines: list[str]) -> None:
    """Writes `lines` between the marks of `part`, in place of what an earlier run wrote there.

    Raises SystemExit, with the page as it was, if the page does not have both marks once, in their order.
    """
    begin, end = f"<!-- run: {part} -->\n", f"<!-- end: {part} -->\n"
    text = page.read_text()
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    if text.count(begin) != 1 or text.count(end) != 1 or end not in rest:
        raise SystemExit(f"{page}: no marks {begin.strip()} and {end.strip()}, each once: nothing was written")
    beside = page.with_name(page.name + ".new")
    beside.write_text("".join([before, begin, *(line + "\n" for line in lines), end, after]))
    beside.replace(page)


def when() -> str:
    """The day and commit of this run, and what else the machine had to do."""
    said = subprocess.run(["git", "rev-parse", "--short=7", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    day = datetime.datetime.now(datetime.UTC).date()
    load = os.getloadavg()
    return (
        f"{day}, commit {said.stdout.strip() or 'unknown'}, load of the machine at the end {load[0]:.1f} (1 min) and "
        f"{load[2]:.1f} (15 min) on {os.cpu_count()} cores"
    )
