"""Small expressions as lines inside another function, since a call costs as much as they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from reactive.expr.operators import Expr
from reactive.expr.python.nodes import EMITTERS
from reactive.expr.python.writer import PythonWriter

SIZE_MAX = 40
"""Nodes of an expression up to which calling it matters."""


class Inline(NamedTuple):
    """Lines that compute an expression of v0, v1, …, and the variable that has the result.

    They may raise any exception where the expression raises one; the compiled function says which.
    """

    lines: list[str]
    result: str
    namespace: dict[str, Any]


def inline(expr: Expr, names: Sequence[str], prefix: str) -> Inline | None:
    """Return the lines of a small expression, None for a larger one.

    `prefix` begins the names of its constants, so that they differ from those of others.
    """
    if expr.size > SIZE_MAX:
        return None
    writer = PythonWriter(names, EMITTERS, careful=False, prefix=prefix)
    result = writer.in_variable(writer.read(expr, expr.type))
    if writer.mixed:
        # Which fields are read as several types, and so need their raw value, shows at the end.
        writer = PythonWriter(names, EMITTERS, careful=False, prefix=prefix, draft=writer)
        result = writer.in_variable(writer.read(expr, expr.type))
    return Inline(writer.lines, result.text, writer.namespace)
