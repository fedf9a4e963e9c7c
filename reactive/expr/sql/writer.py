"""What SQL text is made of: quoted literals, typed pieces, and values that are needed twice."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from reactive.errors import ExpressionRangeError, ExpressionValueError, shown
from reactive.expr.nodes import Cast, Const, Field
from reactive.expr.operators import Expr
from reactive.expr.python.readers import READERS
from reactive.expr.python.runtime import NUMBER_PATTERN
from reactive.expr.types import UNDECIDED, Type, require_declared

_COLUMN = re.compile(r'([^\W\d]\w*|"([^"\0]|"")+")(\.([^\W\d]\w*|"([^"\0]|"")+")){0,3}')
SQL_TYPES = {
    Type.BOOL: "boolean",
    Type.INT: "numeric",
    Type.FLOAT: "float",
    Type.DECIMAL: "numeric",
    Type.STR: "text",
    Type.DATE: "date",
    Type.DATETIME: "timestamptz",
    Type.ANY: "text",
    Type.NULL: "text",
    Type.JSON: "jsonb",
}
"""Whole numbers are numeric: exact without bound, as in Python."""

_MAX_REPEATED = 160
"""Characters of SQL that may be written twice; longer values are computed once, in a subselect."""


class Sql(NamedTuple):
    """A piece of SQL.

    `atomic` pieces need no parentheses next to an operator. `loose` ones have the right value but
    not surely the right type: a literal, which takes the type of its neighbours, or a smaller
    integer. `literal` ones read no column.
    """

    text: str
    atomic: bool = True
    loose: bool = False
    literal: bool = False

    @property
    def operand(self) -> str:
        """The text as part of a larger one."""
        return self.text if self.atomic else f"({self.text})"

    def typed(self, type_: Type) -> Sql:
        """Return the piece surely of its type."""
        return Sql(f"{self.operand}::{SQL_TYPES[type_]}") if self.loose else self


class SqlWriter:
    """Writes one expression over a JSONB column.

    `parameters` collects the constants where they are written as `%s`. `emitters` holds, by class
    of node, the function `(writer, node, type)` that writes it.
    """

    def __init__(
        self,
        col: str,
        parameters: list[Any] | None,
        strict: bool,
        field_text: Callable[[str], str] | None,
        emitters: Mapping[type[Expr], Callable[[Any, Any, Type], Sql]],
    ) -> None:
        if not isinstance(col, str) or not _COLUMN.fullmatch(col):
            raise ExpressionValueError(
                f"expected the name of a column, got {shown(col)}; give one such as data, t.data "
                'or "my table".data (quote what is not plain)'
            )
        # psycopg reads every % of a statement with parameters.
        self._column = col if parameters is None else col.replace("%", "%%")
        self._parameters = parameters
        self._strict = strict
        self._field_text = field_text
        self._emitters = emitters
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
                _check_overflow(node)
                self._in_constant = True
            value = self._emitters[type(node)](self, node, have)
            if outermost:
                self._in_constant = False
        if want is have or want in UNDECIDED or want is Type.JSON:
            return value
        return _converted(value, want)

    def all(self, nodes: list[Expr], want: Type) -> list[Sql]:
        """Return values of which at least one is surely of the type, so that the others follow."""
        values = [self.read(node, want) for node in nodes]
        if all(value.loose for value in values):
            values[0] = values[0].typed(want)
        return values

    def comparable(self, nodes: list[Expr], want: Type) -> list[Sql]:
        """Return values to compare: literals of whole numbers and of text compare as they are."""
        if want in (Type.INT, Type.STR):
            return [self.read(node, want) for node in nodes]
        return self.all(nodes, want)

    def sure(self, node: Expr, want: Type) -> Sql:
        """Return a value that is surely of the type."""
        return self.read(node, want).typed(want)

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


def _check_overflow(node: Expr) -> None:
    """Raise for a constant part that overflows: PostgreSQL computes these in advance."""
    try:
        node.eval({})
    except ExpressionRangeError as error:
        raise ExpressionRangeError(f"the constant part {node!r}: {error}") from None


def _converted(value: Sql, want: Type) -> Sql:
    """Turn a number into another kind of number; whole numbers and decimals are numeric alike."""
    if want is Type.FLOAT and not value.loose:
        return Sql(f"{value.operand}::float")
    return value


def repeat(template: str, *values: Sql) -> Sql:
    """Fill in values that the template repeats; long ones are computed in a subselect."""
    if all(len(value.text) <= _MAX_REPEATED for value in values):
        return Sql(template.format(*(value.operand for value in values)))
    columns: list[str] = []
    texts = []
    for value in values:
        if value.literal:
            texts.append(value.operand)
        else:
            # All columns of the row are read inside, where the subselect's name hides none.
            texts.append(f"once.v{len(columns)}")
            columns.append(f"{value.text} AS v{len(columns)}")
    # OFFSET 0 keeps the planner from pulling the inner query up, and so repeating the values.
    inner = f"(SELECT {', '.join(columns)} OFFSET 0) AS once"
    return Sql(f"(SELECT {template.format(*texts)} FROM {inner})")


def quoted(text: str) -> str:
    """Return text as a literal that it cannot leave, whatever standard_conforming_strings says."""
    escaped = text.replace("'", "''")
    if "\\" in escaped:
        return "E'" + escaped.replace("\\", "\\\\") + "'"
    return f"'{escaped}'"
