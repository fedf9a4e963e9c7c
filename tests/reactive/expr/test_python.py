"""How expressions run in Python: kinds of rows, wrong data, ranges, laziness, compiled code."""

from __future__ import annotations

import collections
import math
import numbers
import types
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive import (
    Coalesce,
    Const,
    Expr,
    ExpressionRangeError,
    ExpressionTypeError,
    ExpressionValueError,
    Field,
    FieldTypeError,
    Func,
    If,
    compile_positional,
    compile_python,
    python_source,
)
from tests.reactive.strategies import is_field_name

pytestmark = pytest.mark.usefixtures("both_ways")

x, y, s = Field("x"), Field("y"), Field("s")
pnl = (Field("current_price") - Field("avg_cost")) * Field("quantity")
VALUES = {"current_price": 230.0, "avg_cost": 220, "quantity": 100}


# --- rows -------------------------------------------------------------------------------------


@dataclass
class Position:
    current_price: float | None = 230.0
    avg_cost: float = 220
    quantity: int = 100


@dataclass(frozen=True)
class Slotted:
    __slots__ = ("avg_cost", "current_price", "quantity")
    current_price: float
    avg_cost: float
    quantity: int


class Tupled(NamedTuple):
    current_price: float = 230.0
    avg_cost: float = 220
    quantity: int = 100


class Computed:
    current_price, avg_cost = 230.0, 220

    @property
    def quantity(self) -> int:
        return 100


class View(Mapping[str, Any]):
    """A mapping whose attributes are not its fields."""

    current_price = avg_cost = quantity = "an attribute"

    def __getitem__(self, key: str) -> Any:
        return VALUES[key]

    def __iter__(self) -> Iterator[str]:
        return iter(VALUES)

    def __len__(self) -> int:
        return len(VALUES)


ROWS = [
    VALUES,
    collections.OrderedDict(VALUES),
    collections.ChainMap({}, VALUES),
    types.MappingProxyType(VALUES),
    View(),
    Position(),
    Slotted(230.0, 220, 100),
    Tupled(),
    Computed(),
    types.SimpleNamespace(**VALUES),
]


@pytest.mark.parametrize("first", ROWS, ids=lambda row: type(row).__name__)
def test_rows_of_all_kinds_whichever_comes_first(first: Any) -> None:
    expr = pnl + 0
    assert expr.eval(first) == 1000.0
    for row in ROWS:
        assert expr.eval(row) == 1000.0
        assert compile_python(pnl, like=row)(row) == 1000.0


def test_missing_fields_are_null() -> None:
    counted = collections.defaultdict(lambda: 7.0, {"x": 1.0})
    for row in ({"x": 1}, types.SimpleNamespace(x=1), collections.UserDict({"x": 1}), counted):
        assert (x + y).eval(row) is None
        assert Coalesce([y, x]).eval(row) == 1
    assert "y" not in counted
    assert pnl.eval(Position(current_price=None)) is None


@given(st.text(min_size=1).filter(is_field_name))
def test_any_field_name_works_and_stays_a_name(name: str) -> None:
    expr = Field(name) + 1
    assert expr.eval({name: 2}) == 3.0
    assert (
        compile_python(expr, like=types.SimpleNamespace())(types.SimpleNamespace(**{name: 2}))
        == 3.0
    )
    assert expr.eval({}) is None


@pytest.mark.parametrize(
    "name", ["class", "None", "import os", "x'); raise SystemExit; ('", "ﬁeld", "𝐱"]
)
def test_names_that_are_no_python_names(name: str) -> None:
    row = types.SimpleNamespace()
    setattr(row, name, 2)
    assert compile_python(Field(name) * 2, like=row)(row) == 4.0


def test_a_field_alone_is_what_the_row_holds() -> None:
    for value in (5, "a", [1], None, object()):
        assert x.eval({"x": value}) is value


# --- data of the wrong type -------------------------------------------------------------------


class Side(Enum):
    BUY = "BUY"


