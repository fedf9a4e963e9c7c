"""What a filter implies that an index of `store.schema.index_field` can answer.

Such a condition is asked beside the filter itself, which has the last word. It reads the field
through a leakproof function and operator, so PostgreSQL may ask it before it asks who may see
the row.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from reactive.expr import Between, BinOp, Const, Expr, Field
from store.times import instant_text

_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}


def implied(expr: Expr, types: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """Conditions on single fields that hold wherever the filter does, with their values."""
    for name, op, value in _bounds(expr):
        python = types.get(name)
        if python in (int, float) and isinstance(value, (int, float)):
            yield from _number(name, op, value)
        elif python is datetime and isinstance(value, datetime):
            # With and without the `Z` of a zone it is the same moment.
            yield from _text(name, op, instant_text(value).rstrip("Z"), "Z")
        elif python is date and isinstance(value, date) and not isinstance(value, datetime):
            yield from _text(name, op, value.isoformat(), "")


def field_text(name: str) -> str:
    """The text of a field, in the order of code points."""
    return f'(object_store.json_text(d.data, {_literal(name)}) COLLATE "C")'


def _bounds(expr: Expr) -> Iterator[tuple[str, str, Any]]:
    """The fields that a filter compares with a constant, where it cannot hold without it."""
    if isinstance(expr, BinOp) and expr.op == "&":
        yield from _bounds(expr.left)
        yield from _bounds(expr.right)
    elif isinstance(expr, BinOp) and expr.op in _MIRRORED:
        if isinstance(expr.left, Field) and isinstance(expr.right, Const):
            yield expr.left.name, expr.op, expr.right.value
        elif isinstance(expr.left, Const) and isinstance(expr.right, Field):
            yield expr.right.name, _MIRRORED[expr.op], expr.left.value
    elif isinstance(expr, Between) and isinstance(expr.operand, Field):
        for op, bound in ((">=", expr.low), ("<=", expr.high)):
            if isinstance(bound, Const):
                yield expr.operand.name, op, bound.value


def _number(name: str, op: str, value: float) -> Iterator[tuple[str, list[Any]]]:
    # Doubles of the filter round; a bound that includes its end loses none of them.
    sign = {"<": "<=", ">": ">=", "==": "="}.get(op, op)
    yield (
        f"object_store.json_value(d.data, {_literal(name)}) OPERATOR(object_store.{sign}) "
        "to_jsonb(%s::numeric)",
        [repr(value)],
    )


def _text(name: str, op: str, text: str, end: str) -> Iterator[tuple[str, list[Any]]]:
    if op in (">", ">=", "=="):
        yield f"{field_text(name)} >= %s", [text]
    if op in ("<", "<=", "=="):
        yield f"{field_text(name)} <= %s", [text + end]


def _literal(name: str) -> str:
    quoted = name.replace("'", "''").replace("%", "%%")
    return f"'{quoted}'"
