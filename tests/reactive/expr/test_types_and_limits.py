"""Types of fields, limits of size, and errors."""

# ruff: noqa: E501 - a table reads best with a row a line

from __future__ import annotations

import contextlib
import pickle
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

import reactive
from reactive import (
    Case,
    Coalesce,
    Expr,
    ExpressionError,
    ExpressionRangeError,
    ExpressionTypeError,
    ExpressionValueError,
    Field,
    FieldTypeError,
    Func,
    If,
    NullIf,
    ReactiveError,
    Type,
    from_json,
)
from reactive.expr.base import MAX_DEPTH, MAX_SIZE

x, y, s = Field("x"), Field("y"), Field("s")


class Side(Enum):
    BUY = "BUY"


# --- types of fields --------------------------------------------------------------------------


@dataclass
class Position:
    symbol: str = ""
    quantity: int = 0
    avg_cost: float = 0.0
    current_price: float | None = None
    side: Side = Side.BUY
    active: bool = True


class Registry:
    """As the store's: a catalogue with prefixed columns."""

    def __init__(self) -> None:
        self._columns = {"quantity": Position(), "name": Position()}

    def has(self, name: str) -> bool:
        return name in ("quantity", "trader_name")

    def resolve(self, name: str) -> tuple[Any, str | None]:
        @dataclass
        class ColumnDef:
            python_type: type

        return (ColumnDef(int), None) if name == "quantity" else (ColumnDef(str), "trader")


@pytest.mark.parametrize(
    ("source", "types"),
    [
        (Position, [Type.STR, Type.INT, Type.FLOAT, Type.FLOAT, Type.ANY, Type.BOOL]),
        ({"symbol": str, "quantity": "int", "side": str | None}, [Type.STR, Type.INT, Type.ANY, Type.ANY, Type.STR, Type.ANY]),
        (Registry(), [Type.ANY, Type.INT, Type.ANY, Type.ANY, Type.ANY, Type.ANY]),
    ],
)  # fmt: skip
def test_types_come_from_where_they_are_known(source: Any, types: list[Type]) -> None:
    names = ["symbol", "quantity", "avg_cost", "current_price", "side", "active"]
    assert [Field(name).typed(source).type for name in names] == types


def test_prefixed_columns_have_the_type_of_their_base() -> None:
    assert Field("trader_name").typed(Registry()).type is Type.STR


def test_a_field_keeps_the_type_that_it_was_given() -> None:
    assert Field("quantity", Decimal).typed(Position).type is Type.DECIMAL


def test_typing_checks_the_whole_tree_and_names_the_path() -> None:
    rule = If(Field("active") & (Field("symbol") + 1 > 2), Field("quantity"), 0)
    with pytest.raises(ExpressionTypeError) as caught:
        rule.typed(Position)
    assert caught.value.node == "+"
    assert caught.value.path == "condition.right.left.left"
    assert caught.value.given == "Field('symbol', str) (text)"


def test_typed_fields_decide_how_numbers_are_read() -> None:
    total = Field("quantity") * 3
    assert total.type is Type.FLOAT
    assert total.typed(Position).type is Type.INT
    assert total.typed(Position).eval({"quantity": 2**53 + 1}) == 3 * 2**53 + 3
    assert (Field("fee") * Decimal("1.1")).type is Type.DECIMAL
    # A whole number that no double holds makes its company exact.
    assert (Field("id") == 2**53 + 1).eval({"id": 2**53}) is False


def test_what_is_no_source_of_types() -> None:
    with pytest.raises(ExpressionValueError, match="expected a dataclass, got the class int"):
        x.typed(int)


# --- limits and errors ------------------------------------------------------------------------


def nested(depth: int) -> Expr:
    expr: Expr = Field("x")
    for level in range(depth - 1):
        expr = expr + level
    return expr


def test_depth_and_size_are_bounded() -> None:
    assert nested(MAX_DEPTH).eval({"x": 0}) == sum(range(MAX_DEPTH - 1))
    with pytest.raises(ExpressionValueError, match=f"{MAX_DEPTH + 1} levels deep"):
        nested(MAX_DEPTH + 1)
    doubled: Expr = x
    while doubled.size < MAX_SIZE / 2:
        doubled = doubled + doubled
    with pytest.raises(ExpressionValueError, match=f"{MAX_SIZE} nodes are allowed"):
        doubled + doubled


DEEPEN: list[Any] = [
    lambda e: e + 1,
    lambda e: 1 - e,
    lambda e: e * x,
    lambda e: x / e,
    lambda e: -e,
    lambda e: If(x > 1, e, 2.5),
    lambda e: If(e > 1, x, 2.5),
    lambda e: Case([(x > 1, 0.5), (x > 2, e)], 2.5),
    lambda e: Coalesce([e, x]),
    lambda e: Coalesce([x, e]),
    lambda e: Func("max", [e, 1]),
    lambda e: Func("sqrt", [e]),
    lambda e: If((x > 1) & (e > 1), 1.5, x),
    lambda e: If(~((e > 1) | (x > 1)), 1.5, x),
    lambda e: NullIf(e, x),
    lambda e: (e + 1) ** 2 % 7,
]


@pytest.mark.parametrize("deepen", DEEPEN)
def test_the_deepest_expression_works_in_all_targets(postgres: Any, deepen: Any) -> None:
    from tests.reactive.postgres import in_postgres, same

    expr: Expr = Field("x")
    while expr.depth <= MAX_DEPTH - 5:
        expr = deepen(expr)
    repr(expr), expr.key, expr.fields()
    assert pickle.loads(pickle.dumps(expr)).equals(expr)
    assert from_json(expr.to_json()).equals(expr)
    assert expr.typed({"x": float}).depth == expr.depth
    for row in ({"x": 0.5}, {"x": 3.0}, {}):
        assert same(expr.eval(row), in_postgres(postgres, expr.to_sql(), None, [row])[0])
    for null_safe in (False, True):
        # Pure repeats what it tests: its text may become too long, and says so.
        with contextlib.suppress(ExpressionValueError):
            expr.to_pure(null_safe=null_safe)


@pytest.mark.parametrize(
    "error",
    [
        ExpressionTypeError("+", "left", "a number", "'a'", "hint"),
        ExpressionValueError("no"),
        ExpressionRangeError("far"),
        reactive.ExpressionFormatError("$.left", "no"),
        FieldTypeError("x", "a number", "a"),
    ],
)
def test_errors_have_one_root_and_survive_pickle(error: ReactiveError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
    assert isinstance(error, ExpressionError)
    assert isinstance(error, ReactiveError)


HUGE = 10**5_000  # Python refuses to write so many digits.


@pytest.mark.parametrize(
    "build",
    [
        lambda: reactive.Const(HUGE),
        lambda: reactive.Const([HUGE]),
        lambda: reactive.Const(datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))),
        lambda: Field(HUGE),  # type: ignore[arg-type]
        lambda: s.substring(-HUGE),
        lambda: Func("sqrt", HUGE),  # type: ignore[arg-type]
        lambda: reactive.BinOp([], x, y),  # type: ignore[arg-type]
        lambda: reactive.UnaryOp([], x),  # type: ignore[arg-type]
        lambda: reactive.StrOp(["upper"], s),  # type: ignore[arg-type]
        lambda: reactive.DatePart({}, x),  # type: ignore[arg-type]
        lambda: (x + 1).eval({"x": HUGE}),
        lambda: (s.upper()).eval({"s": HUGE}),
    ],
)
def test_nothing_but_our_own_errors(build: Any) -> None:
    with pytest.raises(ExpressionError):
        build()
