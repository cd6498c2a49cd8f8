"""The memory of the agent's own process. It knows what the C library can do about it; it must never be needed for anything to
be right."""

from __future__ import annotations

from neurath.flash._core import lib


def keep_small() -> None:
    """One heap for all threads: each does little, and one of its own for each costs pages that nobody fills. Before the first
    thread."""
    lib.nrt_one_heap()


def give_back() -> None:
    """What a session has left free goes back to the system."""
    lib.nrt_trim()
