"""Python and PostgreSQL give the same value for random expressions on random rows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import event, given, note, settings
from hypothesis import strategies as st

from reactive import (
    Expr,
    ExpressionRangeError,
    Field,
    NullIf,
    Type,
    compile_positional,
    from_json,
)
from tests.reactive.agreement import agree, in_python, is_lazy
from tests.reactive.postgres import BEYOND, in_postgres, same
from tests.reactive.strategies import FIELDS, NIGHTLY, expressions, rows

# Minutes on a busy machine, hours with the many cases of `make test-long`.
pytestmark = pytest.mark.timeout(0 if NIGHTLY else 1800)

CASES = 20_000 if NIGHTLY else 600
ROWS_EACH = 3


@settings(max_examples=CASES)
@given(
    data=st.data(),
    type_=st.sampled_from(sorted(set(FIELDS.values()), key=str)),
    strict=st.booleans(),
)
def test_python_and_postgres_agree(
    postgres: Any, data: st.DataObject, type_: Type, strict: bool
) -> None:
    expr = data.draw(expressions(type_), label="expression")
    some_rows = [data.draw(rows(expr.fields()), label="row") for _ in range(ROWS_EACH)]
    as_type = type_.value if expr.type in (Type.ANY, Type.NULL) else None
    try:
        text = expr.to_sql(as_type=as_type, strict=strict)
        bound, parameters = expr.to_sql_params(as_type=as_type, strict=strict)
    except ExpressionRangeError:
        event("a constant part overflows")
        return
    note(text)
    expected = [in_python(expr, row) for row in some_rows]
    if as_type == "float":
        # A field that stands alone is what the row holds; SQL was told how to read it.
        expected = [float(v) if isinstance(v, int) else v for v in expected]
    lazy = is_lazy(expr)
    for got in (
        in_postgres(postgres, text, None, some_rows),
        in_postgres(postgres, bound, parameters, some_rows),
    ):
        for row, ours, theirs in zip(some_rows, expected, got, strict=True):
            assert agree(ours, theirs, lazy), (
                f"{expr!r} on {row!r}: {ours!r} here, {theirs!r} in PostgreSQL"
            )


@given(expr=expressions(), data=st.data())
def test_all_ways_to_compute_in_python_agree(expr: Expr, data: st.DataObject) -> None:
    row = data.draw(rows(expr.fields()))
    names = sorted(expr.fields())
    ours = in_python(expr, row)
    again = from_json(expr.to_json())
    assert again.equals(expr)
    assert repr(in_python(again, row)) == repr(ours)
    positional = compile_positional(expr, names)
    try:
        assert repr(positional(*(row.get(name) for name in names))) == repr(ours)
    except ExpressionRangeError:
        assert ours is BEYOND


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1, 1.0, "1", True, 0, False, "", 1e23, 10**23, 2.0**53, 2**53 + 1]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3),
    st.lists(st.sampled_from([1, 1.0, "1", True, None]), max_size=2),
    st.dictionaries(st.sampled_from("ab"), st.sampled_from([1, 1.0, None, False]), max_size=2),
)


@given(left=VALUES, right=VALUES)
def test_bare_fields_compare_as_json(postgres: Any, left: Any, right: Any) -> None:
    row = {"left": left, "right": right}
    for expr in (
        Field("left") == Field("right"),
        Field("left") != Field("right"),
        Field("left").is_in([Field("right"), None]),
        NullIf(Field("left"), Field("right")).is_null(),
    ):
        assert same(expr.eval(row), in_postgres(postgres, expr.to_sql(), None, [row])[0])
