"""Building expressions: operators, structure, types, and what is refused."""

# ruff: noqa: E501 - a table reads best with a row a line

from __future__ import annotations

import copy
import math
import operator
import pickle
import re
import subprocess
import sys
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

import reactive
from reactive import (
    BinOp,
    Case,
    Cast,
    Coalesce,
    Const,
    Expr,
    ExpressionTypeError,
    ExpressionValueError,
    Field,
    Func,
    If,
    In,
    IsNull,
    NullIf,
    StrOp,
    Substring,
    Type,
    UnaryOp,
)

x, y, s = Field("x"), Field("y"), Field("s")


# --- operators --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "op", ["+", "-", "*", "/", "%", "**", "==", "!=", "<", "<=", ">", ">=", "&", "|"]
)
def test_both_orders_of_operands(op: str) -> None:
    functions = {
        "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "%": operator.mod,
        "**": operator.pow, "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
        ">": operator.gt, ">=": operator.ge, "&": operator.and_, "|": operator.or_,
    }  # fmt: skip
    constant = True if op in "&|" else 3
    assert functions[op](x, constant).equals(BinOp(op, x, Const(constant)))
    reflected = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
    if op in reflected:  # Python asks the right side for the mirrored comparison
        assert functions[op](constant, x).equals(BinOp(reflected[op], x, Const(constant)))
    else:
        assert functions[op](constant, x).equals(BinOp(op, Const(constant), x))


def test_python_functions_build_nodes() -> None:
    assert abs(x).equals(Func("abs", [x]))
    assert round(x).equals(Func("round", [x]))
    assert round(x, 2).equals(Func("round", [x, 2]))
    assert math.ceil(x).equals(Func("ceil", [x]))
    assert math.floor(x).equals(Func("floor", [x]))
    assert (-x).equals(UnaryOp("-", x))
    assert (+x) is x
    assert (~(x > 1)).equals(UnaryOp("~", x > 1))


def test_methods_build_nodes() -> None:
    assert s.concat("a").equals(StrOp("concat", s, Const("a")))
    assert s.substring(1, 2).equals(Substring(s, 1, 2))
    assert x.is_null().equals(IsNull(x))
    assert x.null_if(0).equals(NullIf(x, 0))
    assert x.is_in([1, 2]).equals(In(x, [1, 2]))
    assert x.cast(int).equals(Cast(x, int))
    for part in ("year", "quarter", "month", "day", "weekday", "hour", "minute", "second"):
        assert getattr(x, part)().equals(reactive.DatePart(part, x))


def test_old_names_of_operators() -> None:
    assert BinOp("and", x > 1, y > 1).equals((x > 1) & (y > 1))
    assert BinOp("or", x > 1, y > 1).equals((x > 1) | (y > 1))
    assert UnaryOp("not", x > 1).equals(~(x > 1))
    assert UnaryOp("neg", x).equals(-x)
    assert UnaryOp("abs", x).eval({"x": -3}) == 3.0


# --- structure --------------------------------------------------------------------------------


def test_equality_builds_and_equals_compares() -> None:
    assert isinstance(x == 1, BinOp)
    assert (x + 1).equals(Field("x") + 1)
    assert hash(x + 1) == hash(Field("x") + 1)
    for other in (
        x + 2,
        x + 1.0,
        x + True if False else x - 1,
        Field("x", int) + 1,
        y + 1,
        "x + 1",
    ):
        assert not (x + 1).equals(other)
    assert not Const(1).equals(Const(True))
    assert not Const(0.0).equals(Const(-0.0))
    assert len({(x + 1).key, (Field("x") + 1).key, (x + 2).key}) == 2


def test_expressions_are_immutable() -> None:
    for change in (lambda: setattr(x, "name", "y"), lambda: delattr(x, "name")):
        with pytest.raises(AttributeError, match="immutable"):
            change()


def test_copies_and_pickles_are_the_same_expression() -> None:
    expr = Case([(x > 1, s.upper())], Coalesce([s, "none"]))
    assert expr.eval({"x": 2, "s": "a"}) == "A"  # compiled now
    for again in (copy.copy(expr), copy.deepcopy(expr), pickle.loads(pickle.dumps(expr))):
        assert again.equals(expr)
        assert again.eval({"x": 0}) == "none"


def test_fields_that_an_expression_reads() -> None:
    assert (x * y + Func("max", [Field("z"), 0])).fields() == {"x", "y", "z"}
    assert Case([(x > 1, s)], Field("t")).fields() == {"x", "s", "t"}
    assert Const(1).fields() == frozenset()


