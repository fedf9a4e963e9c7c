"""Pure text is readable by its grammar's traps, and the null-safe one means what `eval` means."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import event, given, note, settings
from hypothesis import strategies as st

from reactive import (
    Case,
    Coalesce,
    Const,
    Expr,
    ExpressionRangeError,
    ExpressionValueError,
    Field,
    Func,
    If,
    NullIf,
    Type,
)
from tests.reactive.pure_reader import PureSyntaxError, evaluate, read
from tests.reactive.strategies import FIELDS, NIGHTLY, expressions, is_field_name, rows

a, b, c, s = Field("a"), Field("b"), Field("c"), Field("s")
pnl = (Field("current_price") - Field("avg_cost")) * Field("quantity")


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (pnl, "(($pos.current_price - $pos.avg_cost) * $pos.quantity)"),
        ((a + 1) == b, "(toFloat(($pos.a + 1)) == toFloat($pos.b))"),
        (a + Const(1), "($pos.a + 1)"),
        ((a == 1) == (b == 2), "((toFloat($pos.a) == 1.0) == (toFloat($pos.b) == 2.0))"),
        (~(a > 1) & (b > 1), "((!($pos.a > 1)) && ($pos.b > 1))"),
        (-abs(a), "(-abs($pos.a))"),
        (-a - -b, "((-$pos.a) - (-$pos.b))"),
        (-(a + b), "(-($pos.a + $pos.b))"),
        (a < -5, "($pos.a < (-5))"),
        (Const(-5) == a, "((-5.0) == toFloat($pos.a))"),
        (a * 1e-5, "($pos.a * 1.0e-5)"),
        (a * 1.5e300, "($pos.a * 1.5e300)"),
        (a * 1e22, "($pos.a * 1.0e22)"),
        (a * 1e15, "($pos.a * 1000000000000000.0)"),
        (
            Coalesce([a, b, c, a, b, 0]),
            "coalesce($pos.a, $pos.b, coalesce($pos.c, $pos.a, $pos.b, 0))",
        ),
        (Func("max", [a, b, 0]), "max(max($pos.a, $pos.b), 0)"),
        (Func("min", [Field("s", str), "x"]), "if(($pos.s <= 'x'), |$pos.s, |'x')"),
        (s.concat("it's \\ \n\t\x01"), "($pos.s + 'it\\'s \\\\ \\n\\t\\u0001')"),
        (s.contains("\U000e0001"), "contains($pos.s, '\\udb40\\udc01')"),
        (Field("my field") + Field("it's"), "($pos.'my field' + $pos.'it\\'s')"),
        (Case([(a > 2, 1), (a > 1, 2)], None), "if(($pos.a > 2), |1, |if(($pos.a > 1), |2, |[]))"),
        (a.is_in([]), "false"),
        (a.is_in([None]), "[]"),
        (a + None, "[]"),
        (If(a > None, 1, 2), "if(false, |1, |2)"),
        (
            Const(datetime(2026, 2, 22, 10, 0, 0, 5, timezone.utc)),
            "%2026-02-22T10:00:00.000005+0000",
        ),
    ],
)
def test_plain_text(expr: Expr, text: str) -> None:
    assert expr.to_pure("$pos") == text
    read(text)


A, B = "$row.a->isEmpty()", "$row.b->isEmpty()"
AV, BV = "$row.a->toOne()", "$row.b->toOne()"


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (a + b, f"if(({A} || {B}), |[], |({AV} + {BV}))"),
        (a + 1, f"if({A}, |[], |({AV} + 1))"),
        (a / b, f"if(({A} || {B}), |[], |if((toFloat({BV}) == 0.0), |[], |({AV} / {BV})))"),
        (a / 4, f"if({A}, |[], |({AV} / 4))"),
        (Func("sqrt", [a]), f"if({A}, |[], |if(({AV} < 0), |[], |sqrt({AV})))"),
        (a, "$row.a"),
        (a.is_null(), A),
        (a == 1, f"if({A}, |[], |(toFloat({AV}) == 1.0))"),
        (If(a > 1, "x", "y"), f"if(if({A}, |false, |({AV} > 1)), |'x', |'y')"),
        (If(Field("on"), a, b), "if(($row.on == true), |$row.a, |$row.b)"),
        (
            Field("on") & Field("up"),
            "if((($row.on == true) && ($row.up == true)), |true, "
            "|if((($row.on == false) || ($row.up == false)), |false, |[]))",
        ),
        (Coalesce([a, 0]) * 2, "(coalesce($row.a, 0) * 2)"),
        (
            Coalesce([a, b]) * 2,
            "if(isEmpty(coalesce($row.a, $row.b)), |[], |(toOne(coalesce($row.a, $row.b)) * 2))",
        ),
        (a + None, "[]"),
        (Const(None).is_null(), "true"),
        (Const(1) + 2, "(1 + 2)"),
    ],
)
def test_null_safe_text(expr: Expr, text: str) -> None:
    assert expr.to_pure(null_safe=True) == text
    read(text)


@pytest.mark.parametrize(
    "text",
    [
        "($row.a + 1 == $row.b)",
        "($row.a - 1 - 2)",
        "($row.a + 1 * 2)",
        "(!$row.a == $row.b)",
        "(-$row.a == 1)",
        "($row.a * 1e-05)",
        "($row.a % 2)",
        "($row.a ^ 2)",
        "'it's'",
        "'back\\slash",
        "($row.a && $row.b || $row.c)",
        "if(true, 1, 2)",
        "coalesce($row.a, 1, 2, 3, 4)",
    ],
)
def test_the_reader_knows_the_traps(text: str) -> None:
    with pytest.raises(PureSyntaxError):
        evaluate(text, {"a": 1, "b": True, "c": True})


@pytest.mark.parametrize("var", ["row", "$", "$1a", "$row;", "$row.a b", "$row->f()", "", None])
def test_what_is_no_variable(var: Any) -> None:
    with pytest.raises(ExpressionValueError, match="expected a variable of Pure, got"):
        a.to_pure(var)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=10)


@given(text=TEXTS, name=TEXTS.filter(is_field_name))
def test_no_text_leaves_its_quotes(text: str, name: str) -> None:
    pure = Field(name).concat(text).to_pure(null_safe=True)
    assert evaluate(pure, {name: "<"}) == "<" + text


def test_what_pure_says_in_another_way_is_refused() -> None:
    for expr in (a.cast(float).cast(str), Field("d", Decimal).cast(str)):
        with pytest.raises(ExpressionValueError, match="Pure writes text"):
            expr.to_pure()
    day = Field("s", str).cast("date")
    assert day.to_pure() == "parseDate($row.s)"
    with pytest.raises(ExpressionValueError, match="Pure cannot tell"):
        day.to_pure(null_safe=True)


def test_text_that_would_grow_beyond_use_is_refused() -> None:
    expr: Expr = a
    for _ in range(40):
        expr = NullIf(expr, 1) / b
    with pytest.raises(ExpressionValueError, match="longer than 100000 characters"):
        expr.to_pure(null_safe=True)


def as_property(name: str, value: Any) -> Any:
    """The value as a property of a class holds it: numbers that are not declared are Floats."""
    if isinstance(value, int) and FIELDS[name] is Type.FLOAT:
        return float(value)
    return value.astimezone(timezone.utc) if isinstance(value, datetime) else value


def close(ours: Any, theirs: Any) -> bool:
    if ours is None or theirs is None or isinstance(ours, (bool, str)):
        return ours == theirs
    if isinstance(ours, (int, float, Decimal)):
        # Pure computes whole numbers exactly where we take doubles.
        return math.isclose(float(ours), float(theirs), rel_tol=1e-9, abs_tol=1e-12)
    return bool(ours == theirs)


def is_plain(value: Any) -> bool:
    """Whether all targets agree on the value: ASCII text, numbers well within a double."""
    if isinstance(value, str):
        return value.isascii()
    if isinstance(value, (int, float, Decimal)):
        return value == 0 or 1e-6 < abs(value) < 1e12
    return True


def constants(expr: Expr) -> list[Any]:
    return [c for _, child in expr.children() for c in constants(child)] or [
        getattr(expr, "value", None)
    ]


@settings(max_examples=5_000 if NIGHTLY else 400)
@given(data=st.data(), type_=st.sampled_from(sorted(set(FIELDS.values()), key=str)))
def test_null_safe_pure_means_what_eval_means(data: st.DataObject, type_: Type) -> None:
    expr = data.draw(expressions(type_, depth=3), label="expression")
    row = data.draw(rows(expr.fields()), label="row")
    try:
        text, plain = expr.to_pure(null_safe=True), expr.to_pure()
    except ExpressionValueError as error:
        assert "Pure" in str(error)  # noqa: PT017 - only some expressions are refused
        event("not to be said in Pure")
        return
    note(text)
    read(plain)
    read(text)
    row = {name: as_property(name, value) for name, value in row.items()}
    if not all(map(is_plain, [*row.values(), *constants(expr)])):
        event("values on which Pure differs by its nature")
        return
    try:
        ours = expr.eval(row)
    except ExpressionRangeError:
        return
    assert close(ours, evaluate(text, row)), f"{expr!r} on {row!r}: {ours!r}"
