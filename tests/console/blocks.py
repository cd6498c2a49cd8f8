"""A font in which every character is the same block: a page set in it has the same lines and boxes on every machine, whatever
fonts that has. Made here, of tables as OpenType has them; it must never be seen by anybody but a test."""

from __future__ import annotations

import struct

EM, WIDE, TOP, LOW = 1000, 520, 800, -200
LAST = 0x10FFFF


def _head() -> bytes:
    font = struct.pack(">IIIIHHqq", 0x00010000, 0x00010000, 0, 0x5F0F3CF5, 3, EM, 0, 0)
    return font + struct.pack(">hhhhHHhhh", 0, LOW, WIDE, TOP, 0, 8, 2, 0, 0)


def _across() -> bytes:
    """hhea: one metric for all glyphs."""
    return (
        struct.pack(">Ihhh", 0x00010000, TOP, LOW, 0)
        + struct.pack(">Hhhhhhh", WIDE, 0, 0, WIDE, 1, 0, 0)
        + bytes(10)
        + b"\0\1"
    )


def _characters() -> bytes:
    """cmap: spaces are the empty glyph, every other character is the block (format 13, many to one)."""
    groups = [(0, 0x20, 1), (0x21, LAST, 2)]
    table = struct.pack(">HHIII", 13, 0, 16 + 12 * len(groups), 0, len(groups))
    return struct.pack(">HHHHI", 0, 1, 3, 10, 12) + table + b"".join(struct.pack(">III", *group) for group in groups)


def _outline() -> bytes:
    """The block: four corners, a little smaller than its cell, so that two of them are two."""
    left, right, low, top = 40, WIDE - 40, 0, 700
    steps = ((left, low), (0, top), (right - left, 0), (0, -top))  # each from the corner before it
    body = struct.pack(">hhhhhHH", 1, left, low, right, top, 3, 0) + bytes([1] * 4)
    body += b"".join(struct.pack(">h", x) for x, _ in steps) + b"".join(struct.pack(">h", y) for _, y in steps)
    return body + bytes(-len(body) % 4)


def _names() -> bytes:
    words = {1: "Blocks", 2: "Regular", 3: "Blocks", 4: "Blocks", 6: "Blocks"}
    out, text = b"", b""
    for number, word in words.items():
        data = word.encode("utf-16-be")
        out += struct.pack(">HHHHHH", 3, 1, 0x409, number, len(data), len(text))
        text += data
    return struct.pack(">HHH", 0, len(words), 6 + len(out)) + out + text


def _system() -> bytes:
    """OS/2, version 4."""
    out = struct.pack(">HhHHH", 4, WIDE, 400, 5, 0) + struct.pack(">10h", *[0] * 10) + struct.pack(">h", 0) + bytes(10)
    out += bytes(16) + b"NRTH" + struct.pack(">HHH", 0x40, 0x20, 0xFFFF) + struct.pack(">hhhHH", TOP, LOW, 0, TOP, -LOW)
    return out + bytes(8) + struct.pack(">hhHHH", 500, 700, 0, 0x20, 1)


def font() -> bytes:
    """The whole file."""
    block = _outline()
    tables = {
        "OS/2": _system(),
        "cmap": _characters(),
        "glyf": block,
        "head": _head(),
        "hhea": _across(),
        "hmtx": struct.pack(">Hhhh", WIDE, 0, 0, 40),
        "loca": struct.pack(">4H", 0, 0, 0, len(block) // 2),
        "maxp": struct.pack(">IH", 0x00010000, 3) + struct.pack(">13H", 4, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0),
        "name": _names(),
        "post": struct.pack(">IIhhIIIII", 0x00030000, 0, -100, 50, 0, 0, 0, 0, 0),
    }
    at, records, body = 12 + 16 * len(tables), b"", b""
    for tag, data in tables.items():
        padded = data + bytes(-len(data) % 4)
        total = sum(struct.unpack(f">{len(padded) // 4}I", padded)) & 0xFFFFFFFF
        records += tag.encode() + struct.pack(">III", total, at + len(body), len(data))
        body += padded
    return struct.pack(">IHHHH", 0x00010000, len(tables), 128, 3, 16 * len(tables) - 128) + records + body