@pytest.mark.parametrize(
    ("expr", "formula"),
    [
        (
            (Field("current_price") - Field("avg_cost")) * Field("quantity"),
            "(current_price - avg_cost) * quantity",
        ),
        (x - (y - 1), "x - (y - 1)"),
        (x - y - 1, "x - y - 1"),
        (x / (y / 2), "x / (y / 2)"),
        (2**x**2, "2 ** x ** 2"),
        ((2**x) ** 2, "(2 ** x) ** 2"),
        (-(x**2), "-x ** 2"),
        ((-x) ** 2, "(-x) ** 2"),
        (Const(-1) ** x, "(-1) ** x"),
        ((x > 1) & ~(y == 2) | (s == "a"), "(x > 1) & ~(y == 2) | (s == 'a')"),
        ((x > 1) == (y > 2), "(x > 1) == (y > 2)"),
        (If(x > 0, "up", "down"), "If(x > 0, 'up', 'down')"),
        (Case([(x > 0, 1)], 2), "Case([[x > 0, 1]], 2)"),
        (Coalesce([x, 0]), "Coalesce([x, 0])"),
        (Func("max", [x, 0]), "max(x, 0)"),
        (abs(x), "abs(x)"),
        (s.concat("b").length(), "s.concat('b').length()"),
        ((x + 1).cast(str), "(x + 1).cast(str)"),
        (s.substring(1), "s.substring(1)"),
        (Field("d", date).year(), "Field('d', date).year()"),
        (Field("my field"), "Field('my field')"),
        (x.is_in([1, 2]), "In(x, [1, 2])"),
        (x.between(1, 2), "Between(x, 1, 2)"),
    ],
)
def test_repr_reads_like_the_formula(expr: Expr, formula: str) -> None:
    assert repr(expr) == formula


# --- constants --------------------------------------------------------------------------------


class Side(Enum):
    BUY = "BUY"


def test_constants_are_plain_values() -> None:
    class Loud(str):
        def __repr__(self) -> str:
            return "shouted"

    number = type("float64", (), {"__module__": "numpy", "item": lambda self: 1.5})()
    assert Const(number).value == 1.5
    assert Const(Side.BUY).value == "BUY"
    assert type(Const(Loud("a")).value) is str
    assert Const(True).type is Type.BOOL


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("1E+400"),
        10**400,
        "\0",
        "\ud800",
        datetime(2026, 1, 1),
    ],
)
def test_constants_that_no_target_could_hold(value: Any) -> None:
    with pytest.raises(ExpressionValueError):
        Const(value)
    with pytest.raises(ExpressionValueError):
        x + value if not isinstance(value, (str, datetime)) else s.concat(value)


def test_constants_of_other_types() -> None:
    with pytest.raises(ExpressionTypeError, match="Const at value: expected None, bool, int"):
        x == object()  # noqa: B015
    with pytest.raises(ExpressionTypeError):
        x + {1}


@pytest.mark.parametrize("name", ["", "a\0", "a\nb", None, 3, "__class__", "__dict__"])
def test_field_names(name: Any) -> None:
    with pytest.raises(ExpressionValueError, match="expected a field name, got"):
        Field(name)


# --- refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        lambda: (x > 1) and (y > 1),
        lambda: (x > 1) or (y > 1),
        lambda: not (x > 1),
        lambda: 1 < x < 5,
        lambda: "yes" if x > 1 else "no",
        lambda: x in [Field("y")],
        lambda: "a" in s,
        lambda: bool(x),
    ],
)
def test_no_expression_is_true_or_false(use: Any) -> None:
    with pytest.raises(ExpressionTypeError, match=re.escape("use & for and, | for or, ~ for not")):
        use()


def test_no_expression_is_a_sequence() -> None:
    with pytest.raises(TypeError, match="not iterable"):
        list(x)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Func("median", [x]), "unknown function 'median'; there are: abs sign"),
        (lambda: Func("sqrt", [x, y]), "sqrt takes 1 argument, given 2"),
        (lambda: Func("min", [x]), "min takes 2 or more arguments, given 1"),
        (lambda: Func("round", [x, 1, 2]), "round takes 1 to 2 arguments, given 3"),
        (lambda: Func(None, [x]), "unknown function None"),  # type: ignore[arg-type]
        (lambda: BinOp("//", x, y), "unknown operator '//'"),
        (lambda: UnaryOp("!", x), "unknown operator '!'"),
        (lambda: StrOp("reverse", s), "unknown text operation 'reverse'"),
        (lambda: StrOp("upper", s, "x"), "upper takes no argument"),
        (lambda: reactive.DatePart("week", Field("d", date)), "unknown date part 'week'"),
        (lambda: Case([]), "at least one branch"),
        (lambda: Coalesce([]), "at least one value"),
        (
            lambda: Field("x", list),
            "expected a type of expressions, got <class 'list'>; use one of bool, int",
        ),
        (lambda: Field("x", Type.JSON), "expected a type of expressions, got"),
        (lambda: x.cast("money"), "expected a type of expressions, got"),
        (lambda: s.substring(-1), "whole number from 0 on, given -1"),
    ],
)
def test_refused_values(make: Any, message: str) -> None:
    with pytest.raises(ExpressionValueError, match=message.replace("(", r"\(")):
        make()


