"""The readers take what linkers and people make, and refuse everything else in three lines."""

from __future__ import annotations

import contextlib
import io
import struct
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st
from intelhex import IntelHex

from neurath.errors import DataError
from neurath.flash.geometry import Layout, Model, Region, Span, simple_layout
from neurath.ids import ModelName
from neurath.server.software import squashfs
from neurath.server.software.images import read_image


def hex_text(segments: dict[int, bytes]) -> bytes:
    """What the intelhex library writes for these contents."""
    book = IntelHex()
    for address, content in segments.items():
        book.puts(address, content)
    out = io.StringIO()
    book.write_hex_file(out)
    return out.getvalue().encode()


def record(kind: int, address: int, content: bytes) -> str:
    body = bytes([len(content)]) + address.to_bytes(2, "big") + bytes([kind]) + content
    return ":" + (body + bytes([-sum(body) & 0xFF])).hex().upper()


def elf_file(segments: list[tuple[int, bytes]], *, wide: bool = False, order: str = "<", headers: bool = False) -> bytes:
    """A linked ELF file; with `headers` the first segment begins with the ELF headers, as GNU ld does it."""
    ehsize, phsize, shsize = (64, 56, 64) if wide else (52, 32, 40)
    room = ehsize + phsize * len(segments)
    offset, programs, bodies, starts = room, b"", b"", []
    for index, (address, content) in enumerate(segments):
        starts.append(offset)
        at, where, size = offset, address, len(content)
        if headers and index == 0:
            at, where, size = 0, address - room, size + room
        fields = (1, 5, at, 0x2000_0000, where, size, size, 4) if wide else (1, at, 0x2000_0000, where, size, size, 5, 4)
        programs += struct.pack(order + ("IIQQQQQQ" if wide else "IIIIIIII"), *fields)
        bodies += content
        offset += len(content)
    sections = b"\0" * shsize
    for start, (address, content) in zip(starts, segments, strict=True):
        layout = order + ("IIQQQQIIQQ" if wide else "IIIIIIIIII")
        sections += struct.pack(layout, 0, 1, 2, address, start, len(content), 0, 0, 4, 0)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    fields = (2, 40, 1, 0, ehsize, offset, 0, ehsize, phsize, len(segments), shsize, 1 + len(segments), 0)
    return ident + struct.pack(order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"), *fields) + programs + bodies + sections


def model_with_hole() -> Model:
    layout = Layout(
        regions=(Region(0x1000, 0x400, 64),),
        bank=(Span(0x2000, 0x800), Span(0x3000, 0x1000)),
        log=(Span(0x1000, 0x400), Span(0x1400, 0x400)),
        scratch=Span(0x1800, 0x800),
        write_unit=4,
        page=256,
        group=1024,
        leaf=512,
    )
    return Model(ModelName("holed"), layout, ram=65536, address=0x0800_2000)


def test_a_raw_binary_is_the_image_itself() -> None:
    found = read_image(b"\x00\x20\x00\x20firmware", "fw.bin")
    assert (found.image, found.address, found.kind) == (b"\x00\x20\x00\x20firmware", None, "bin")


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.integers(0, 40), st.binary(min_size=1, max_size=200), min_size=1, max_size=6), st.integers(0, 0xFFFF)
)
def test_hex_that_intelhex_writes_reads_back_as_intelhex_reads_it(parts: dict[int, bytes], base: int) -> None:
    segments = {base * 0x100 + index * 256: content for index, content in parts.items()}
    data = hex_text(segments)
    book = IntelHex(io.StringIO(data.decode()))
    found = read_image(data, "fw.hex")
    assert found.kind == "hex"
    assert found.address == book.minaddr()
    assert found.image == book.tobinstr()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=4),
    st.integers(0, 0x0800_0000),
    st.booleans(),
    st.sampled_from("<>"),
    st.booleans(),
)
def test_elf_segments_lie_where_pyelftools_says(
    contents: list[bytes], base: int, wide: bool, order: str, headers: bool
) -> None:
    address = base + 0x1000
    segments = [(address + index * 512, content) for index, content in enumerate(contents)]
    data = elf_file(segments, wide=wide, order=order, headers=headers)
    expected = bytearray(b"\xff") * (segments[-1][0] + len(segments[-1][1]) - address)
    for section in ELFFile(io.BytesIO(data)).iter_sections():
        if section["sh_flags"] & 2:
            at = section["sh_addr"] - address
            expected[at : at + section["sh_size"]] = section.data()
    found = read_image(data, "anything.at.all")
    assert (found.kind, found.address, found.image) == ("elf", address, bytes(expected))


