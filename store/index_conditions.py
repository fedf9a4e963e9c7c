"""What a filter implies that an index of `store.schema.index_field` can answer.

Such a bound of a single field is asked beside the filter itself, which has the last word. The
database asks it of an index, and so before anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from reactive.expr import Between, BinOp, Const, Expr, Field, In, IsNull
from store.times import instant_text

_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}

Bound = dict[str, Any]


def implied(expr: Expr, types: dict[str, Any]) -> list[Bound]:
    """Bounds of single fields that hold wherever the filter does, as the database takes them."""
    return [bound for found in _compared(expr) for bound in _bounds_of(*found, types)]


def field_text(name: str) -> str:
    """The text of a field, in the order of code points."""
    return f'(object_store.json_text(d.data, {_literal(name)}) COLLATE "C")'


def _compared(expr: Expr) -> Iterator[tuple[str, str, Any]]:
    """The fields that a filter compares with a constant, where it cannot hold without it."""
    if isinstance(expr, BinOp) and expr.op == "&":
        yield from _compared(expr.left)
        yield from _compared(expr.right)
    elif isinstance(expr, BinOp) and expr.op == "|":
        yield from _one_of(expr)
    elif isinstance(expr, BinOp) and expr.op in _MIRRORED:
        if isinstance(expr.left, Field) and isinstance(expr.right, Const):
            yield expr.left.name, expr.op, expr.right.value
        elif isinstance(expr.left, Const) and isinstance(expr.right, Field):
            yield expr.right.name, _MIRRORED[expr.op], expr.left.value
    elif isinstance(expr, Between) and isinstance(expr.operand, Field):
        for op, bound in ((">=", expr.low), ("<=", expr.high)):
            if isinstance(bound, Const):
                yield expr.operand.name, op, bound.value
    elif isinstance(expr, In) and isinstance(expr.operand, Field):
        values = [each.value for each in expr.values if isinstance(each, Const)]
        if values and len(values) == len(expr.values):
            yield expr.operand.name, "in", values
    elif isinstance(expr, IsNull) and isinstance(expr.operand, Field):
        yield expr.operand.name, "null", None


def _one_of(expr: BinOp) -> Iterator[tuple[str, str, Any]]:
    """Equal to this or to that is one of both."""
    sides = [list(_compared(side)) for side in (expr.left, expr.right)]
    if any(len(side) != 1 or side[0][1] not in ("==", "in") for side in sides):
        return
    (name, *left), (other, *right) = sides[0][0], sides[1][0]
    if name == other:
        values = [v for op, value in (left, right) for v in (value if op == "in" else [value])]
        yield name, "in", values


def _bounds_of(name: str, op: str, value: Any, types: dict[str, Any]) -> Iterator[Bound]:
    python = types.get(name)
    if op == "null":
        yield {"field": name, "op": "null"}
    elif op == "in":
        # Of numbers the filter compares doubles, which round.
        if python is str and all(isinstance(each, str) for each in value):
            yield {"field": name, "op": "in", "texts": value}
    elif python in (int, float) and isinstance(value, (int, float)):
        yield {"field": name, "op": "=" if op == "==" else op, "number": repr(value)}
    elif python is datetime and isinstance(value, datetime):
        # With and without the `Z` of a zone it is the same moment.
        yield from _range(name, op, instant_text(value).rstrip("Z"), "Z")
    elif python is date and isinstance(value, date) and not isinstance(value, datetime):
        yield from _range(name, op, value.isoformat(), "")
    elif python is str and isinstance(value, str):
        yield {"field": name, "op": "=" if op == "==" else op, "text": value}


def _range(name: str, op: str, text: str, end: str) -> Iterator[Bound]:
    if op in (">", ">=", "=="):
        yield {"field": name, "op": ">=", "text": text}
    if op in ("<", "<=", "=="):
        yield {"field": name, "op": "<=", "text": text + end}


def _literal(name: str) -> str:
    quoted = name.replace("'", "''").replace("%", "%%")
    return f"'{quoted}'"
