"""Nodes of text."""

from __future__ import annotations

from typing import Any

from reactive.errors import ExpressionValueError, shown
from reactive.operators import Expr, as_expr
from reactive.types import Type

_STR = frozenset({Type.STR})
_HINT = "convert it with .cast(str)"

_TEXT_OPS: dict[str, tuple[int, Type]] = {
    "length": (0, Type.INT),
    "upper": (0, Type.STR),
    "lower": (0, Type.STR),
    "trim": (0, Type.STR),
    "contains": (1, Type.BOOL),
    "starts_with": (1, Type.BOOL),
    "ends_with": (1, Type.BOOL),
    "concat": (1, Type.STR),
}


class StrOp(Expr):
    """An operation on text, with a second text where it needs one."""

    parts = ("op", "operand", "arg")
    op: str
    operand: Expr
    arg: Expr | None

    def __init__(self, op: str, operand: Any, arg: Any = None) -> None:
        if not isinstance(op, str) or op not in _TEXT_OPS:
            raise ExpressionValueError.unknown("text operation", op, list(_TEXT_OPS))
        self.__dict__["op"] = op
        count, gives = _TEXT_OPS[op]
        operand = as_expr(operand)
        self._require("operand", operand, _STR, "text", _HINT)
        if count:
            arg = as_expr(arg)
            self._require("arg", arg, _STR, "text", _HINT)
        elif arg is not None:
            raise ExpressionValueError(f"{op} takes no argument, given {shown(arg)}")
        self._set(gives, op, operand, arg)

    @property
    def label(self) -> str:
        """How messages name the node."""
        return self.op


class Substring(Expr):
    """Part of a text: `count` characters (None: all) from `start`, which counts from 0."""

    parts = ("operand", "start", "count")
    operand: Expr
    start: int
    count: int | None

    def __init__(self, operand: Any, start: int, count: int | None = None) -> None:
        operand = as_expr(operand)
        for name, number in (("start", start), ("count", 0 if count is None else count)):
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**30:
                raise ExpressionValueError(
                    f"substring: {name} is a whole number from 0 on, given {shown(number)}"
                )
        self._require("operand", operand, _STR, "text", _HINT)
        self._set(Type.STR, operand, start, count)
