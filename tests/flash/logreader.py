"""A second reader of the state log, written from docs/spec/statelog.md and not from the core: it shows that the page says
enough. It must never be used outside tests."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

LENGTHS = {
    0x21: 4,
    0x22: 65,
    0x23: 60,
    0x24: 0,
    0x25: 8,
    0x26: 1,
    0x27: 17,
    0x28: 122,
    0x29: 10,
    0x2A: 1,
    0x2B: 1,
    0x2C: 0,
    0x2D: 10,
    0x2E: 10,
}


@dataclass
class Said:
    """What a span says."""

    generation: int = 0
    sealed: bool = False
    facts: dict[str, object] = field(default_factory=dict)
    records: list[tuple[int, int]] = field(default_factory=list)
    joined: dict[int, int] = field(default_factory=dict)
    joined_by: int = -1


def _image(data: bytes) -> tuple[bytes, bytes, int, int, int]:
    size, sequence, epoch = struct.unpack("<III", data[48:60])
    return data[:16], data[16:48], size, sequence, epoch


def _installed(data: bytes) -> dict[str, object]:
    facts: dict[str, object] = {
        "installed": _image(data),
        "installs": struct.unpack("<I", data[60:64])[0],
        "candidate": bool(data[64]),
        **dict.fromkeys(("file_size", "commit", "done", "broken", "boots", "mask"), 0),
    }
    return facts if data[64] else facts | {"confirmed": facts["installed"]}


def _apply(said: Said, kind: int, data: bytes) -> None:
    facts = said.facts
    if kind == 0x21:
        said.generation = struct.unpack("<I", data)[0]
        return
    if kind == 0x2A:
        ones = int(str(facts["mask"])).bit_count()
        if said.joined_by + 1 == facts["commit"]:
            ones += sum(mask.bit_count() for mask in said.joined.values())
        if data[0] >= ones:
            facts["done"] = facts["commit"]
        return
    if kind == 0x2D:
        position, unit, _, mask = struct.unpack("<HHHI", data)
        if position != said.joined_by:
            said.joined.clear()
        said.joined_by = position
        said.joined[unit] = mask
        return
    if kind == 0x2E:  # where a unit lies that is decoded already: no fact of its own
        return
    means: dict[int, Callable[[], dict[str, object]]] = {
        0x22: lambda: _installed(data),
        0x23: lambda: {"confirmed": _image(data)},
        0x24: lambda: {"confirmed": facts["installed"], "candidate": False, "boots": 0, "broken": 0},
        0x25: lambda: dict(zip(("serial", "key_list"), struct.unpack("<II", data), strict=True)),
        0x26: lambda: {"boots": data[0]},
        0x27: lambda: {"failed": data[:16], "failed_proofs": data[16]},
        0x28: lambda: {"file_size": struct.unpack("<I", data[108:112])[0], "commit": 0, "done": 0, "mask": 0},
        0x29: lambda: {
            "commit": struct.unpack("<H", data[:2])[0] + 1,
            "mask": struct.unpack("<I", data[6:])[0],
            "broken": 0,
        },
        0x2B: lambda: {"broken": data[0]},
        0x2C: dict,
    }
    facts.update(means[kind]())


def read_span(span: bytes, write_unit: int, erased: int) -> Said:
    """Everything one span says, by the rules of sections 1 and 2."""
    grid, said, at, sealed, again = max(8, write_unit), Said(), 0, 0, False
    traces = [n for n in range(0, len(span) - grid + 1, grid) if set(span[n : n + grid]) != {erased}]
    last = len(span) // grid * grid - grid
    while at + grid <= len(span):
        count = LENGTHS.get(span[at])
        record = span[at : at + 6 + count] if count is not None else b""
        whole = count is not None and len(record) == 6 + count
        if at not in traces or not whole or zlib.crc32(record[:-4]).to_bytes(4, "little") != record[-4:]:
            at += grid
            continue
        again = again or (record[:2] == b"\x2c\0" and at != last)
        step = -(-len(record) // grid) * grid
        if record[1] == len(said.records) % 256 and (said.records or at == 0):
            said.records.append((at, record[0]))
            _apply(said, record[0], bytes(b ^ 0x5A for b in record[2:-4]))
            sealed = at + step if record[0] == 0x21 else sealed
        at += step
    said.sealed = sealed > 0 and max(traces) >= sealed and (last not in traces or again)
    return said


def read_log(spans: tuple[bytes, bytes], write_unit: int, erased: int) -> Said:
    """What the log says: the sealed span with the higher generation."""
    both = [said for said in (read_span(span, write_unit, erased) for span in spans) if said.sealed]
    return max(both, key=lambda said: said.generation)
