"""Answers that another program heard for the terminal: a DHCP client's hook leaves each in a directory, this takes them out.
It knows files; it sends nothing, so that a terminal whose own client renews costs no packet more."""

from __future__ import annotations

from pathlib import Path

from neurath.carriers.base import Descriptor
from neurath.carriers.http import Place
from neurath.errors import LinkError, UsageError
from neurath.wire.trickle import MAX_ROOM


class Spool:
    """One terminal's directory. Answers are the files `*.answer`, whole ones only: the hook renames them into place."""

    descriptor = Descriptor("dhcp spool", MAX_ROOM, "none", False, False)

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def beat(self, state: bytes) -> bytes:
        """The oldest answer that lies there, taken out; LinkError where none does. `state` goes nowhere: the client's packet
        does not vary."""
        try:
            waiting = sorted((path.stat().st_mtime_ns, path) for path in self._folder.glob("*.answer"))
            if waiting:
                data = waiting[0][1].read_bytes()
                waiting[0][1].unlink()
                return data
        except OSError as fault:
            raise LinkError("the spool cannot be read", f"{self._folder}: {fault.strerror}", "check its rights") from None
        raise LinkError("no renewal was heard", f"{self._folder} is empty", "the DHCP client's hook fills it")


def rides(spec: str, place: Place) -> Spool:
    """`spool:DIR`."""
    folder = spec.partition(":")[2]
    if not folder:
        raise UsageError(
            "which directory?", "the one the DHCP client's hook writes to", "--heartbeat spool:/var/lib/neurath/spool"
        )
    return Spool(Path(folder))
