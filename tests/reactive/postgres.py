"""Expressions computed by PostgreSQL, row by row, and compared with what Python gave."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg2

OUT_OF_RANGE = "22003"


class _Beyond:
    """Stands for a result beyond a double."""

    def __repr__(self) -> str:
        return "beyond a double"


BEYOND = _Beyond()


def to_json_value(value: Any) -> Any:
    """How a store keeps the value in JSON."""
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, date) else value


def in_postgres(
    postgres: Any, text: str, parameters: list[Any] | None, rows: list[dict[str, Any]]
) -> list[Any]:
    """The values for all rows; BEYOND where PostgreSQL says that one is out of range."""
    documents = [json.dumps({key: to_json_value(v) for key, v in row.items()}) for row in rows]
    if parameters is None:
        text = text.replace("%", "%%")
    # OFFSET 0 keeps PostgreSQL from folding the rows into the expression.
    query = (
        f"SELECT {text} FROM (SELECT d::jsonb AS data FROM unnest(%s::text[]) AS d OFFSET 0) AS t"
    )
    with postgres.cursor() as cursor:
        try:
            cursor.execute(query, [*(parameters or []), documents])
            return [row[0] for row in cursor.fetchall()]
        except psycopg2.Error as error:
            if error.pgcode != OUT_OF_RANGE:
                raise
            if len(rows) == 1:
                return [BEYOND]
    return [in_postgres(postgres, text.replace("%%", "%"), parameters, [row])[0] for row in rows]


def same(ours: Any, theirs: Any) -> bool:
    """Whether a value of Python is one of PostgreSQL."""
    if ours is None or theirs is None or ours is BEYOND or theirs is BEYOND:
        return ours is theirs
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, float):
        return ours == float(theirs)
    if isinstance(ours, (int, Decimal)):
        return Decimal(ours) == Decimal(theirs)
    return type(ours) is type(theirs) and bool(ours == theirs)
