"""What an agent can and cannot do on this machine, looked at and not guessed, for `neurath doctor`. It knows where Linux shows
its limits; it must never change anything."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from neurath.cli.finding import Finding, fault, limit

#: The inode of the first PID namespace of a machine (include/linux/proc_ns.h, PROC_PID_INIT_INO).
FIRST_PIDS = 0xEFFFFFFC
#: CAP_SYS_PTRACE, by which other users' processes can be looked at.
PTRACE = 19
#: Before this moment (2025) no clock is right.
BUILT = 1_735_689_600


def machine() -> Iterator[Finding]:
    """What this machine lets an agent do."""
    yield from (*_machine(), *_in_use(), *_memory(), *_people())


def _machine() -> Iterator[Finding]:
    yield limit("python", sys.version_info >= (3, 11), sys.version.split()[0])
    try:
        import neurath.flash._core as core

        yield limit("core", bool(core.lib), "the C core is built for this machine")
    except ImportError as missing:
        yield limit("core", False, f"the C core cannot be loaded: {missing}")
    right = time.time() > BUILT
    cure = "set it (timedatectl set-ntp true, or date -s): an agent goes on without, TLS does not"
    yield fault(
        "clock", right, "is set" if right else f"stands at {time.strftime('%Y-%m-%d')}, before this program was made", cure
    )


def _in_use() -> Iterator[Finding]:
    first = os.stat("/proc/self/ns/pid").st_ino == FIRST_PIDS
    text = "sees every process, those of containers too"
    yield limit("pid namespace", first, text if first else "sees only its own: name a lock file as well")
    caps = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:"))
    may = bool(int(caps.split()[1], 16) >> PTRACE & 1)
    text = "other users' processes can be looked at" if may else "they are hidden: run as root, or use a lock"
    yield limit("other users", may, text)
    pidfd = hasattr(os, "pidfd_open") and _opens()
    yield limit("exit of a process", pidfd, "noticed at once" if pidfd else "noticed twice a second: no pidfd here")
    systemd = Path("/run/systemd/system").is_dir()
    yield limit("systemd units", systemd, "can be asked about" if systemd else "systemd does not run here")


def _opens() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


def _memory() -> Iterator[Finding]:
    from neurath.terminal.memory.cells import ROOT, available

    unified = (ROOT / "cgroup.controllers").exists()
    memory = (unified and "memory" in (ROOT / "cgroup.controllers").read_text().split()) or (ROOT / "memory").is_dir()
    text = f"cgroup version {2 if unified else 1}" if memory else "no memory controller: services can be stopped, not limited"
    yield limit("limit services", memory, text)
    freezer = unified or (ROOT / "unified").is_dir() or (ROOT / "freezer").is_dir()
    yield limit("freeze services", freezer, "can be frozen" if freezer else "no freezer")
    swap = len(Path("/proc/swaps").read_text().splitlines()) > 1
    yield limit("swap", swap, "there is some" if swap else "none: what is frozen gives page cache only")
    yield limit("memory to be had", True, f"{available() >> 20:,} MiB without asking anybody")


def _people() -> Iterator[Finding]:
    desktop = shutil.which("gdbus") is not None and any(Path("/run/user").glob("*/bus"))
    wall = shutil.which("wall") is not None
    text = "notices go to desktops" if desktop else "no desktop here: notices go to terminals by wall"
    yield limit("notices", desktop or wall, text if desktop or wall else "neither gdbus with a desktop nor wall")
    for program, why in (("dpkg", 'installer = "deb"'), ("systemctl", "in_use_unit")):
        there = shutil.which(program) is not None
        yield limit(program, there, "is here" if there else f"is not here: {why} cannot be used")


def agent(path: Path) -> Iterator[Finding]:
    from neurath.terminal.setup import setup_from_toml

    setup = setup_from_toml(path.read_text(encoding="utf-8"), path.parent)
    assert setup.state is not None
    place = setup.state if setup.state.exists() else setup.state.parent
    may = os.access(place, os.W_OK)
    yield limit("state", may, f"{setup.state} {'can' if may else 'cannot'} be written")
    for one in setup.components:
        folder = one.path.parent
        may = one.installer in ("deb", "command") or os.access(folder, os.W_OK)
        text = f"{one.installer} {one.path}" if may else f"{folder} cannot be written"
        yield limit(f"component {one.name}", may, text)
