"""Where a row stands in the order of a query, as PostgreSQL tells it and as the client computes it.

A place is a list of texts, one a key, which go into cursors; None is null.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timezone
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

from reactive.expr import Expr
from store.times import instant_text

# The SQL type of each type that has an order; an Enum's is that of its values.
SQL_TYPES: dict[type, str] = {
    str: "text",
    int: "numeric",
    float: "float8",
    Decimal: "numeric",
    bool: "boolean",
    datetime: "timestamptz",
    date: "date",
}

Place = Sequence[str | None]
FieldText = Callable[[str], str]


@dataclass(frozen=True)
class Key:
    """A part of the order: an expression of some Python type, None for the entity's id; and as SQL.

    `text` is there once it was read.
    """

    expr: Expr | None
    python: type
    direction: str
    text: str = ""

    @property
    def sql_type(self) -> str:
        """What texts of it are cast to."""
        return "uuid" if self.expr is None else SQL_TYPES[self.python]

    def read(self, field_text: FieldText) -> Key:
        """The same key, with its SQL as this function reads fields."""
        if self.expr is None:
            return self
        sql = self.expr.to_sql("d.data", as_type=self.python, field_text=field_text)
        collation = ' COLLATE "C"' if self.sql_type == "text" else ""
        # A default may hold a %, which the driver would read as a place for a value.
        return replace(self, text=f"({sql}){collation}".replace("%", "%%"))


ID = Key(None, str, "ASC", "d.entity_id")


def after(keys: Sequence[Key], seen: Place) -> tuple[str, list[Any]]:
    """The condition that a row comes after the one with this place, and its values."""
    ways: list[str] = []
    values: list[Any] = []
    for number, key in enumerate(keys):
        equal = [f"{k.text} IS NOT DISTINCT FROM %s::{k.sql_type}" for k in keys[:number]]
        sign = ">" if key.direction == "ASC" else "<"
        ways.append(" AND ".join([*equal, f"{key.text} {sign} %s::{key.sql_type}"]))
        values += seen[: number + 1]
    return "(" + " OR ".join(f"({way})" for way in ways) + ")", values


def place_of(keys: Sequence[Key], row: dict[str, Any], entity_id: str) -> list[str | None]:
    """The place of a row that the client read, by its values."""
    return [entity_id if key.expr is None else _text(key.expr.eval(row)) for key in keys]


def in_order(keys: Sequence[Key]) -> Any:
    """A key function that sorts places as PostgreSQL does."""

    def compare(left: Place, right: Place) -> int:
        for key, one, other in zip(keys, left, right, strict=True):
            if one == other:
                continue
            # Nulls are told apart by a key of their own before this one.
            a, b = _comparable(one, key.sql_type), _comparable(other, key.sql_type)
            if a != b:
                return (1 if a > b else -1) * (1 if key.direction == "ASC" else -1)
        return 0

    return cmp_to_key(compare)


def _text(value: Any) -> str | None:
    """A value as PostgreSQL reads it."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        known = value if value.utcoffset() is not None else value.replace(tzinfo=timezone.utc)
        return instant_text(known).replace("T", " ").replace("Z", "+00")
    return value.isoformat() if isinstance(value, date) else str(value)


def _comparable(text: str | None, sql_type: str) -> Any:
    if text is None:
        return _Least()
    if sql_type in ("numeric", "float8"):
        return Decimal(text)
    if sql_type == "timestamptz":
        # `2026-02-22 09:00:00.5+00`: of one width, so that the order is that of the texts.
        seconds, _, fraction = text.removesuffix("+00").partition(".")
        return f"{seconds}.{fraction:0<6}"
    # true comes after false, dates and ids have one width, text goes by code points.
    return text


class _Least:
    """Comes before everything."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Least)

    def __gt__(self, other: object) -> bool:
        return False

    def __lt__(self, other: object) -> bool:
        return not isinstance(other, _Least)

    __hash__ = None  # type: ignore[assignment]