def test_a_models_bank_spans_pick_the_image_and_count_what_is_left_out() -> None:
    model = model_with_hole()
    at = model.address
    data = hex_text({at + 4: b"abcd", at + 0x7FF: b"ef", at + 0x1000: b"second", 0x1000_1000: b"uicr"})
    found = read_image(data, "fw.hex", model)
    expected = b"\xff" * 4 + b"abcd" + b"\xff" * (0x7FF - 8) + b"e" + b"second"
    assert found.image == expected
    assert (found.address, found.outside) == (at, 5)  # one byte in the hole, four configuration words
    elf = elf_file([(at + 4, b"abcd"), (at + 0x1000, b"second")])
    assert read_image(elf, "fw.elf", model).image == b"\xff" * 4 + b"abcd" + b"\xff" * 0x7F8 + b"second"


def test_configuration_words_are_not_part_of_an_image() -> None:
    found = read_image(hex_text({0: b"firmware", 0x1000_1014: b"\x00\xf0\x07\x00"}), "microbit.hex")
    assert (found.image, found.outside) == (b"firmware", 4)


def universal(*boards: int) -> bytes:
    lines = []
    for board in boards:
        kind = 0x00 if board in (0x9900, 0x9901) else 0x0D
        lines += [record(4, 0, b"\0\0"), record(0x0A, 0, board.to_bytes(2, "big") + b"\xc0\xde")]
        lines += [record(kind, 0, f"image of {board:04X}".encode()), record(0x0C, 0, b"\xff" * 12), record(0x0B, 0, b"")]
    return "\r\n".join([*lines, record(1, 0, b"")]).encode()


def test_universal_hex_gives_the_first_generation_section() -> None:
    assert read_image(universal(0x9903, 0x9900), "u.hex").image == b"image of 9900"


def test_universal_hex_without_that_section_is_refused_with_a_way_out() -> None:
    with pytest.raises(DataError) as caught:
        read_image(universal(0x9903), "u.hex")
    assert "0x9903" in caught.value.why
    assert caught.value.hint


def without_end(data: bytes) -> bytes:
    return data.replace(b":00000001FF", b"")


REFUSED = {
    "empty": (b"", "empty"),
    "overlap": (without_end(hex_text({0: b"12345678"})) + hex_text({4: b"xx"}), "both hold address 0x4"),
    "checksum": (hex_text({0: b"firmware"}).replace(b"66", b"67", 1), "checksum"),
    "hex cut": (without_end(hex_text({0: b"firmware" * 9})), "no end record"),
    "hex cut in a line": (hex_text({0: b"firmware" * 9})[:70], "whole record"),
    "two hex files": (hex_text({0: b"a"}) + hex_text({9: b"b"}), "after the end record"),
    "hole": (hex_text({0: b"a", 0x0200_0000: b"b"}), "two memories"),
    "span": (hex_text({i * 0xF_0000: b"x" for i in range(80)}), "at most 67108864"),
    "wrap": ("\n".join([record(0, 0xFFFF, b"ab"), record(1, 0, b"")]).encode(), "64 KiB segment"),
    "only configuration": (hex_text({0x1000_1000: b"x"}), "no data for a bank"),
    "elf cut": (elf_file([(0x1000, b"firmware" * 8)])[:100], "cut short"),
    "elf headers only": (b"\x7fELF\x01\x01", "damaged or cut short"),
    "elf table beyond 63 bits": (elf_file([(0x1000, b"x")], wide=True, order=">").replace(bytes(6), b"\xff" * 6), "cut short"),
    "elf class": (b"\x7fELF\x07\x01" + bytes(60), "damaged or cut short"),
    "elf overlap": (elf_file([(0x1000, b"firmware"), (0x1004, b"more")]), "both hold address 0x1004"),
    "object file": (elf_file([]), "nothing to load"),
    "zip": (b"PK\x03\x04" + bytes(40), "zip"),
    "squashfs": (b"hsqs" + bytes(200), "without the signature"),
    "swu cut": (b"070702" + b"0" * 104 + b"sw-description\0" + b"x", "cut short"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_image_is_refused_in_three_lines(case: str) -> None:
    data, why = REFUSED[case]
    with pytest.raises(DataError) as caught:
        read_image(data, f"{case}.x")
    assert why in caught.value.why
    assert caught.value.hint
    assert case in caught.value.what


def test_a_name_that_lies_is_refused() -> None:
    with pytest.raises(DataError, match=r"fw\.hex"):
        read_image(b"\x00\x01\x02", "fw.hex")


def test_an_image_longer_than_the_bank_is_refused() -> None:
    model = Model(ModelName("small"), simple_layout(16384), ram=1)
    assert read_image(bytes(16384), "fw.bin", model).kind == "bin"
    with pytest.raises(DataError, match="cannot read") as caught:
        read_image(bytes(16385), "fw.bin", model)
    assert "small" in caught.value.why


def test_data_outside_the_bank_of_the_named_model_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        read_image(hex_text({0x100: b"x"}), "fw.hex", model_with_hole())
    assert "holed" in caught.value.why


def swu(description: bytes) -> bytes:
    def member(name: bytes, body: bytes) -> bytes:
        fields = (1, 0o100644, 0, 0, 1, 0, len(body), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % f for f in fields) + name + b"\0"
        head += b"\0" * (-len(head) % 4)
        return head + body + b"\0" * (-len(body) % 4)

    return member(b"sw-description", description) + member(b"TRAILER!!!", b"")


def test_an_swu_package_is_taken_whole_and_says_its_version() -> None:
    data = swu(b'software = {\n version = "1.2.3";\n hardware-compatibility: [ "1.0", "rev-b" ];\n}')
    found = read_image(data, "update.swu")
    assert (found.kind, found.image, found.version) == ("swu", data, "1.2.3")
    assert found.compatible == ("1.0", "rev-b")


def test_a_raucb_bundle_is_taken_whole() -> None:
    body = b"hsqs" + bytes(36) + (4096).to_bytes(8, "little") + bytes(4048)
    data = body + b"signature" + (9).to_bytes(8, "big")
    assert read_image(data, "update.raucb").kind == "raucb"


VECTORS = Path(__file__).parents[2] / "vectors/raucb"


def test_a_bundle_of_rauc_says_its_version_and_what_it_is_for() -> None:
    # Written by Debian's rauc 1.8 from a manifest of these words and a file of zeroes.
    data = (VECTORS / "plain.raucb").read_bytes()
    found = read_image(data, "update.raucb")
    assert (found.version, found.compatible, found.image) == ("2026.11-3", ('Lab Board "1"',), data)


def test_one_file_is_read_out_of_a_large_directory_and_other_compressions_are_not_guessed() -> None:
    image = (VECTORS / "many-xz.squashfs").read_bytes()
    manifest = squashfs.read(image, "manifest.raucm")
    assert manifest is not None
    assert manifest.startswith(b"[update]\ncompatible=")
    assert squashfs.read(image, "file-299-with-a-long-name") == b"299\n"
    assert squashfs.read(image, "absent") is None
    with pytest.raises(DataError):
        squashfs.read(image, "sub")  # a directory
    with pytest.raises(DataError):
        squashfs.read(image, "zz")  # no manifest is that long
    assert squashfs.read(image[:20] + b"\6" + image[21:], "manifest.raucm") is None  # zstd


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 255)), min_size=1, max_size=6), st.integers(0, 4000))
def test_no_damaged_squashfs_crashes_its_reader(hits: list[tuple[int, int]], cut: int) -> None:
    image = bytearray((VECTORS / "many-xz.squashfs").read_bytes())
    for place, value in hits:
        image[place] = value
    for data in (bytes(image), bytes(image[:cut])):
        with contextlib.suppress(DataError):
            squashfs.read(data, "manifest.raucm")


