"""The picture of an update: well-formed, every operation in the line of its sector, every tenant as long as it was there."""

from __future__ import annotations

import xml.etree.ElementTree as Xml

from neurath.flash.geometry import simple_layout
from neurath.sim.nbd import Operation
from neurath.sim.trace import ERASED, HELD, PROGRAMMED, draw, tenants

SAID = [(1.0, "media cache"), (1.1, "  left its memory"), (5.0, "update: file complete"), (6.0, "application 1.1 & more")]
SVG = "{http://www.w3.org/2000/svg}"


def test_every_operation_is_drawn_in_the_line_of_its_sector() -> None:
    layout = simple_layout(65536)
    bank = layout.bank[0].base
    operations = [Operation("erase", bank, 4096, 5.0), Operation("program", bank + 256, 256, 5.5)]
    operations += [Operation("program", layout.log[0].base + 64, 64, 4.0)]
    text = draw("one & only", layout, operations, tenants(SAID, 0.0, 7.0))
    found = list(Xml.fromstring(text).iter(SVG + "rect"))
    marks = [
        one
        for one in found
        if one.get("fill") in (ERASED, PROGRAMMED) and one.get("height") == "9" and one.get("width") in ("2.5", "1.0")
    ]
    assert len(marks) == len(operations)
    erased, programmed = (
        next(m for m in marks if m.get("fill") == colour and m.get("y") != marks[0].get("y"))
        for colour in (ERASED, PROGRAMMED)
    )
    assert erased.get("y") == programmed.get("y"), "both are of the same sector"
    assert float(str(erased.get("x"))) < float(str(programmed.get("x")))


def test_a_tenant_is_there_until_it_leaves_and_the_file_from_then_on() -> None:
    found = {one.name: one for one in tenants(SAID, 0.0, 7.0)}
    assert (found["media cache"].begin, found["media cache"].end) == (0.0, 1.1)
    assert (found["browser"].begin, found["browser"].end) == (0.0, 7.0)
    file = found["file, in place of media cache"]
    assert (file.begin, file.end, file.tenant) == (1.1, 7.0, False)
    assert HELD in draw("x", simple_layout(65536), [], list(found.values()))
