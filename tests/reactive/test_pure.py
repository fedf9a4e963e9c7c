"""Pure text is readable by its grammar's traps, and the null-safe one means what `eval` means."""

from __future__ import annotations

import math
import os
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from hypothesis import event, given, note, settings
from hypothesis import strategies as st

from reactive import Expr, ExpressionRangeError, ExpressionValueError, Type
from tests.reactive.pure_reader import evaluate, read
from tests.reactive.strategies import FIELDS, expressions, rows

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


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
        assert "Pure" in str(error)
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
