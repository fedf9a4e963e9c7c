"""JSON of expressions: what it looks like, and that bad input gives our own error alone."""

# ruff: noqa: E501 - a table reads best with a row a line

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reactive import Case, Const, Expr, ExpressionFormatError, Field, Func, from_json
from reactive.expr.base import MAX_DEPTH, MAX_SIZE
from tests.reactive.strategies import NIGHTLY, expressions

X = {"type": "Field", "name": "x"}
ONE = {"type": "Const", "value": 1}


@pytest.mark.parametrize(
    ("expr", "data"),
    [
        (Field("x"), X),
        (Field("x", Decimal), {"type": "Field", "name": "x", "field_type": "decimal"}),
        (Const(1.5), {"type": "Const", "value": 1.5}),
        (Const(None), {"type": "Const", "value": None}),
        (Const(Decimal("1.50")), {"type": "Const", "value": "1.50", "value_type": "decimal"}),
        (Const(date(2026, 2, 22)), {"type": "Const", "value": "2026-02-22", "value_type": "date"}),
        (
            Const(datetime(2026, 2, 22, 10, tzinfo=timezone.utc)),
            {"type": "Const", "value": "2026-02-22T10:00:00+00:00", "value_type": "datetime"},
        ),
        (Field("x") + 1, {"type": "BinOp", "op": "+", "left": X, "right": ONE}),
        (-Field("x"), {"type": "UnaryOp", "op": "-", "operand": X}),
        (Func("max", [Field("x"), 1]), {"type": "Func", "name": "max", "args": [X, ONE]}),
        (
            Case([(True, Field("x"))], 1),
            {"type": "Case", "branches": [[{"type": "Const", "value": True}, X]], "default": ONE},
        ),
        (Field("x").upper(), {"type": "StrOp", "op": "upper", "operand": X}),
        (Field("x").substring(1), {"type": "Substring", "operand": X, "start": 1}),
        (Field("x").cast(int), {"type": "Cast", "operand": X, "to": "int"}),
    ],
)
def test_format(expr: Expr, data: dict[str, Any]) -> None:
    assert expr.to_json() == {"version": 1, **data}
    assert from_json(json.loads(json.dumps(expr.to_json()))).equals(expr)
    assert from_json(data).equals(expr)  # without a version it is the first one


@given(expressions())
def test_every_expression_comes_back(expr: Expr) -> None:
    again = from_json(json.loads(json.dumps(expr.to_json())))
    assert again.equals(expr)
    assert repr(again) == repr(expr)


def nested(depth: int) -> dict[str, Any]:
    data: dict[str, Any] = X
    for _ in range(depth - 1):
        data = {"type": "IsNull", "operand": data}
    return data


CIRCLE: dict[str, Any] = {"type": "IsNull"}
CIRCLE["operand"] = CIRCLE


