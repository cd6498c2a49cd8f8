"""What the core answers, by name. It knows that the numbers are those of core/include/nrt.h, without their sign; it must never
hold a number of its own."""

from __future__ import annotations

from enum import IntEnum

from neurath.flash._core import lib


class Result(IntEnum):
    """A refusal as it goes over the wire (docs/spec/smp.md 3): the core's, negated."""

    ARG = -lib.NRT_E_ARG
    FORMAT = -lib.NRT_E_FORMAT
    SPACE = -lib.NRT_E_SPACE
    FLASH = -lib.NRT_E_FLASH
    TORN = -lib.NRT_E_TORN
    GONE = -lib.NRT_E_GONE
    DIGEST = -lib.NRT_E_DIGEST
    BASE = -lib.NRT_E_BASE
    TRUST = -lib.NRT_E_TRUST
    STATE = -lib.NRT_E_STATE
    BOUND = -lib.NRT_E_BOUND
    READ = -lib.NRT_E_READ
