"""Running one statement: its rows, and the store's errors in place of the database's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import psycopg2
from psycopg2.extensions import connection, cursor

from store.database.sqlstates import translated

# A connection and a cursor of psycopg2, as types.
PgConnection: TypeAlias = connection
PgCursor: TypeAlias = cursor

Row: TypeAlias = tuple[Any, ...]


def value_of(cur: PgCursor) -> Any:
    """The first value of the row that a cursor's statement gave; None where it gave none."""
    row = cur.fetchone()
    return None if row is None else row[0]


def execute(
    conn: PgConnection, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()
) -> list[Row]:
    """Run a statement and return its rows, none for one that gives none; StoreError if it fails."""
    try:
        with conn.cursor() as cur:
            # Without values a percent sign is a percent sign.
            cur.execute(statement, values or None)
            return cur.fetchall() if cur.description else []
    except psycopg2.Error as error:
        raise translated(error) from error
