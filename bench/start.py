"""Seconds of CPU until somebody sees something: the help of every verb and command, and an agent's first word to its server.
Beside them, in the same run, a Python that does nothing.

    python bench/start.py [rounds]

The tree is run as it lies, its byte code kept; the median of the rounds counts, and the slowest command is named."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from neurath.cli.tree import tree
from neurath.flash.geometry import Model, model_to_toml, simple_layout
from neurath.ids import ModelName
from neurath.sim.processes import verb

HELP, AGENT = 0.35, 0.15
PROGRAM = "import sys; from neurath.cli.main import main; sys.exit(main())"
PATIENCE = 60.0


def environment() -> dict[str, str]:
    """As a user has it: no byte code held back, no settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NEURATH"))}


def spent(*words: str) -> float:
    """User and system seconds of one process, from its start to its end."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, env=environment())
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (words, process.returncode)
    return used.ru_utime + used.ru_stime


def median(rounds: int, *words: str) -> float:
    spent(*words)  # the byte code is there after it
    return statistics.median(spent(*words) for _ in range(rounds))


def first_word(folder: Path) -> float:
    """CPU that an agent has had when its first connection is there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        words = [
            "agent",
            "run",
            "--bank",
            f"{folder}/t.bank",
            "--model",
            f"{folder}/lamp.toml",
            "--server",
            url,
            "--token",
            "t",
        ]
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
        )
        try:
            server.accept()[0].close()
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
        finally:
            process.terminate()
            process.wait()


def provisioned(folder: Path) -> None:
    """A bank with an image that its release key signed."""
    (folder / "lamp.toml").write_text(model_to_toml(Model(ModelName("lamp"), simple_layout(32768), ram=65536)))
    (folder / "app.bin").write_bytes(bytes(range(256)) * 40)
    verb("key", "create", "release", "-o", folder)
    signed = ("--model", folder / "lamp.toml", "--version", "1", "--sequence", "1")
    verb("sign", folder / "app.bin", *signed, "--key", folder / "release.pem", "-o", folder / "app.env")
    verb(
        *("agent", "provision", "--bank", folder / "t.bank", "--model", folder / "lamp.toml", "--id", "t"),
        *("--image", folder / "app.bin", "--envelope", folder / "app.env", "--release-key", folder / "release.pub.pem"),
    )


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    load = os.getloadavg()[0]
    bare = median(rounds, sys.executable, "-c", "pass")
    helps = {" ".join(words): median(rounds, sys.executable, "-c", PROGRAM, *words, "--help") for words, _ in tree()}
    slowest = max(helps, key=lambda words: helps[words])
    with tempfile.TemporaryDirectory() as place:
        provisioned(Path(place))
        agent = statistics.median(first_word(Path(place)) for _ in range(rounds + 1))
    print(f"{time.strftime('%Y-%m-%d')}, load {load:.1f}, {rounds} rounds; a Python that does nothing: {bare:.3f} s of CPU")
    print(f"help of {len(helps)} commands: median {statistics.median(helps.values()):.3f} s, slowest {helps[slowest]:.3f} s")
    print(f"  ({slowest}); goal {HELP} s: {'met' if helps[slowest] <= HELP else 'NOT MET'}")
    print(f"agent, until its first word: {agent:.3f} s; goal {AGENT} s: {'met' if agent <= AGENT else 'NOT MET'}")
    return 0 if helps[slowest] <= HELP and agent <= AGENT else 1


if __name__ == "__main__":
    sys.exit(main())