@pytest.mark.parametrize(
    ("data", "path", "problem"),
    [
        (None, "$", "expected an object with a type, got None"),
        ("x + 1", "$", "expected an object"),
        ([], "$", "expected an object"),
        ({}, "$", "unknown node type None; there are: BinOp"),
        ({"type": "Lambda"}, "$", "unknown node type 'Lambda'"),
        ({"type": ["Field"]}, "$", "unknown node type"),
        ({"type": "Expr"}, "$", "unknown node type 'Expr'"),
        ({"version": 2, **X}, "$.version", "2 is not a version that this release reads (1 to 1)"),
        ({"version": True, **X}, "$.version", "True is not a version"),
        ({"version": "1", **X}, "$.version", "'1' is not a version"),
        ({"type": "Field"}, "$", "Field lacks 'name'"),
        ({"type": "Field", "name": 3}, "$.name", "expected text, got 3"),
        ({"type": "Field", "name": "x", "color": 1}, "$", "unexpected 'color'; Field has: name, field_type"),
        ({"type": "Field", "name": "x", "field_type": "json"}, "$", "expected a type of expressions, got 'json'"),
        ({"type": "Const"}, "$", "Const lacks 'value'"),
        ({"type": "Const", "value": [1]}, "$.value", "expected null, true, false"),
        ({"type": "Const", "value": float("nan")}, "$", "NaN, infinities"),
        ({"type": "Const", "value": 1, "value_type": "decimal"}, "$.value", "1 is not a decimal"),
        ({"type": "Const", "value": "NaN", "value_type": "decimal"}, "$.value", "'NaN' is not a decimal"),
        ({"type": "Const", "value": "2026-02-30", "value_type": "date"}, "$.value", "is not a date"),
        ({"type": "Const", "value": "2026-02-22T10:00", "value_type": "datetime"}, "$.value", "is not a datetime"),
        ({"type": "Const", "value": "a", "value_type": "color"}, "$.value_type", "'color' is none of"),
        ({"type": "BinOp", "op": "+", "left": X}, "$", "BinOp lacks 'right'"),
        ({"type": "BinOp", "op": "@", "left": X, "right": X}, "$", "unknown operator '@'"),
        ({"type": "BinOp", "op": "+", "left": X, "right": {"type": "Func", "name": "max", "args": [X, {}]}},
         "$.right.args[1]", "unknown node type"),
        ({"type": "BinOp", "op": "+", "left": X, "right": {"type": "Const", "value": "a"}}, "$", "+ at right: expected a number"),
        ({"type": "Func", "name": "eval", "args": [X]}, "$", "unknown function 'eval'"),
        ({"type": "Func", "name": "sqrt", "args": X}, "$.args", "expected a list"),
        ({"type": "Func", "name": "sqrt", "args": [X, X]}, "$", "sqrt takes 1 argument, given 2"),
        ({"type": "Case", "branches": [[X]], "default": X}, "$.branches[0]", "expected [condition, value]"),
        ({"type": "Substring", "operand": X, "start": True}, "$.start", "expected number, got True"),
        (nested(MAX_DEPTH + 1), "$" + ".operand" * MAX_DEPTH, f"more than {MAX_DEPTH} levels"),
        (CIRCLE, "$" + ".operand" * MAX_DEPTH, f"more than {MAX_DEPTH} levels"),
        ({"type": "Coalesce", "args": [X] * MAX_SIZE}, f"$.args[{MAX_SIZE - 1}]", "nodes"),
    ],
)  # fmt: skip
def test_refused(data: Any, path: str, problem: str) -> None:
    with pytest.raises(ExpressionFormatError) as caught:
        from_json(data)
    assert caught.value.path == path
    assert problem in caught.value.problem


def test_data_that_python_cannot_write_is_refused_all_the_same() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for key, node in (("version", ONE), ("type", X), ("name", X), ("value", ONE), ("op", X)):
        with pytest.raises(ExpressionFormatError):
            from_json({**node, key: deep})
    with pytest.raises(ExpressionFormatError):
        from_json({"type": "Substring", "operand": X, "start": -(10**5_000)})


def test_the_deepest_is_read() -> None:
    assert from_json(nested(MAX_DEPTH)).depth == MAX_DEPTH


# --- fuzz -------------------------------------------------------------------------------------

words = st.sampled_from(
    ["BinOp", "UnaryOp", "Func", "If", "Case", "Coalesce", "IsNull", "NullIf", "In", "Between", "Cast", "StrOp",
     "Substring", "DatePart", "Field", "Const", "x", "+", "==", "&", "~", "abs", "max", "round", "upper", "year",
     "int", "decimal", "date", "datetime", "1.5", "2026-02-22", "", "\0"]
)  # fmt: skip
keys = st.sampled_from(
    ["type", "version", "op", "left", "right", "operand", "name", "args", "condition", "then", "otherwise", "branches",
     "default", "value", "values", "low", "high", "to", "arg", "start", "count", "part", "value_type", "field_type"]
)  # fmt: skip
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), words, st.text(max_size=3), st.binary(max_size=2),
    st.sampled_from([10**400, -1, 2**40, 1e308]),
)  # fmt: skip
documents = st.recursive(
    scalars,
    lambda below: st.one_of(
        st.lists(below, max_size=3),
        st.dictionaries(st.one_of(keys, words, st.integers()), below, max_size=6),
    ),
    max_leaves=20,
)


@settings(max_examples=20_000 if NIGHTLY else 1_000)
@given(documents)
def test_no_document_does_anything_but_refuse(data: Any) -> None:
    check(data)


@settings(max_examples=5_000 if NIGHTLY else 500)
@given(expr=expressions(), data=st.data())
def test_a_changed_document_is_read_or_refused(expr: Expr, data: st.DataObject) -> None:
    document = expr.to_json()
    node = document
    while True:
        key = data.draw(st.sampled_from(sorted(node)))
        below = node[key][0] if isinstance(node[key], list) and node[key] else node[key]
        if isinstance(below, dict) and data.draw(st.booleans()):
            node = below
            continue
        if data.draw(st.booleans()):
            node[key] = data.draw(documents)
        else:
            del node[key]
        break
    check(document)


def check(data: Any) -> None:
    try:
        expr = from_json(data)
    except ExpressionFormatError as error:
        assert str(error).startswith("$")  # noqa: PT017 - both outcomes are right
    else:
        assert from_json(expr.to_json()).equals(expr)
