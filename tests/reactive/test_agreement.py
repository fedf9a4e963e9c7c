"""Python and PostgreSQL give the same value for random expressions on random rows."""

from __future__ import annotations

import json
import os
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg2
import pytest
from hypothesis import event, given, note, settings
from hypothesis import strategies as st

from reactive import (
    Between,
    BinOp,
    Case,
    Coalesce,
    Expr,
    ExpressionRangeError,
    Field,
    If,
    In,
    NullIf,
    Type,
    compile_positional,
    from_json,
)
from tests.reactive.strategies import FIELDS, expressions, rows, to_json_value

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
ROWS_EACH = 4
OUT_OF_RANGE = "22003"


class _Beyond:
    """Stands for a result beyond a double."""

    def __repr__(self) -> str:
        return "beyond a double"


BEYOND = _Beyond()


def in_python(expr: Expr, row: dict[str, Any]) -> Any:
    try:
        return expr.eval(row)
    except ExpressionRangeError:
        return BEYOND


def in_postgres(postgres: Any, text: str, parameters: Any, data: list[dict[str, Any]]) -> list[Any]:
    """The values for all rows; where one of them fails, row by row."""
    documents = [json.dumps({key: to_json_value(v) for key, v in row.items()}) for row in data]
    # OFFSET 0 keeps PostgreSQL from folding the rows into the expression.
    query = (
        f"SELECT {text} FROM (SELECT d::jsonb AS data FROM unnest(%s::text[]) AS d OFFSET 0) AS t"
    )
    if parameters is None:
        query = query.replace("%", "%%").replace("unnest(%%s", "unnest(%s")
    with postgres.cursor() as cursor:
        try:
            cursor.execute(query, [*(parameters or []), documents])
            return [row[0] for row in cursor.fetchall()]
        except psycopg2.Error as error:
            if error.pgcode != OUT_OF_RANGE:
                raise
            if len(data) == 1:
                return [BEYOND]
    return [in_postgres(postgres, text, parameters, [row])[0] for row in data]


def same(ours: Any, theirs: Any) -> bool:
    if ours is None or theirs is None or ours is BEYOND or theirs is BEYOND:
        return ours is theirs
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, float):
        return ours == float(theirs)
    if isinstance(ours, (int, Decimal)):
        return Decimal(ours) == Decimal(theirs)
    return type(ours) is type(theirs) and ours == theirs


def as_declared(value: Any, type_: Type) -> Any:
    """A field that stands alone is what the row holds; read it as SQL is told to."""
    if value is None or value is BEYOND:
        return value
    if type_ is Type.FLOAT:
        return float(value)
    return value


LAZY = (If, Case, Coalesce, In, Between, NullIf)


def is_lazy(expr: Expr) -> bool:
    """Whether some part is not computed for every row, so that its overflow need not show."""
    if isinstance(expr, LAZY) or (isinstance(expr, BinOp) and expr.op in "&|"):
        return True
    return any(is_lazy(child) for _, child in expr.children())


@settings(max_examples=int(os.environ.get("N", 2000)))
@given(data=st.data(), type_=st.sampled_from(list(set(FIELDS.values()) - {Type.JSON})))
def test_python_and_postgres_agree(postgres: Any, data: st.DataObject, type_: Type) -> None:
    expr = data.draw(expressions(type_), label="expression")
    some_rows = data.draw(
        st.lists(rows(expr.fields()), min_size=ROWS_EACH, max_size=ROWS_EACH), label="rows"
    )
    as_type = type_.value if expr.type in (Type.ANY, Type.NULL) else None
    try:
        text = expr.to_sql(as_type=as_type)
        bound, parameters = expr.to_sql_params(as_type=as_type)
    except ExpressionRangeError:
        event("a constant part overflows")
        return
    note(text)
    expected = [as_declared(in_python(expr, row), type_) for row in some_rows]
    lazy = is_lazy(expr)
    for got in (
        in_postgres(postgres, text, None, some_rows),
        in_postgres(postgres, bound, parameters, some_rows),
    ):
        for row, ours, theirs in zip(some_rows, expected, got, strict=True):
            if lazy and (ours is BEYOND or theirs is BEYOND):
                event("overflow in a part that need not be computed")
                continue
            assert same(ours, theirs), (
                f"{expr!r} on {row!r}: {ours!r} here, {theirs!r} in PostgreSQL"
            )
