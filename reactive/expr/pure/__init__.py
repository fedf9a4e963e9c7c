"""Expressions as Legend Pure, over a variable that has the fields as properties.

The plain text is the formula as one would write it, for fields that are present and values in the
domain of its functions. The null-safe text means what `eval` means on every row: where a value is
missing, or has no square root, it gives the empty collection `[]`, which is Pure's null.

Spelling is that of finos/legend-pure; its grammar asks for parentheses around every operation.
"""

from __future__ import annotations

import re

from reactive.errors import ExpressionValueError, shown
from reactive.expr.operators import Expr
from reactive.expr.pure.null_safe import NullSafeWriter
from reactive.expr.pure.writer import PureWriter

__all__ = ["to_pure"]

_VARIABLE = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


def to_pure(expr: Expr, var: str = "$row", *, null_safe: bool = False) -> str:
    """Return the expression as Pure over the properties of `var`: `$row`, `$trade.position`."""
    if not isinstance(var, str) or not _VARIABLE.fullmatch(var):
        raise ExpressionValueError(
            f"expected a variable of Pure, got {shown(var)}; give one such as $row"
        )
    try:
        if null_safe:
            return NullSafeWriter(var).optional(expr).text
        return PureWriter(var).value(expr).text
    except RecursionError:
        # Guards walk a tree several times at each level.
        raise ExpressionValueError(
            f"the expression is nested too deeply for Pure ({expr.depth} levels); "
            "compute parts of it on their own"
        ) from None
