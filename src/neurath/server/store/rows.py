"""Every row of a database as lines of text, and back: the same lines from SQLite and from PostgreSQL. It knows tables and
kinds of values; it must never know what a row means, nor hold a table in memory. Spec: docs/spec/backup.md."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Table,
    TableClause,
    column,
    func,
    insert,
    inspect,
    literal_column,
    select,
    table,
    text,
    update,
)

from neurath.errors import DataError
from neurath.server.store.tables import metadata

#: Rows are read and written so many at a time.
_BATCH = 1000


def lines(db: Connection, without: frozenset[str]) -> Iterator[str]:
    """All tables but some, those that others point to first: a line that names table and columns, then one for each row."""
    for one in metadata.sorted_tables:
        if one.name in without:
            continue
        yield _line({"table": one.name, "columns": [column.name for column in one.columns]})
        query = select(one).order_by(*one.primary_key.columns).execution_options(yield_per=_BATCH)
        for row in db.execute(query):
            yield _line([_said(value) for value in row])


def fill(db: Connection, given: Iterable[str]) -> None:
    """Puts the rows into tables that a migration has just made; what it put there itself is changed. DataError where the
    lines are none of these tables'."""
    for into, rows in _batches(_columns(db), given):
        key = _SEEDED.get(into.name, "")
        for row in rows if key else ():
            db.execute(update(into).where(into.c[key] == row[key]).values(**row))
        if not key:
            db.execute(insert(into), rows)
    if db.dialect.name == "postgresql":
        for name, column in db.execute(_COUNTED).all():
            _set_sequence(db, name, column, db.scalar(select(func.max(literal_column(column))).select_from(table(name))) or 0)


#: Tables that migrations put a row into, and its key.
_SEEDED = {"audit_head": "id"}
#: PostgreSQL does not count rows that came with their numbers.
_COUNTED = text(
    "SELECT table_name, column_name FROM information_schema.columns "
    "WHERE table_schema = current_schema() AND column_default LIKE 'nextval(%'"
)


def go_on_after(db: Connection, of: Table, gap: int) -> None:
    """The next row's number is beyond all there ever were, were they fewer than `gap` more than those that are here."""
    (key,) = of.primary_key.columns
    most = (db.scalar(select(func.max(key))) or 0) + gap
    if db.dialect.name == "postgresql":
        _set_sequence(db, of.name, key.name, most)
    else:
        db.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": of.name})
        db.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :n)"), {"name": of.name, "n": most})


def _set_sequence(db: Connection, name: str, column: str, most: int) -> None:
    if most:
        asked = {"name": f'"{name}"', "key": column, "n": most}
        db.execute(text("SELECT setval(pg_get_serial_sequence(:name, :key), :n)"), asked)


def _columns(db: Connection) -> dict[str, set[str]]:
    found = inspect(db)
    return {name: {column["name"] for column in found.get_columns(name)} for name in found.get_table_names()}


def _batches(known: Mapping[str, set[str]], given: Iterable[str]) -> Iterator[tuple[TableClause, list[dict[str, Any]]]]:
    into: TableClause | None = None
    columns: Sequence[str] = ()
    rows: list[dict[str, Any]] = []
    for number, one in enumerate(given, 1):
        found = _read(one, number)
        if isinstance(found, Mapping) or len(rows) == _BATCH:
            if into is not None and rows:
                yield into, rows
            rows = []
        if isinstance(found, Mapping):
            into, columns = _table(known, found, number)
        elif into is None or len(found) != len(columns):
            raise _broken(number)
        else:
            rows.append({name: _meant(value) for name, value in zip(columns, found, strict=True)})
    if into is not None and rows:
        yield into, rows


def _table(known: Mapping[str, set[str]], found: Mapping[str, Any], number: int) -> tuple[TableClause, Sequence[str]]:
    name, columns = str(found.get("table")), found.get("columns")
    if name not in known or not isinstance(columns, list) or not {str(one) for one in columns} <= known[name]:
        raise _broken(number)
    return table(name, *(column(str(one)) for one in columns)), [str(one) for one in columns]


def _line(found: object) -> str:
    return json.dumps(found, ensure_ascii=True, separators=(",", ":")) + "\n"


def _said(value: object) -> object:
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _meant(value: Any) -> Any:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value


def _read(line: str, number: int) -> Any:
    try:
        found = json.loads(line)
    except ValueError:
        raise _broken(number) from None
    if not isinstance(found, dict | list):
        raise _broken(number)
    return found


def _broken(number: int) -> DataError:
    return DataError("these are no rows of a backup", f"line {number}", "another copy of the backup", id="NRT-236")
