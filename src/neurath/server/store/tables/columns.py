"""What every table is made of: the one list of tables, and columns of the three common kinds. It must never name a table."""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, MetaData, Text

metadata = MetaData()


def words(name: str, default: str | None = "") -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)


def count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


def moment(name: str) -> Column[float]:
    """Null: it has not come."""
    return Column(name, Float)
