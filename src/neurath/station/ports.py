"""What keeps a serial port from being used, looked at from outside: it is not there, not ours, or somebody else's. It knows
where Linux shows that and what a person does about it; it must never open a port, end a program or change a right."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Programs that take serial ports which are none of theirs, and how each is kept away from them.
MEDDLERS = {
    "ModemManager": 'systemctl stop ModemManager, or a udev rule with ENV{ID_MM_DEVICE_IGNORE}="1" for this adapter',
    "brltty": "apt remove brltty, or systemctl mask brltty-udev: it takes common USB adapters for Braille displays",
}
#: /dev/ptmx, by which pseudo-terminals are made.
MAKER = os.makedev(5, 2)
#: Where adapters show up; names under by-id stay with the adapter, whichever socket it is in.
PLACES = ("/dev/serial/by-id/*", "/dev/ttyUSB*", "/dev/ttyACM*")


@dataclass(frozen=True, slots=True)
class Trouble:
    """One reason why a port cannot be used, and the cure."""

    what: str
    why: str
    cure: str


@dataclass(frozen=True, slots=True)
class Program:
    pid: int
    name: str


def look(port: str, proc: Path = Path("/proc")) -> tuple[Trouble, ...]:
    """What is wrong with a port now; empty: nothing that can be seen without opening it."""
    path = Path(port)
    try:
        found = path.stat()
    except OSError:
        return (_absent(port, proc),)
    if not stat.S_ISCHR(found.st_mode):
        return (Trouble(f"{port} is no serial port", "it is a file of another kind", f"name one of: {_there()}"),)
    if not os.access(path, os.R_OK | os.W_OK):
        return (_forbidden(port, found),)
    return tuple(_held(port, one) for one in holders(found.st_rdev, proc) if one.pid != os.getpid())


def adapters() -> tuple[str, ...]:
    """Serial adapters that are plugged in, by the name that stays theirs where there is one."""
    seen: dict[str, str] = {}
    for place in PLACES:
        folder, _, pattern = place.rpartition("/")
        for path in sorted(Path(folder).glob(pattern)):
            seen.setdefault(os.path.realpath(path), str(path))
    return tuple(seen.values())


def holders(device: int, proc: Path = Path("/proc")) -> Iterator[Program]:
    """Programs that have a character device open, as far as this user may see."""
    for folder in proc.glob("[0-9]*"):
        try:
            links = [folder / "fd" / name for name in os.listdir(folder / "fd")]
        except OSError:
            continue
        # Who made a pseudo-terminal keeps both its ends: it is the device, and in nobody's way.
        if any(_is(link, device) for link in links) and not any(_is(link, MAKER) for link in links):
            yield Program(int(folder.name), _name(folder))


def _is(link: Path, device: int) -> bool:
    try:
        found = link.stat()
    except OSError:
        return False
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == device


def _name(folder: Path) -> str:
    try:
        return (folder / "comm").read_text().strip()
    except OSError:
        return "?"


def running(name: str, proc: Path = Path("/proc")) -> bool:
    """Whether a program of this name runs."""
    return any(_name(folder) == name[:15] for folder in proc.glob("[0-9]*"))


def _there() -> str:
    return ", ".join(adapters()) or "none is plugged in"


def _absent(port: str, proc: Path) -> Trouble:
    why, cure = "the adapter is unplugged, or has another name", f"plug it in; there are now: {_there()}"
    if running("brltty", proc):
        why, cure = f"{why}, or brltty, which runs, took it away", f"{cure}; where it is plugged in: {MEDDLERS['brltty']}"
    return Trouble(f"no port {port}", why, cure)


def _forbidden(port: str, found: os.stat_result) -> Trouble:
    group, user = _group(found.st_gid), pwd.getpwuid(os.geteuid()).pw_name
    why = f"{user} is not in the group {group}, to which it belongs"
    if not found.st_mode & stat.S_IWGRP:
        return Trouble(
            f"no right to use {port}", "its rights let nobody but its owner in", f"chmod g+rw {port}, or a udev rule"
        )
    if user in _members(found.st_gid):
        why = f"{user} was put into the group {group} after signing in"
        return Trouble(f"no right to use {port}", why, "sign out and in again")
    return Trouble(f"no right to use {port}", why, f"usermod -aG {group} {user}, then sign out and in again")


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _members(number: int) -> list[str]:
    try:
        return grp.getgrgid(number).gr_mem
    except KeyError:
        return []


def _held(port: str, one: Program) -> Trouble:
    cure = MEDDLERS.get(one.name, f"end {one.name} (process {one.pid}), or name another port")
    return Trouble(f"{port} is in use", f"{one.name} (process {one.pid}) has it open", cure)
