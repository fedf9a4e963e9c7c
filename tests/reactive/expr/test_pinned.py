"""Disagreements that random expressions found once, each as small as it could be made."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from reactive import Case, Coalesce, Const, Expr, Field, Func, If, NullIf, UnaryOp
from tests.reactive.postgres import in_postgres, same
from tests.reactive.pure_reader import evaluate

pytestmark = pytest.mark.usefixtures("both_ways")

x, y = Field("x"), Field("y")
n, amount = Field("n", int), Field("amount", Decimal)

# PostgreSQL said that an operator was ambiguous, or that a condition was text.
UNTYPED_NULLS: list[tuple[Expr, Any]] = [
    (UnaryOp("-", Const(None)), None),
    (Case([(x > 1, UnaryOp("-", Const(None)))], 2), 2),
    (Func("days_between", [None, None]), None),
    (If(NullIf(None, None), 1, 2), 2),
    (Coalesce([None, None, UnaryOp("-", Const(None)), 3]), 3),
    (Const(None).is_in([None]), None),
    (Const(None) == None, None),  # noqa: E711
    ((Const(None) + None) > 1, None),
]


@pytest.mark.parametrize(("expr", "value"), UNTYPED_NULLS, ids=repr)
def test_nulls_have_a_type_in_sql(postgres: Any, expr: Expr, value: Any) -> None:
    assert expr.eval({"x": 0}) == value
    assert same(value, in_postgres(postgres, expr.to_sql(), None, [{"x": 0}])[0])
    assert evaluate(expr.to_pure(null_safe=True), {"x": 0.0}) == value


# 1e23 lies half-way between two doubles; Python and PostgreSQL write it differently.
@pytest.mark.parametrize(
    "number", [1e23, -1e23, 9007199254740993e6, 5e-324, 2.0**-1074 * 3, 2.0**70]
)
def test_text_of_doubles(postgres: Any, number: float) -> None:
    for kind in (str, Decimal, int):
        expr = Field("x", float).cast(kind)
        value = expr.eval({"x": number})
        assert same(value, in_postgres(postgres, expr.to_sql(), None, [{"x": number}])[0])


def test_a_double_in_json_is_its_shortest_text(postgres: Any) -> None:
    for expr in (Field("amount", Decimal) + 0, n + 0):
        row = {"amount": 1e23, "n": 1e23}
        assert expr.eval(row) == 10**23
        assert in_postgres(postgres, expr.to_sql(), None, [row]) == [10**23]


def test_a_choice_among_doubles_is_a_double(postgres: Any) -> None:
    pip = If(Field("pair").ends_with("JPY"), 0.01, 0.0001)
    stored = in_postgres(postgres, pip.to_sql(), None, [{"pair": "USDJPY"}])[0]
    assert isinstance(stored, float)
    assert stored == pip.eval({"pair": "USDJPY"})


# Pure: a sign reads all that follows, == asks for equal types, and null has no power.
PURE: list[tuple[Expr, dict[str, Any], Any]] = [
    (NullIf(Const(-741), x), {"x": -741.0}, None),
    (NullIf(Const(-741), x), {"x": 1.5}, -741),
    (n != round(Const(1), 2), {"n": 1}, False),
    (round(n, 1).cast(str), {"n": 3}, "3"),
    (NullIf(Func("round", [amount]), Decimal(0)), {"amount": Decimal("0.1")}, None),
    (Coalesce([x ** Const(None), 7]), {"x": 2.0}, 7),
    (x.is_in([1, y]), {"x": 1.0, "y": None}, True),
    (x.is_in([1, y]), {"x": 2.0, "y": 2.0}, True),
    (x.is_in([1, y]), {"x": 2.0, "y": None}, None),
    ((x > 1) == (y > 1), {"x": 2.0, "y": 0.0}, False),
    (Const(1).is_null(), {}, False),
    (Const(1).is_in([Coalesce([x, 2])]), {"x": 1.0}, True),
    (Field("s").concat("").cast(str), {"s": "a"}, "a"),
    (Func("min", [2, 1]), {}, 1),
    (Coalesce([~(x > 1)]) == (y > 1), {"x": 2.0, "y": 0.0}, True),
    (NullIf(Coalesce([~Const(False)]), False), {}, True),
    (Coalesce([-x]) * 2, {"x": 2.0}, -4.0),
    (Field("d", date).is_null() | (Field("d", date) > date(2026, 1, 1)), {}, True),
]


@pytest.mark.parametrize(("expr", "row", "value"), PURE, ids=repr)
def test_null_safe_pure(postgres: Any, expr: Expr, row: dict[str, Any], value: Any) -> None:
    assert expr.eval(row) == value
    assert evaluate(expr.to_pure(null_safe=True), row) == value
    if "d" not in expr.fields():
        assert same(value, in_postgres(postgres, expr.to_sql(), None, [row])[0])


def test_overflow_in_a_dead_operand_does_not_show(postgres: Any) -> None:
    # PostgreSQL sees that the sum is null before it computes the product.
    expr = x * 1e308 + None
    assert expr.eval({"x": 1e10}) is None
    assert in_postgres(postgres, expr.to_sql(), None, [{"x": 1e10}]) == [None]
