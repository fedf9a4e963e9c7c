"""Expressions as PostgreSQL over a JSONB column (PostgreSQL 16 or later).

Guards stand only where PostgreSQL would differ: division by zero, LEAST and GREATEST over nulls,
domains of functions. Comparisons and + - * carry nulls on by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from reactive.errors import ExpressionRangeError, ExpressionValueError, shown
from reactive.expr import Cast, Const, Expr, Field
from reactive.python_readers import READERS
from reactive.python_runtime import NUMBER_PATTERN
from reactive.sql_nodes import EMIT, converted
from reactive.sql_writer import SQL_TYPES, Sql, Writer, quoted
from reactive.types import UNDECIDED, Type, require_declared

_COLUMN = re.compile(r'([^\W\d]\w*|"([^"\0]|"")+")(\.([^\W\d]\w*|"([^"\0]|"")+")){0,3}')


def to_sql(
    expr: Expr,
    col: str,
    as_type: Any,
    strict: bool,
    field_text: Callable[[str], str] | None,
) -> str:
    """Return the expression as SQL text; `Expr.to_sql` says what the arguments mean."""
    return SqlWriter(col, None, strict, field_text).root(expr, as_type)


def to_sql_params(
    expr: Expr,
    col: str,
    as_type: Any,
    strict: bool,
    field_text: Callable[[str], str] | None,
) -> tuple[str, list[Any]]:
    """Return the expression as SQL with `%s` for its constants, and their values."""
    values: list[Any] = []
    text = SqlWriter(col, values, strict, field_text).root(expr, as_type)
    # Constants may be written twice or in another order; the numbers say which is which.
    order: list[Any] = []

    def place(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        order.append(values[int(match[1])])
        return "%s"

    return re.sub(r"%%|%\((\d+)\)s", place, text), order


class SqlWriter(Writer):
    """Writes one expression."""

    def __init__(
        self,
        col: str,
        parameters: list[Any] | None,
        strict: bool,
        field_text: Callable[[str], str] | None,
    ) -> None:
        if not isinstance(col, str) or not _COLUMN.fullmatch(col):
            raise ExpressionValueError(
                f"{shown(col)} is no column; give a name such as data, t.data or "
                '"my table".data (quote what is not plain)'
            )
        # psycopg reads every % of a statement with parameters.
        self._column = col if parameters is None else col.replace("%", "%%")
        self._parameters = parameters
        self._strict = strict
        self._field_text = field_text
        self._in_constant = False

    def root(self, expr: Expr, as_type: Any) -> str:
        """Return the text of the whole expression."""
        if as_type is None:
            value = self.read(expr, expr.type)
            # A choice among literals would be numeric, and 0.1 is another number there.
            choice = expr.type is Type.FLOAT and not isinstance(expr, Const)
            return value.typed(Type.FLOAT).text if choice else value.text
        want = require_declared(as_type)
        return self.sure(expr if expr.type in UNDECIDED else Cast(expr, want), want).text

    def read(self, node: Expr, want: Type) -> Sql:
        """Return the node's value, as the type that its surroundings need."""
        if isinstance(node, Const):
            return self._constant(node, want)
        have = want if node.type in UNDECIDED else node.type
        if isinstance(node, Field):
            if want is Type.FLOAT and not self._strict:
                # Text becomes the same double directly, and faster.
                have = want
            value = self._field(node.name, have)
        else:
            outermost = node.constant and not self._in_constant
            if outermost:
                _refuse_overflow(node)
                self._in_constant = True
            value = EMIT[type(node)](self, node, have)
            if outermost:
                self._in_constant = False
        if want is have or want in UNDECIDED or want is Type.JSON:
            return value
        return converted(value, have, want)

    def is_null(self, node: Expr) -> str:
        """Return the condition that the node is null."""
        if isinstance(node, Field):
            return f"{self._text_of(node.name)} IS NULL"
        return f"{self.read(node, node.type).operand} IS NULL"

    def _constant(self, node: Const, want: Type) -> Sql:
        if node.value is None:
            return Sql("NULL", loose=want not in UNDECIDED, literal=True)
        value, own = node.value, node.type
        if own is Type.BOOL:
            return Sql("TRUE" if value else "FALSE", literal=True)
        if self._parameters is not None:
            self._parameters.append(value if want is own else READERS[want](value, "constant"))
            return Sql(f"%({len(self._parameters) - 1})s::{SQL_TYPES[want]}", literal=True)
        if own is Type.STR:
            return Sql(quoted(value), loose=True, literal=True)
        if own in (Type.DATE, Type.DATETIME):
            return Sql(f"'{value.isoformat()}'::{SQL_TYPES[own]}", literal=True)
        text = repr(value) if own is Type.FLOAT else str(value)
        return Sql(text, atomic=not text.startswith("-"), loose=True, literal=True)

    def _text_of(self, name: str) -> str:
        """Return the SQL of a field as text."""
        if self._field_text is not None:
            return self._field_text(name)
        return f"({self._column}->>{self._quoted(name)})"

    def _quoted(self, text: str) -> str:
        return quoted(text) if self._parameters is None else quoted(text).replace("%", "%%")

    def _field(self, name: str, want: Type) -> Sql:
        if want is Type.JSON:
            return Sql(f"NULLIF({self._column}->{self._quoted(name)}, 'null')")
        text = self._text_of(name)
        sql_type = SQL_TYPES[want]
        value = text if sql_type == "text" else f"{text}::{sql_type}"
        if not self._strict or want is Type.ANY:
            return Sql(value)
        # A cast that cannot succeed is the one way for plain SQL to raise with a text of its own.
        kinds, pattern = _JSON_KINDS[want]
        json = f"{self._column}->{self._quoted(name)}"
        fits = f"COALESCE(JSONB_TYPEOF({json}), 'null') IN ('null', {kinds})"
        if pattern:
            # A number of JSON is one however long it is; text is held to what reads as one.
            number = f"JSONB_TYPEOF({json}) = 'number' OR " if want is Type.DECIMAL else ""
            fits += f" AND COALESCE({number}{text} ~ '{pattern}', TRUE)"
        message = self._quoted(f"field {name}: expected {want.words}, seen ")
        # Through numeric, since any text would do for text.
        return Sql(
            f"(CASE WHEN {fits} THEN {value} "
            f"ELSE ({message} || {text})::numeric::text::{sql_type} END)"
        )


_WHOLE = "^-?[0-9]+([.]0*)?$"
_JSON_KINDS: dict[Type, tuple[str, str]] = {
    Type.FLOAT: ("'number'", ""),
    Type.INT: ("'number'", _WHOLE),
    Type.DECIMAL: ("'number', 'string'", f"^{NUMBER_PATTERN}$"),
    Type.STR: ("'string'", ""),
    Type.BOOL: ("'boolean'", ""),
    Type.DATE: ("'string'", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
    Type.DATETIME: ("'string'", "[T ].*(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"),
}
"""The kinds of JSON that hold a type, and what their text must look like."""


def _refuse_overflow(node: Expr) -> None:
    """Refuse a constant part that overflows: PostgreSQL computes it ahead, reached or not."""
    try:
        node.eval({})
    except ExpressionRangeError as error:
        raise ExpressionRangeError(f"the constant part {node!r}: {error}") from None
