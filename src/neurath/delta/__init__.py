"""The delta engine: from two images to an update file, and (for tests) back."""

from neurath.delta.budget import Wish
from neurath.delta.build import Delta, build, full
from neurath.delta.native import Header, header

__all__ = ["Delta", "Header", "Wish", "build", "full", "header"]
