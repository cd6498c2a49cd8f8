"""SQL that SQLite and PostgreSQL say differently, or mean differently: upserts, patterns, words within JSON, whole numbers. It
knows both dialects; it must never know a table."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Integer, cast, func, literal, select
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import GenericTypeCompiler, SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import Boolean, Text

__all__ = ["matches", "named", "next_number", "upsert"]


@compiles(Integer, "postgresql")
def _whole(kind: Integer, compiler: GenericTypeCompiler, **more: Any) -> str:
    """SQLite's whole numbers have 64 bits; so have sizes, draws and gates of ours where a table is made."""
    return "BIGINT" if more.get("type_expression") is not None else compiler.visit_INTEGER(kind)


class _Glob(GenericFunction[bool]):
    """`_glob(text, pattern, expression)`: the pattern for SQLite, the same as a regular expression for PostgreSQL."""

    type = Boolean()
    inherit_cache = True


class _Member(GenericFunction[str]):
    """`_member(document, path, name)`: a member of a JSON object, as SQLite and as PostgreSQL find it."""

    type = Text()
    inherit_cache = True


def matches(text: ColumnElement[Any], pattern: str) -> ColumnElement[bool]:
    """Whether the text is like a shell's pattern: `*`, `?`, `[a-z]`, `[^a-z]`; upper and lower case differ."""
    return _Glob(text, literal(pattern), literal(expression(pattern)))


def named(document: ColumnElement[Any], name: str) -> ColumnElement[str]:
    """The member of a JSON object in a text column; null where there is none. `name` holds no quote."""
    return _Member(document, literal(f'$."{name}"'), literal(name))


def next_number(db: Connection, key: Column[int]) -> int:
    """The number that the next row of the key's table will have, if nobody is quicker."""
    last = select(func.max(key))
    if db.dialect.name == "postgresql":  # it gives a number once, also where the row did not stay
        counter = func.pg_get_serial_sequence(key.table.name, key.name)
        last = select(func.pg_sequence_last_value(cast(counter, REGCLASS)))
    return int(db.scalar(last) or 0) + 1


@compiles(_Glob)
def _glob(element: _Glob, compiler: SQLCompiler, **more: Any) -> str:
    text, pattern, _ = (compiler.process(one, **more) for one in element.clauses)
    return f"({text} GLOB {pattern})"


@compiles(_Glob, "postgresql")
def _glob_there(element: _Glob, compiler: SQLCompiler, **more: Any) -> str:
    text, _, regular = (compiler.process(one, **more) for one in element.clauses)
    return f"({text} ~ {regular})"


@compiles(_Member)
def _member(element: _Member, compiler: SQLCompiler, **more: Any) -> str:
    document, path, _ = (compiler.process(one, **more) for one in element.clauses)
    return f"json_extract({document}, {path})"


@compiles(_Member, "postgresql")
def _member_there(element: _Member, compiler: SQLCompiler, **more: Any) -> str:
    document, _, name = (compiler.process(one, **more) for one in element.clauses)
    return f"(CAST({document} AS json) ->> {name})"


def expression(pattern: str) -> str:
    """A GLOB pattern of SQLite as a regular expression of PostgreSQL."""
    made, at = "", 0
    while at < len(pattern):
        one = pattern[at]
        end = pattern.find("]", at + 2 + (pattern[at + 1 : at + 2] == "^")) if one == "[" else -1
        if one == "[" and end > 0:
            inside = pattern[at + 1 : end].replace("\\", r"\\").replace("[", r"\[")
            made += f"[{inside}]"
            at = end + 1
            continue
        if one == "[":
            return "(?!)"  # SQLite matches nothing with a bracket that is left open
        made += {"*": ".*", "?": "."}.get(one, re.escape(one))
        at += 1
    return f"^{made}$"
