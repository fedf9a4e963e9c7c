"""Expressions as PostgreSQL over a JSONB column (PostgreSQL 16 or later).

(Field("price") > 100).to_sql("data") is "(data->>'price')::float > 100". Guards stand only where
PostgreSQL would differ: division by zero, LEAST and GREATEST over nulls, domains of functions.
Comparisons and + - * carry nulls on by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from reactive.expr.operators import Expr
from reactive.expr.sql.nodes import EMITTERS
from reactive.expr.sql.writer import SqlWriter

__all__ = ["to_sql", "to_sql_params"]


def to_sql(
    expr: Expr,
    col: str,
    as_type: Any,
    strict: bool,
    field_text: Callable[[str], str] | None,
) -> str:
    """Return the expression as SQL text; `Expr.to_sql` says what the arguments mean."""
    return SqlWriter(col, None, strict, field_text, EMITTERS).root(expr, as_type)


def to_sql_params(
    expr: Expr,
    col: str,
    as_type: Any,
    strict: bool,
    field_text: Callable[[str], str] | None,
) -> tuple[str, list[Any]]:
    """Return the expression as SQL with `%s` for its constants, and their values."""
    values: list[Any] = []
    text = SqlWriter(col, values, strict, field_text, EMITTERS).root(expr, as_type)
    # Constants may be written twice or in another order; the numbers say which is which.
    order: list[Any] = []

    def place(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        order.append(values[int(match[1])])
        return "%s"

    return re.sub(r"%%|%\((\d+)\)s", place, text), order