@pytest.mark.parametrize(
    ("make", "node", "path", "expected", "given"),
    [
        (lambda: x + "a", "+", "right", "a number", "'a' (text)"),
        (lambda: s.upper() - 1, "-", "left", "a number", "s.upper() (text)"),
        (lambda: (x > 1) & 1, "&", "right", "a condition", "1 (a whole number (int))"),
        (lambda: ~s.length(), "~", "operand", "a condition", "s.length() (a whole number (int))"),
        (lambda: s.upper() == 1, "==", "right", "text", "1 (a whole number (int))"),
        (lambda: Const(True) < 1, "<", "right", "a boolean", "1 (a whole number (int))"),
        (lambda: (x > 1) < (y > 1), "<", "left", "values that have an order", "x > 1 (a boolean)"),
        (lambda: If(x, 1, "a"), "If", "otherwise", "a whole number (int)", "'a' (text)"),
        (lambda: If(1, 1, 2), "If", "condition", "a condition", "1 (a whole number (int))"),
        (lambda: Case([x > 1]), "Case", "branches[0]", "a pair (condition, value)", "x > 1"),
        (lambda: Case([(x > 1, 1), ("a", 2)]), "Case", "branches[1][0]", "a condition", "'a' (text)"),
        (lambda: Case([(x > 1, 1), (x > 0, "a")]), "Case", "branches[1][1]", "a whole number (int)", "'a' (text)"),
        (lambda: Coalesce([x, "a", 1]), "Coalesce", "args[2]", "text", "1 (a whole number (int))"),
        (lambda: Func("sqrt", ["a"]), "sqrt", "args[0]", "a number", "'a' (text)"),
        (lambda: Func("max", [x, 1, "a"]), "max", "args[2]", "a number (float)", "'a' (text)"),
        (lambda: Func("round", [x, y]), "round", "args[1]", "a whole constant from -15 to 15", "y (a field of undeclared type)"),
        (lambda: Const(1).upper(), "upper", "operand", "text", "1 (a whole number (int))"),
        (lambda: s.contains(1), "contains", "arg", "text", "1 (a whole number (int))"),
        (lambda: x.is_in([1, "a"]), "In", "values[1]", "a number (float)", "'a' (text)"),
        (lambda: x.is_in("ab"), "In", "values", "a list of values", "'ab'"),
        (lambda: Func("min", x), "min", "args", "a list of values", "x"),
        (lambda: Field("d", date) - Field("e", date), "-", "left", "a number", "Field('d', date) (a date)"),
        (lambda: Field("d", date) < Field("t", datetime), "<", "right", "a date", "Field('t', datetime) (a datetime with a time zone)"),
        (lambda: Field("d", date).hour(), "hour", "operand", "a datetime with a time zone", "Field('d', date) (a date)"),
    ],
)  # fmt: skip
def test_types_are_checked_when_built(
    make: Any, node: str, path: str, expected: str, given: str
) -> None:
    with pytest.raises(ExpressionTypeError) as caught:
        make()
    error = caught.value
    assert (error.node, error.path, error.expected, error.given) == (node, path, expected, given)
    assert str(error).startswith(f"{node} at {path}: expected {expected}, given {given}")


def test_expressions_need_the_standard_library_alone() -> None:
    code = (
        "import sys; before = set(sys.modules); from reactive.expr import Field, from_json\n"
        "e = (Field('x') > 1) & Field('s').contains('a'); e.eval({'x': 2, 's': 'a'})\n"
        "e.to_sql(); e.to_sql_params(); e.to_pure(); from_json(e.to_json()); repr(e)\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names) - {'reactive'}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    for name in reactive.__all__:
        assert getattr(reactive, name) is not None
    from reactive import expr

    for name in expr.__all__:
        assert getattr(expr, name) is not None
