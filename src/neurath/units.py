"""Units as types: a number that is a count of bytes is not a number of seconds. Nothing here computes."""

from __future__ import annotations

from typing import NewType

Bytes = NewType("Bytes", int)
Seconds = NewType("Seconds", float)
BytesPerSecond = NewType("BytesPerSecond", float)
#: Index of a flash sector, counted over all regions of a layout.
SectorIndex = NewType("SectorIndex", int)
#: Index of a commit unit of the bank, counted in image order.
UnitIndex = NewType("UnitIndex", int)
#: Offset into an image (the bank without its holes).
ImageOffset = NewType("ImageOffset", int)
#: Address in the flash of a terminal.
FlashAddress = NewType("FlashAddress", int)
#: Seconds since 1970, UTC; what machines are told as `now`.
UnixTime = NewType("UnixTime", float)
#: It is not earlier than this (2026-11-01), whatever a clock says: a clock before it was never set.
EARLIEST = UnixTime(1_793_491_200.0)
