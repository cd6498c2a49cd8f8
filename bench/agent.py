"""What an agent costs: seconds of CPU until it has tried to check in, memory and CPU at rest, each against a bare Python that
has loaded what any client of a server over TLS loads. One command: `python bench/agent.py`; no server answers there, which the
agent says and waits. The byte code is written first, as an installed package has it."""

from __future__ import annotations

import compileall
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import neurath
from neurath.sim.processes import COMMAND

ROUNDS = 9
#: Seconds over which an agent at rest is watched.
REST = 10.0
#: The peer: a program of the standard library that could be an agent and is none.
PEER = "import argparse, asyncio, dataclasses, http.client, json, ssl"
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def took(words: list[str]) -> float:
    """The least CPU time of a few runs, seconds: what others do on the machine counts little."""
    found = []
    for _ in range(ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(words, check=False, capture_output=True, env=ENVIRONMENT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def first_word(place: Path) -> list[str]:
    """An agent with one component that ends with its first, vain session."""
    setup = place / "agent.toml"
    (place / "home").mkdir(exist_ok=True)
    (place / "home/tool").write_bytes(b"software")
    setup.write_text(
        'server = "http://127.0.0.1:9"\nid = "t"\nmodel = "m"\nstate = "state"\npush = false\nnotify = false\n'
        '[[component]]\nname = "tool"\ninstaller = "file"\npath = "home/tool"\n'
    )
    return [*COMMAND, "agent", "run", "--setup", str(setup), "--once"]


def rest(words: list[str]) -> tuple[float, float, float]:
    """(resident MB, of these its own, CPU seconds an hour) of a process that waits."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
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
    compileall.compile_dir(Path(neurath.__file__).parent, quiet=2)
    bare = took([sys.executable, "-c", "pass"])
    peer = took([sys.executable, "-c", PEER])
    peer_at_rest, _, _ = rest([sys.executable, "-c", f"{PEER}\nimport time; time.sleep(600)"])
    with tempfile.TemporaryDirectory() as folder:
        words = first_word(Path(folder))
        whole = took(words)
        resident, own, busy = rest([*words[:-1], "--poll", "3600"])
    print(f"python -c pass        {bare:.3f} s of CPU")
    print(f"python -c {PEER!r}")
    print(f"                      {peer:.3f} s of CPU, {peer_at_rest:.1f} MB resident")
    print(f"agent, first check-in {whole:.3f} s of CPU   ratio {whole / peer:.2f}   (aim: 0.15 s)")
    print(f"agent at rest         {resident:.1f} MB resident   ratio {resident / peer_at_rest:.2f}   (aim: 25 MB)")
    print(f"                      {own:.1f} MB its own, {busy:.1f} s of CPU an hour")


if __name__ == "__main__":
    main()