@pytest.mark.parametrize(
    ("expr", "value", "expected"),
    [
        (x + 1, "5", "a number (float)"),
        (x + 1, True, "a number (float)"),
        (x > 1, [1], "a number (float)"),
        (x + 1, math.nan, "a finite number"),
        (x > 1, math.inf, "a finite number"),
        (x * 2, -math.inf, "a finite number"),
        (abs(x), math.nan, "a finite number"),
        (x + 1, 10**400, "a number that a double holds"),
        (x > 1, Decimal("1e-400"), "a finite number that a double holds"),
        (x & True, 1, "a boolean"),
        (If(x, 1, 2), "true", "a boolean"),
        (x == "a", 1, "text"),
        (x.length(), b"a", "text"),
        (Field("x", int) + 1, 1.5, "a whole number (int)"),
        (Field("x", int) + 1, "1", "a whole number (int)"),
        (Field("x", Decimal) + 1, "1,5", "a number (Decimal)"),
        (Field("x", Decimal) + 1, Decimal("NaN"), "a number (Decimal)"),
        (x < date(2026, 1, 1), datetime(2026, 1, 1), "a date"),
        (x < date(2026, 1, 1), "2026-02-30", "a date"),
        (x.year(), datetime(2026, 1, 1), "a datetime with a time zone"),
        (x.year(), "2026-01-01T10:00:00", "a datetime with a time zone"),
        (x.year(), "soon", "a datetime with a time zone"),
        (x == y, object(), "a value of JSON"),
        (x == y, Decimal(1), "a value of JSON"),
    ],
)
def test_wrong_data_names_the_field(expr: Expr, value: Any, expected: str) -> None:
    for row in ({"x": value, "y": 1}, types.SimpleNamespace(x=value, y=1)):
        with pytest.raises(FieldTypeError) as caught:
            expr.eval(row)
        error = caught.value
        assert error.field == "x"
        assert error.expected.startswith(expected)
        assert error.seen.startswith(type(value).__name__)
        assert str(error).startswith(f"field 'x': expected {expected}")
    with pytest.raises(FieldTypeError, match="field 'x'"):
        compile_positional(expr, ["x", "y"])(value, 1)


@numbers.Real.register
class Price:
    """Something like a scalar of numpy: a number that is neither float nor int."""

    def __float__(self) -> float:
        return 2.5


@numbers.Integral.register
class Count:
    def __int__(self) -> int:
        return 3


class Half(float):
    pass


class Ticker(str):
    __slots__ = ()


class Day(date):
    pass


class Size(Enum):
    SMALL = 2


class Odd(Enum):
    """Members that stand for other kinds of values."""

    YES = True
    NEW_YEAR = date(2026, 1, 1)
    MIDNIGHT = datetime(2026, 1, 1, tzinfo=timezone.utc)
    NOTHING = None
    SIDE = Side.BUY
    PAIR = (1, 2)


# What numpy's own scalars say of themselves.
Flag = type("bool_", (), {"__module__": "numpy", "item": lambda self: True})

n, amount = Field("x", int), Field("x", Decimal)


