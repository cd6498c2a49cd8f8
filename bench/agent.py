"""What an agent costs: seconds of CPU until it has tried to check in (against `python -c pass`), memory and CPU at rest. One
command: `python bench/agent.py`; no server answers there, which the agent says and waits."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from neurath.sim.processes import COMMAND

ROUNDS = 7
#: Seconds over which an agent at rest is watched.
REST = 10.0


def took(words: list[str]) -> float:
    """The least CPU time of a few runs, seconds: what others do on the machine does not count."""
    found = []
    for _ in range(ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(words, check=False, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def first_word(place: Path) -> float:
    """Seconds of CPU from the start of the process to the end of its first, vain session."""
    setup = place / "agent.toml"
    (place / "home").mkdir(exist_ok=True)
    (place / "home/tool").write_bytes(b"software")
    setup.write_text(
        'server = "http://127.0.0.1:9"\nid = "t"\nmodel = "m"\nstate = "state"\npush = false\nnotify = false\n'
        '[[component]]\nname = "tool"\ninstaller = "file"\npath = "home/tool"\n'
    )
    return took([*COMMAND, "agent", "run", "--setup", str(setup), "--once"])


def rest(place: Path) -> tuple[float, float, float]:
    """(resident MB, of these its own, CPU seconds an hour) of an agent that waits."""
    words = [*COMMAND, "agent", "run", "--setup", str(place / "agent.toml"), "--poll", "3600"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(3)
        before = cpu(process.pid)
        time.sleep(REST)
        used = cpu(process.pid) - before
        resident, shared = map(int, Path(f"/proc/{process.pid}/statm").read_text().split()[1:3])
    finally:
        process.kill()
        process.wait()
    page = os.sysconf("SC_PAGE_SIZE") / 1e6
    return resident * page, (resident - shared) * page, used * 3600 / REST


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    bare = took([sys.executable, "-c", "pass"])
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        whole = first_word(place)
        resident, own, busy = rest(place)
    print(f"python -c pass        {bare:.3f} s of CPU")
    print(f"agent, first check-in {whole:.3f} s of CPU   ratio {whole / bare:.1f}   (aim: 0.15 s)")
    print(f"agent at rest         {resident:.1f} MB resident, {own:.1f} MB its own (aim: 25 MB), {busy:.1f} s of CPU an hour")


if __name__ == "__main__":
    main()
