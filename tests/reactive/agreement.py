"""The value of an expression in Python, and whether another target agrees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import event

from reactive import (
    Between,
    BinOp,
    Case,
    Coalesce,
    Expr,
    ExpressionRangeError,
    If,
    In,
    NullIf,
    compile_python,
)
from reactive.expr.python import compiler
from tests.reactive.postgres import BEYOND, same

LAZY = (If, Case, Coalesce, In, Between, NullIf)


def in_python(expr: Expr, row: dict[str, Any]) -> Any:
    """The value, which a first call and one of many must give alike."""
    first = _outcome(compile_python(expr), row)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "_FIRST_CALLS", 0)
        compiled = _outcome(compile_python(expr), row)
    assert repr(first) == repr(compiled), f"{expr!r} on {row!r}"
    return compiled


def _outcome(compute: Callable[[Any], Any], row: dict[str, Any]) -> Any:
    try:
        return compute(row)
    except ExpressionRangeError:
        return BEYOND


def is_lazy(expr: Expr) -> bool:
    """Whether some part is not computed for every row, so that its overflow need not show."""
    if isinstance(expr, LAZY) or (isinstance(expr, BinOp) and expr.op in "&|"):
        return True
    return any(is_lazy(child) for _, child in expr.children())


def agree(ours: Any, theirs: Any, lazy: bool) -> bool:
    """Overflow need not show where a part is not computed, or where another operand is null."""
    if (ours is BEYOND) is not (theirs is BEYOND):
        event("overflow that one of them does not come across")
        return lazy or ours is None or theirs is None
    return same(ours, theirs)