@pytest.mark.parametrize(
    ("expr", "value", "result"),
    [
        (x + 1, Price(), 3.5),
        (x + 1, Half(0.5), 1.5),
        (x + 1, Decimal("0.5"), 1.5),
        (x + 1, Size.SMALL, 3.0),
        (x == "BUY", Side.BUY, True),
        (x == "A", Ticker("A"), True),
        (x & True, Flag(), True),
        (n + 1, 2.0, 3),
        (n + 1, Decimal("2.0"), 3),
        (n + 1, 1e22, 10**22 + 1),
        (n + 1, Count(), 4),
        (n + 1, Size.SMALL, 3),
        (amount + 1, 0.1, Decimal("1.1")),
        (amount + 1, "0.1", Decimal("1.1")),
        (amount + 1, Count(), Decimal(4)),
        (amount + 1, Size.SMALL, Decimal(3)),
        (x > date(2026, 1, 1), "2026-01-02", True),
        (x > date(2026, 1, 1), Day(2026, 1, 2), True),
        (x.hour(), "2026-01-02 10:30Z", 10),
        (x.hour(), "2026-01-02T10:30:00.5+0530", 5),
        (x.hour(), datetime(2026, 1, 2, 10, tzinfo=timezone(timedelta(hours=-2))), 12),
        (x, Side.BUY, "BUY"),
        (x, Odd.SIDE, "BUY"),
        (x, Odd.PAIR, (1, 2)),
        (x.is_null(), Odd.NOTHING, True),
        (Coalesce([x, None]), Side.BUY, "BUY"),
        (If(x.is_null(), y, x), Side.BUY, "BUY"),
        (x == Odd.SIDE, "BUY", True),
        (x.is_in([Side.BUY, "SELL"]), Odd.SIDE, True),
        (x & True, Odd.YES, True),
        (x == Odd.YES, Odd.YES, True),
        (x >= Odd.NEW_YEAR, Odd.NEW_YEAR, True),
        (x.hour(), Odd.MIDNIGHT, 0),
        (x == y, Size.SMALL, True),
        (x == y, Count(), False),
        (y == x, Half(2.0), True),
        (x == y, Ticker("2"), False),
    ],
)
def test_data_that_means_the_same(expr: Expr, value: Any, result: Any) -> None:
    assert expr.eval({"x": value, "y": 2}) == result
    assert compile_positional(expr, ["x", "y"])(value, 2) == result


