"""Statements on a connection that belongs to one caller alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg2

from store.sqlstates import translated


def rows_of(conn: Any, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """The rows that a statement gives, if any; the store's errors for the database's."""
    try:
        with conn.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall()) if cursor.description else []
    except psycopg2.Error as error:
        raise translated(error) from error
