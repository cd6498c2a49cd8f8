"""What stands between this machine and others, for `neurath doctor`: ports here and there, clocks, the fonts of a screen.
It knows how each is looked at; it must never change anything."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from neurath.cli.finding import Finding, fault

#: Seconds two clocks may differ, and a server may take to answer.
APART, PATIENCE = 60, 5.0


def serial(port: str) -> Iterator[Finding]:
    """A port of a restoration station."""
    from neurath.station import ports

    troubles = ports.look(port)
    for one in troubles:
        yield fault(f"serial {port}", False, f"{one.what}: {one.why}", one.cure)
    if not troubles:
        yield fault(f"serial {port}", True, "is there, may be used, and nobody has it", "")


def listening(port: int) -> Iterator[Finding]:
    """A port that a server is to listen at."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError as trouble:
            who = " by " + ", ".join(sorted(listeners(port))) if listeners(port) else ""
            cure = "end that program, or neurath serve --port N with a free one; below 1024 it takes root"
            yield fault(f"port {port}", False, f"{trouble.strerror}: it is held{who}", cure)
            return
    yield fault(f"port {port}", True, "is free", "")


def listeners(port: int) -> set[str]:
    """Programs that listen at a TCP port of this machine, as far as this user may see: `name (process N)`."""
    wanted = {f"socket:[{inode}]" for inode in listening_sockets(port)}
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        if wanted & sockets(folder):
            found.add(f"{(folder / 'comm').read_text().strip()} (process {folder.name})")
    return found


def listening_sockets(port: int = 0) -> set[str]:
    """Inodes of TCP sockets that listen, at one port or at any."""
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path("/proc/net", name).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and port in (0, int(fields[1].rpartition(":")[2], 16)):
                found.add(fields[9])
    return found


def sockets(folder: Path) -> set[str]:
    """What the descriptors of a process name, as links of /proc."""
    found: set[str] = set()
    try:
        names = os.listdir(folder / "fd")
    except OSError:
        return found  # it ended, or is another user's
    for name in names:
        with contextlib.suppress(OSError):  # closed since
            found.add(os.readlink(folder / "fd" / name))
    return found


def server(url: str) -> Iterator[Finding]:
    """The way to a server: its port, and its clock beside ours."""
    begun = time.time()
    try:
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # nosec B310
            date = answer.headers["Date"]
    except urllib.error.HTTPError as answer:
        date = answer.headers["Date"]
    except (OSError, ValueError, http.client.HTTPException) as trouble:
        cure = "start it (neurath serve --host 0.0.0.0), open the port in the firewall, or name another address"
        yield fault("server", False, f"{url} does not answer: {getattr(trouble, 'reason', trouble)}", cure)
        return
    yield fault("server", True, f"{url} answers", "")
    if date is not None:
        yield _clocks(email.utils.parsedate_to_datetime(date).timestamp() - begun)


def _clocks(ahead: float) -> Finding:
    text = f"the server's is {abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
    cure = "set the wrong one of them (timedatectl set-ntp true)"
    return fault("clocks", abs(ahead) <= APART, text if abs(ahead) > APART else "this machine's and the server's agree", cure)


def fonts() -> Iterator[Finding]:
    """Whether a browser on this machine could show Japanese; nothing where no fonts are kept at all."""
    if shutil.which("fc-list") is None:
        return
    done = subprocess.run(["fc-list", ":lang=ja", "family"], capture_output=True, text=True, check=False, timeout=60)
    text = "Japanese can be shown" if done.stdout.strip() else "none of them has Japanese letters: pages would show boxes"
    yield fault("fonts", bool(done.stdout.strip()), text, "apt install fonts-noto-cjk")
