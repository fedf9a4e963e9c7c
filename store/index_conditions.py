"""What a filter implies that an index of `store.schema.index_field` can answer.

Such a condition is asked beside the filter itself, which has the last word. It reads the field
through a leakproof function and operator, so PostgreSQL may ask it before it asks who may see
the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from reactive.expr import Between, BinOp, Coalesce, Const, Expr, Field
from store.column_types import NUMBERS
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


def implied(expr: Expr, types: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """Conditions on single fields that hold wherever the filter does, with their values."""
    for operand, op, value in _bounds(expr):
        name, python = operand.name, types.get(operand.name)
        found: Iterable[tuple[str, list[Any]]] = ()
        missing = f"{field_text(name)} IS NULL"
        if python in NUMBERS and isinstance(value, NUMBERS):
            found = _number(name, op, value)
            missing = f"{_value(name)} IS NULL"
        elif python is datetime and isinstance(value, datetime):
            # With and without the `Z` of a zone it is the same moment.
            found = _text(name, op, instant_text(value).rstrip("Z"), "Z")
        elif python is date and isinstance(value, date) and not isinstance(value, datetime):
            found = _text(name, op, value.isoformat(), "")
        elif python is str and isinstance(value, str) and operand.has_default and op == "==":
            # Of a bare field the filter itself is what the index answers.
            found = [(f"{field_text(name)} = %s", [value])]
        for condition, values in found:
            yield (f"({condition} OR {missing})" if operand.has_default else condition), values


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


def _bounds(expr: Expr) -> Iterator[tuple[_Operand, str, Any]]:
    """The fields that a filter compares with a constant, where it cannot hold without it."""
    if isinstance(expr, BinOp) and expr.op == "&":
        yield from _bounds(expr.left)
        yield from _bounds(expr.right)
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


def _operand(expr: Expr) -> _Operand | None:
    if isinstance(expr, Field):
        return _Operand(expr.name, False)
    if isinstance(expr, Coalesce) and len(expr.args) == 2:
        first, other = expr.args
        if isinstance(first, Field) and isinstance(other, Const):
            return _Operand(first.name, True)
    return None


def _number(name: str, op: str, value: float | Decimal) -> Iterator[tuple[str, list[Any]]]:
    # Doubles of the filter round; a bound that includes its end loses none of them.
    sign = {"<": "<=", ">": ">=", "==": "="}.get(op, op)
    yield (
        f"{_value(name)} OPERATOR(object_store.{sign}) to_jsonb(%s::numeric)",
        [str(value)],
    )


def _text(name: str, op: str, text: str, end: str) -> Iterator[tuple[str, list[Any]]]:
    if op in (">", ">=", "=="):
        yield f"{field_text(name)} >= %s", [text]
    if op in ("<", "<=", "=="):
        yield f"{field_text(name)} <= %s", [text + end]


def _value(name: str) -> str:
    return f"object_store.json_value(d.data, {_literal(name)})"


def _literal(name: str) -> str:
    quoted = name.replace("'", "''").replace("%", "%%")
    return f"'{quoted}'"
