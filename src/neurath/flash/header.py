"""A memory map as a C header for a board's own build. It knows struct nrt_layout's fields; it must never know a board. How it
is used: firmware/README.md."""

from __future__ import annotations

from neurath.flash.geometry import Layout, Model, Span


def header(model: Model, prefix: str) -> str:
    """C11 text: a `static const struct nrt_layout PREFIX_layout`, and its figures as macros for linker scripts and buffers."""
    layout = model.layout
    upper = prefix.upper()
    leaves = -(-layout.bank_size // layout.leaf)
    return "\n".join(
        [
            f"/* Memory map of model {model.name}; written by `neurath model header`, never by hand. */",
            f"#ifndef {upper}_MAP_H",
            f"#define {upper}_MAP_H",
            f"#define {upper}_BANK 0x{layout.bank[0].base:x}u",
            f"#define {upper}_BANK_SIZE {layout.bank_size}u",
            f"#define {upper}_LEAF {layout.leaf}u",
            f"#define {upper}_LEAVES {leaves}u",
            f"#define {upper}_CODE 0x{sum(1 << isa for isa in layout.code):02x}u",
            "#ifndef __ASSEMBLER__",
            f"#ifndef {upper}_NUMBERS",
            '#include "nrt.h"',
            f"static const struct nrt_layout {prefix}_layout = {{",
            *_fields(layout),
            "};",
            "#endif",
            "#endif",
            "#endif",
            "",
        ]
    )


def _fields(layout: Layout) -> list[str]:
    regions = ", ".join(f"{{0x{r.base:x}u, {r.size}u, {r.count}u}}" for r in layout.regions)
    spans = {"birth": layout.birth, "scratch": layout.scratch, "stage": layout.stage}
    return [
        f"    .region = {{{regions}}},",
        f"    .n_regions = {len(layout.regions)},",
        f"    .bank = {{{', '.join(map(_span, layout.bank))}}},",
        f"    .n_bank = {len(layout.bank)},",
        f"    .log = {{{', '.join(map(_span, layout.log))}}},",
        *(f"    .{name} = {_span(span)}," for name, span in spans.items()),
        f"    .write_unit = {layout.write_unit},",
        f"    .page = {layout.page},",
        f"    .group = {layout.group},",
        f"    .leaf = {layout.leaf},",
        f"    .erased = 0x{layout.erased:02x},",
        f"    .resume = {int(layout.resume)},",
    ]


def _span(span: Span) -> str:
    return f"{{0x{span.base:x}u, {span.length}u}}"
