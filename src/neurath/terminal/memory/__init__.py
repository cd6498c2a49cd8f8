"""The RAM a terminal can lend: the arena, and the software that lives in it."""
