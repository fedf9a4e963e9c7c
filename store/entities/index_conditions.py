"""What a filter implies that an index of `store.schema.index_field` can answer.

Such a bound of a single field is asked beside the filter itself, which has the last word. The
database asks it of an index, and so before anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from reactive.expr import Between, BinOp, Coalesce, Const, Expr, Field, In, IsNull
from store.governance.column_types import NUMBERS
from store.times import instant_text

# What the text of a field is cast to; any text is a text.
_SQL_TYPES: dict[Any, str] = {
    int: "numeric",
    float: "float8",
    Decimal: "numeric",
    bool: "boolean",
    datetime: "timestamptz",
    date: "date",
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}

Bound = dict[str, Any]


def implied(expr: Expr, types: dict[str, Any]) -> list[Bound]:
    """Bounds of single fields that hold wherever the filter does, as the database takes them."""
    return [
        {**bound, "or_missing": True} if operand.has_default else bound
        for operand, op, value in _compared(expr)
        for bound in _bounds_of(operand.name, op, value, types)
    ]


def field_text(name: str) -> str:
    """The text of a field, in the order of code points."""
    return f'(object_store.json_text(d.data, {_literal(name)}) COLLATE "C")'


def careful_text(types: dict[str, Any]) -> Callable[[str], str]:
    """As `field_text`, but null where the field is not of its type, so that no cast of it fails.

    Slower, so for data that their writer did not check.
    """

    def text(name: str) -> str:
        plain, python = field_text(name), types.get(name)
        if python not in _SQL_TYPES:
            return plain
        # As JSON a text stands in quotes, which no number does.
        seen = plain if python in (date, datetime) else f"(d.data -> {_literal(name)})::text"
        valid = f"PG_INPUT_IS_VALID({seen}, '{_SQL_TYPES[python]}')"
        return f"(CASE WHEN {valid} THEN {plain} END)"

    return text


class _Operand(NamedTuple):
    """A field, or what stands for it where it is missing as well."""

    name: str
    has_default: bool


def _compared(expr: Expr) -> Iterator[tuple[_Operand, str, Any]]:
    """The fields that a filter compares with a constant, where it cannot hold without it."""
    if isinstance(expr, BinOp) and expr.op == "&":
        yield from _compared(expr.left)
        yield from _compared(expr.right)
    elif isinstance(expr, BinOp) and expr.op == "|":
        yield from _one_of(expr)
    elif isinstance(expr, BinOp) and expr.op in _MIRRORED:
        left, right = _operand(expr.left), _operand(expr.right)
        if left is not None and isinstance(expr.right, Const):
            yield left, expr.op, expr.right.value
        elif isinstance(expr.left, Const) and right is not None:
            yield right, _MIRRORED[expr.op], expr.left.value
    elif isinstance(expr, Between):
        operand = _operand(expr.operand)
        for op, bound in ((">=", expr.low), ("<=", expr.high)):
            if operand is not None and isinstance(bound, Const):
                yield operand, op, bound.value
    elif isinstance(expr, In):
        operand = _operand(expr.operand)
        values = [each.value for each in expr.values if isinstance(each, Const)]
        if operand is not None and values and len(values) == len(expr.values):
            yield operand, "in", values
    elif isinstance(expr, IsNull) and isinstance(expr.operand, Field):
        yield _Operand(expr.operand.name, False), "null", None


def _operand(expr: Expr) -> _Operand | None:
    if isinstance(expr, Field):
        return _Operand(expr.name, False)
    if isinstance(expr, Coalesce) and len(expr.args) == 2:
        first, other = expr.args
        if isinstance(first, Field) and isinstance(other, Const):
            return _Operand(first.name, True)
    return None


def _one_of(expr: BinOp) -> Iterator[tuple[_Operand, str, Any]]:
    """Equal to this or to that is one of both."""
    sides = [list(_compared(side)) for side in (expr.left, expr.right)]
    if any(len(side) != 1 or side[0][1] not in ("==", "in") for side in sides):
        return
    (operand, *left), (other, *right) = sides[0][0], sides[1][0]
    if operand.name == other.name:
        values = [v for op, value in (left, right) for v in (value if op == "in" else [value])]
        has_default = operand.has_default or other.has_default
        yield _Operand(operand.name, has_default), "in", values


def _bounds_of(name: str, op: str, value: Any, types: dict[str, Any]) -> Iterator[Bound]:
    python = types.get(name)
    if op == "null":
        yield {"field": name, "op": "null"}
    elif op == "in":
        # Of numbers the filter compares doubles, which round.
        if python is str and all(isinstance(each, str) for each in value):
            yield {"field": name, "op": "in", "texts": value}
    elif python in NUMBERS and isinstance(value, NUMBERS):
        yield {"field": name, "op": "=" if op == "==" else op, "number": str(value)}
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
