"""Demonstration tenants of the RAM arena: a media cache, a browser, a phone. They fill their memory and notice when anybody
else writes there. They know nothing of updates; they only come and go when asked."""

from __future__ import annotations

from neurath.terminal.memory.reserve import Part, Reserve, Tenant

#: RAM of the tenant that never leaves; it lies beside what a model can lend.
PHONE = 16 * 1024


def demo(ram: int) -> tuple[Tenant, ...]:
    """Tenants that together use all of `ram` bytes and can all leave, and one beside them that cannot."""
    cache, browser = ram // 2, ram // 4
    tones = ram - cache - browser
    return (
        Tenant("media-cache", 1, 0, cache, least=cache // 4),
        Tenant("browser", 3, cache, browser),
        Tenant("ring-tones", 2, cache + browser, tones),
        Tenant("phone", 9, ram, PHONE, vital=True),
    )


class Program:
    """One tenant at work: a pattern in its memory that is its own."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.memory = memoryview(b"")
        self.length = 0
        self._pattern = tenant.name.encode()

    def start(self, memory: bytearray) -> None:
        """Fills all of its memory."""
        self.memory = memoryview(memory)[self.tenant.base : self.tenant.base + self.tenant.length]
        self.back()

    def leave(self, part: Part) -> bool:
        self.length = 0 if part.whole else self.tenant.least
        return True

    def back(self) -> None:
        """Comes back, with what it kept still in place."""
        if self.length:
            assert self.unharmed(), f"somebody wrote into the memory of {self.tenant.name}"
        self.length = self.tenant.length
        self.memory[:] = self._filled(self.length)

    def unharmed(self) -> bool:
        """Nobody else wrote where it lives."""
        return bytes(self.memory[: self.length]) == self._filled(self.length)

    def _filled(self, length: int) -> bytes:
        return (self._pattern * (length // len(self._pattern) + 1))[:length]


def arena(ram: int, *, running: bool = True) -> Reserve:
    """The arena of a terminal that can lend `ram` bytes; without `running` (no image runs) nobody uses it."""
    if not running:
        return Reserve(ram + PHONE, (), {})
    programs = {tenant.name: Program(tenant) for tenant in demo(ram)}
    reserve = Reserve(ram + PHONE, demo(ram), programs)
    for program in programs.values():
        program.start(reserve.memory)
    return reserve
