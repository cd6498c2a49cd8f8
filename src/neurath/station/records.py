"""Records of restorations as people take them away: a shift's count, a table for a spreadsheet, a sheet to print and sign. It
knows the fields of a record; it must never change one."""

from __future__ import annotations

import csv
import io
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from neurath.station.stock import Stock

FIELDS = "at station terminal model why verdict reason version image size chosen bytes seconds".split()
Record = Mapping[str, Any]


def since(stock: Stock, moment: float) -> list[Record]:
    """Every record from that moment on (seconds since 1970), oldest first, whether or not the server has had it."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in stock.records()]
    return sorted((one for one in found if one["at"] >= moment), key=lambda one: float(one["at"]))


def counts(records: Iterable[Record]) -> Counter[str]:
    """How many ended how."""
    return Counter(str(one["verdict"]) for one in records)


def table(records: Iterable[Record]) -> str:
    """CSV with a head; times are UTC. A text that a spreadsheet would run as a formula is made a text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(FIELDS)
    for one in records:
        writer.writerow([moment(one["at"]) if name == "at" else _plain(one.get(name, "")) for name in FIELDS])
    return out.getvalue()


def sheet(records: list[Record]) -> str:
    """One page for a printer: a line a terminal, the count, room for a name."""
    lines = ["Restoration record", "", f"{'when (UTC)':20} {'terminal':24} {'model':16} {'version':12} verdict"]
    for one in records:
        line = f"{moment(one['at']):20} {one['terminal'] or '-':24} {one['model'] or '-':16} {one['version'] or '-':12}"
        lines.append(f"{line} {one['verdict']}{': ' + one['reason'] if one['reason'] else ''}")
    total = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts(records).items()))
    return "\n".join([*lines, "", f"{len(records)} terminals: {total or 'none'}", "", "Name ______________________"])


def moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(float(at)))


def _plain(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") else value
