"""Small expressions as lines inside another function, since a call costs as much as they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from reactive.expr import Expr
from reactive.python_target import PythonWriter

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
    """Return the lines of a small expression; `prefix` tells its constants from those of others."""
    if expr.size > SIZE_MAX:
        return None
    writer = _Writer(names, prefix)
    result = writer.settle(writer.read(expr, expr.type))
    if writer.mixed:
        # Which fields are read as several types, and so need their raw value, shows at the end.
        writer = _Writer(names, prefix, writer)
        result = writer.settle(writer.read(expr, expr.type))
    return Inline(writer.lines, result.text, writer.namespace)


class _Writer(PythonWriter):
    """Gives its constants names that differ from those of other expressions in the function."""

    def __init__(
        self, names: Sequence[str], prefix: str, draft: PythonWriter | None = None
    ) -> None:
        super().__init__(names, careful=False, draft=draft)
        self._prefix = prefix

    def constant(self, value: Any) -> str:
        """Put a value where the function finds it, and return its name."""
        name = super().constant(value)
        self.namespace[self._prefix + name] = self.namespace.pop(name)
        return self._prefix + name
