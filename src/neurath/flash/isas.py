"""The instruction sets whose code a core may predict, by number (enum nrt_isa in core/src/predict.h) and by the word people
write. It must never know what an instruction looks like."""

from __future__ import annotations

NONE, THUMB, ARM, A64, RV32, X86 = range(6)
ISAS = {NONE: "none", THUMB: "thumb", ARM: "arm", A64: "aarch64", RV32: "rv32", X86: "x86-64"}
#: Those that a core may have or not: a file that predicts nothing is for everyone.
ALL = (THUMB, ARM, A64, RV32, X86)


def named(words: list[str]) -> tuple[int, ...]:
    """Their numbers, ascending, each once; ValueError where a word names none."""
    numbers = {ISAS[isa]: isa for isa in ALL}
    for word in words:
        if word not in numbers:
            raise ValueError(f"there is no code {word!r}, only {', '.join(numbers)}")
    return tuple(sorted({numbers[word] for word in words}))