STARTS = st.sampled_from(
    [b"", b"\x7fELF\x01\x01", b"\x7fELF\x02\x02", b":10000000", b":0400000A9900C0DEBB\n", b"070701", b"hsqs"]
)


@settings(max_examples=400, deadline=None)
@given(STARTS, st.binary(max_size=400))
def test_no_byte_string_crashes_a_reader(start: bytes, rest: bytes) -> None:
    assert outcome(start + rest)


def outcome(data: bytes) -> str:
    """The kind of image, or why it is none; any other exception is a crash."""
    try:
        found = read_image(data, "x")
    except DataError as refused:
        return refused.why if refused.hint else ""
    return found.kind if found.image else ""


GOOD = (
    hex_text({0x10: b"firmware" * 5, 0x1_0000: b"more"}),
    universal(0x9900, 0x9903),
    elf_file([(0x1000, b"firmware" * 8), (0x1800, b"data")], headers=True),
    elf_file([(0x1000, b"firmware" * 8)], wide=True, order=">"),
    swu(b'version = "1";'),
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(GOOD), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4), st.integers(0, 300))
def test_no_damaged_file_crashes_a_reader(good: bytes, hits: list[tuple[int, int]], cut: int) -> None:
    damaged = bytearray(good[: len(good) - cut])
    for at, value in hits:
        if damaged:
            damaged[at % len(damaged)] = value
    assert outcome(bytes(damaged))


def test_hostile_headers_do_not_take_long(tmp_path: Path) -> None:
    """65,535 headers that all point at the same bytes, and a hex of scattered bytes: refused in bounded time."""
    elf = bytearray(elf_file([(0x1000, b"x" * 64)]))
    elf[44:46] = b"\xff\xff"  # e_phnum
    elf[48:50] = b"\xff\xff"  # e_shnum
    with pytest.raises(DataError):
        read_image(bytes(elf), "x.elf")
    scattered = "\n".join(record(0, (i * 2) & 0xFFFF, b"x") for i in range(70_000))
    with pytest.raises(DataError):
        read_image(scattered.encode(), "x.hex")
