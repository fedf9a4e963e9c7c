"""Expressions as formulas for people: what `repr` shows."""

from __future__ import annotations

from typing import Any

from reactive.expr.nodes import (
    BinOp,
    Cast,
    Const,
    DatePart,
    Field,
    Func,
    StrOp,
    Substring,
    UnaryOp,
)
from reactive.expr.operators import Expr
from reactive.expr.types import Type

# Python's own order, so that the formula reads as Python does.
_COMPARISON, _UNARY, _ATOM = 1, 6, 8
_BINDING = dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), _COMPARISON)
_BINDING |= {"|": 2, "&": 3, "+": 4, "-": 4, "*": 5, "/": 5, "%": 5, "**": 7}


def formula(expr: Expr) -> str:
    """Write the expression as a formula, with the parentheses that it needs."""
    return _write(expr)[0]


def _write(node: Any) -> tuple[str, int]:
    """Return the text and how tightly it binds."""
    if isinstance(node, Const):
        negative = node.type in (Type.INT, Type.FLOAT) and repr(node.value).startswith("-")
        return repr(node.value), _UNARY if negative else _ATOM
    if isinstance(node, Field):
        declared = "" if node.type is Type.ANY else f", {node.type.value}"
        bare = node.name.isidentifier() and not declared
        return node.name if bare else f"Field({node.name!r}{declared})", _ATOM
    if isinstance(node, BinOp):
        binding = _BINDING[node.op]
        # ** groups to the right; a comparison beside a comparison would read as a chain.
        left = binding + (node.op == "**" or binding == _COMPARISON)
        right = binding + (node.op != "**")
        return f"{_within(node.left, left)} {node.op} {_within(node.right, right)}", binding
    if isinstance(node, UnaryOp) and node.op != "abs":
        return f"{node.op}{_within(node.operand, _UNARY)}", _UNARY
    return _call(node), _ATOM


def _call(node: Any) -> str:
    if isinstance(node, Func):
        return f"{node.name}({_list(node.args)})"
    if isinstance(node, UnaryOp):
        return f"abs({_write(node.operand)[0]})"
    if isinstance(node, (StrOp, Substring, DatePart, Cast)):
        return f"{_within(node.operand, _ATOM)}.{_method(node)}"
    arguments: list[Any] = []
    for part in node.parts:
        arguments.append(getattr(node, part))  # noqa: PERF401 - fewer frames of a deep recursion
    return f"{node.label}({_list(arguments)})"


def _method(node: Any) -> str:
    if isinstance(node, Substring):
        return f"substring({node.start}{'' if node.count is None else f', {node.count}'})"
    if isinstance(node, DatePart):
        return f"{node.part}()"
    if isinstance(node, Cast):
        return f"cast({node.type.value})"
    return f"{node.op}({'' if node.arg is None else _write(node.arg)[0]})"


def _within(node: Expr, binding: int) -> str:
    text, own = _write(node)
    return text if own >= binding else f"({text})"


def _list(values: Any) -> str:
    texts = []
    for value in values:
        if isinstance(value, tuple):
            text = f"[{_list(value)}]"
        else:
            text = repr(value.value) if isinstance(value, Const) else _write(value)[0]
        texts.append(text)
    return ", ".join(texts)