@pytest.mark.parametrize("value", ["2026-02-30T10:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_instants_that_do_not_exist(value: str) -> None:
    with pytest.raises(FieldTypeError, match="field 'x'"):
        x.hour().eval({"x": value})


def test_an_object_after_rows_of_another_kind() -> None:
    expr = Field("not a name") + 1
    assert expr.eval({"not a name": 1}) == 2.0
    row = types.SimpleNamespace(**{"not a name": 2})
    assert expr.eval(row) == 3.0


@pytest.mark.parametrize("row", [None, 5, 1.5, True, "x", b"x", [1], (1, 2), {1}])
def test_what_is_no_row_is_refused(row: Any) -> None:
    for compute in (compile_python(x + 1), compile_python(x.is_null(), like=VALUES)):
        assert compute({"x": 1}) is not None
        for _ in range(2):
            with pytest.raises(ExpressionTypeError, match="expected a mapping of fields"):
                compute(row)
    assert Const(1).eval(None) == 1  # reads no field


def test_many_classes_of_rows() -> None:
    for index in range(1_100):
        row = type(f"Row{index}", (), {"x": index})()
        assert (x + 0).eval(row) == index


# --- ranges -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expr", "row"),
    [
        (x * y, {"x": 1e200, "y": 1e200}),
        (x + y, {"x": 1.7e308, "y": 1.7e308}),
        ((x * y) - (x * y), {"x": 1e200, "y": 1e200}),
        (1 / (x * y), {"x": 1e200, "y": 1e200}),
        (x / y, {"x": 1e200, "y": 1e-200}),
        (x**y, {"x": 10, "y": 400}),
        (Func("exp", [x]), {"x": 1000}),
        (x * y, {"x": 1e-200, "y": 1e-200}),
        (x * y + 1, {"x": 1e-200, "y": 1e-200}),
        (x / y, {"x": 1e-200, "y": 1e200}),
        (x**y, {"x": 0.1, "y": 400}),
        (Field("x", int) / 2, {"x": 10**400}),
        (x * y > 1, {"x": 1e200, "y": 1e200}),
        (round(x, 15), {"x": 1e300}),
    ],
)
def test_beyond_a_double_is_an_error_in_both(
    postgres: Any, expr: Expr, row: dict[str, Any]
) -> None:
    from tests.reactive.postgres import BEYOND, in_postgres

    with pytest.raises(ExpressionRangeError, match="beyond a double"):
        expr.eval(row)
    assert in_postgres(postgres, expr.to_sql(), None, [row]) == [BEYOND]


def test_whole_numbers_and_decimals_are_exact() -> None:
    n = Field("n", int)
    assert (n * n + 1).eval({"n": 10**30}) == 10**60 + 1
    assert (-n % 7).eval({"n": 10**30}) == -(10**30) % 7
    amount = Field("amount", Decimal)
    digits = 123456789012345678901
    product = (amount * amount).eval({"amount": Decimal(f"{digits}e-20")})
    assert product == Decimal(f"{digits**2}e-40")
    assert (amount * 3).eval({"amount": Decimal("0.1")}) == Decimal("0.3")


def test_decimals_of_too_many_digits_are_refused() -> None:
    amount = Field("amount", Decimal)
    third = Decimal("0." + "3" * 100_000)
    with pytest.raises(ExpressionRangeError, match="exact arithmetic"):
        (amount * amount).eval({"amount": third})


def test_operations_that_have_no_value_give_null() -> None:
    for expr in (
        x / 0,
        x % 0,
        Func("log", [-abs(x)]),
        Func("sqrt", [-1 - abs(x)]),
        (-1 - abs(x)) ** 0.5,
        (x - x) ** -1,
    ):
        assert expr.eval({"x": 3}) is None
        assert Coalesce([expr, 7]).eval({"x": 3}) == 7


# --- laziness ---------------------------------------------------------------------------------


def test_what_is_not_needed_is_not_computed() -> None:
    beyond = x * 1e308
    row = {"x": 1e10}
    assert If(x > 1, 1, beyond).eval(row) == 1
    assert Coalesce([x, beyond]).eval(row) == 1e10
    assert ((x < 1) & (beyond > 1)).eval(row) is False
    assert ((x > 1) | (beyond > 1)).eval(row) is True
    with pytest.raises(ExpressionRangeError):
        ((x > 1) & (beyond > 1)).eval(row)


# --- compiled code ----------------------------------------------------------------------------


def test_positional_functions() -> None:
    of_values = compile_positional(pnl, ["current_price", "avg_cost", "quantity", "not_used"])
    assert of_values(230.0, 220, 100, None) == 1000.0
    assert of_values(None, 220, 100, None) is None
    with pytest.raises(ExpressionValueError, match=r"also reads \['avg_cost', 'quantity'\]"):
        compile_positional(pnl, ["current_price"])
    with pytest.raises(ExpressionValueError, match="occurs twice"):
        compile_positional(x + y, ["x", "y", "x"])


def test_formulas_of_one_shape_share_their_code() -> None:
    first, second, other = (compile_python(e) for e in (x + 1, Field("other") + 2, x - 1))
    for _ in range(20):
        assert (first({"x": 1}), second({"other": 1}), other({"x": 1})) == (2.0, 3.0, 0.0)
    assert first.__code__ is second.__code__ is not other.__code__  # type: ignore[attr-defined]


def test_calls_from_many_threads_while_the_code_changes() -> None:
    for _ in range(20):
        compute = compile_python(If(x > 0, x * y, None))
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(compute, [{"x": n, "y": 2} for n in range(200)]))
        assert results == [None, *(n * 2.0 for n in range(1, 200))]


def test_no_data_becomes_code() -> None:
    evil = "'); __import__('os').abort() #"
    expr = If(Field(evil) == evil, evil, "\\")
    assert evil not in python_source(expr)
    assert expr.eval({evil: evil}) == evil


def test_one_field_read_as_several_types() -> None:
    expr = If(Field("x").is_null() | (Field("x") == Field("y")), Const(-1), x + 1)
    assert expr.eval({"x": 1, "y": 1.0}) == -1
    assert expr.eval({"x": 1, "y": 2}) == 2
    either = If(x > 1, x, None)
    assert type(either.eval({"x": 5})) is int  # a field alone is given as it is


def test_many_branches_and_fields() -> None:
    bands: Expr = Const("none")
    for limit in range(90):
        bands = If(x >= limit + 1, f"band {limit + 1}", bands)
    assert bands.eval({"x": 0.5}) == "none"
    assert bands.eval({"x": 1.5}) == "band 1"
    assert bands.eval({"x": 45.5}) == "band 45"
    total: Expr = Const(0)
    for index in range(90):
        total = total + Field(f"x{index}")
    assert total.eval({f"x{index}": index for index in range(90)}) == 4005.0
