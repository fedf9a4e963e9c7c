"""What SQL text is made of: quoted literals, typed pieces, and values that are needed twice."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from reactive.expr import Expr
from reactive.types import Type

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
    not surely the right type: a literal, which takes the type of its company, or a smaller
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


class Writer(ABC):
    """Writes nodes as SQL."""

    @abstractmethod
    def read(self, node: Expr, want: Type) -> Sql:
        """Return the node's value, as the type that its surroundings need."""

    @abstractmethod
    def is_null(self, node: Expr) -> str:
        """Return the condition that the node is null."""

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
