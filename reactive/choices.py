"""Nodes that choose among values: conditions and nulls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reactive.errors import ExpressionTypeError, ExpressionValueError, shown
from reactive.operators import Expr, as_expr, as_list
from reactive.types import Type

COMPARISON_HINT = "compare values of one type, or convert one with .cast(...)"
_BOOL = frozenset({Type.BOOL})


class If(Expr):
    """One of two values; a condition that is null counts as false."""

    parts = ("condition", "then", "otherwise")
    condition: Expr
    then: Expr
    otherwise: Expr

    def __init__(self, condition: Any, then: Any, otherwise: Any) -> None:
        condition, then, otherwise = as_expr(condition), as_expr(then), as_expr(otherwise)
        self._require("condition", condition, _BOOL, "a condition")
        gives = self._common([("then", then), ("otherwise", otherwise)], _BRANCH_HINT)
        self._set(gives, condition, then, otherwise)


_BRANCH_HINT = "all branches give one type; convert one with .cast(...)"


class Case(Expr):
    """The value of the first condition that holds: `Case([(condition, value), ...], default)`."""

    parts = ("branches", "default")
    branches: tuple[tuple[Expr, Expr], ...]
    default: Expr

    def __init__(self, branches: Sequence[tuple[Any, Any]], default: Any = None) -> None:
        pairs = []
        for index, pair in enumerate(branches):
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise ExpressionTypeError(
                    "Case", f"branches[{index}]", "a pair (condition, value)", f"{shown(pair)}"
                )
            pairs.append((as_expr(pair[0]), as_expr(pair[1])))
        if not pairs:
            raise ExpressionValueError(
                "Case takes at least one branch: Case([(condition, value)], default)"
            )
        default = as_expr(default)
        for index, (condition, _) in enumerate(pairs):
            self._require(f"branches[{index}][0]", condition, _BOOL, "a condition")
        values = [(f"branches[{index}][1]", value) for index, (_, value) in enumerate(pairs)]
        self._set(
            self._common([*values, ("default", default)], _BRANCH_HINT), tuple(pairs), default
        )


class Coalesce(Expr):
    """The first value that is not null."""

    parts = ("args",)
    args: tuple[Expr, ...]

    def __init__(self, args: Sequence[Any]) -> None:
        args = as_list(self, "args", args)
        if not args:
            raise ExpressionValueError(
                "Coalesce takes at least one value: Coalesce([first, second])"
            )
        children = [(f"args[{index}]", arg) for index, arg in enumerate(args)]
        self._set(self._common(children, _BRANCH_HINT), args)


class IsNull(Expr):
    """Tell whether a value is null."""

    parts = ("operand",)
    operand: Expr

    def __init__(self, operand: Any) -> None:
        self._set(Type.BOOL, as_expr(operand))


class NullIf(Expr):
    """Null where the operand equals the value, else the operand."""

    parts = ("operand", "value")
    operand: Expr
    value: Expr

    def __init__(self, operand: Any, value: Any) -> None:
        operand, value = as_expr(operand), as_expr(value)
        gives = self._common([("operand", operand), ("value", value)], COMPARISON_HINT)
        self._set(gives, operand, value)
