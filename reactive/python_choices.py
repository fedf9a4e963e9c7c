"""How choices and tests for null are written as Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reactive.choices import Case, Coalesce, If, IsNull, NullIf
from reactive.operators import Expr
from reactive.python_writer import Value, Writer
from reactive.types import UNDECIDED, Type, decided


def _condition(writer: Writer, node: Expr) -> str:
    """Return the Python condition that holds where the node is true, neither false nor null."""
    value = writer.read(node, Type.BOOL)
    if value.atom:
        return value.text
    return " and ".join([*(f"{leaf} is not None" for leaf in value.leaves), value.text])


def _assign(writer: Writer, result: str, node: Expr, have: Type) -> bool:
    """Assign the node's value; tell whether it may be None."""
    value = writer.settle(writer.read(node, have))
    writer.line(f"{result} = {value.text}")
    return bool(value.leaves)


def _if(writer: Writer, node: If, have: Type) -> Value:
    branches = [(node.condition, node.then)]
    default = node.otherwise
    while isinstance(default, If) and default.type in (node.type, *UNDECIDED):
        branches.append((default.condition, default.then))
        default = default.otherwise
    return _branches(writer, branches, default, have)


def _case(writer: Writer, node: Case, have: Type) -> Value:
    return _branches(writer, list(node.branches), node.default, have)


def _branches(
    writer: Writer, branches: list[tuple[Expr, Expr]], default: Expr, have: Type
) -> Value:
    result = writer.variable()
    if len(branches) == 1:
        with writer.block(f"if {_condition(writer, branches[0][0])}:"):
            nullable = _assign(writer, result, branches[0][1], have)
        with writer.block("else:"):
            nullable |= _assign(writer, result, default, have)
        return Value(result, (result,) if nullable else (), atom=True)
    # A loop that runs once keeps many branches at one depth, each computed when reached.
    nullable = False
    with writer.block("while True:"):
        for condition, value in branches:
            with writer.block(f"if {_condition(writer, condition)}:"):
                nullable |= _assign(writer, result, value, have)
                writer.line("break")
        nullable |= _assign(writer, result, default, have)
        writer.line("break")
    return Value(result, (result,) if nullable else (), atom=True)


def _coalesce(writer: Writer, node: Coalesce, have: Type) -> Value:
    result = writer.variable()
    nullable = _assign(writer, result, node.args[0], have)
    for arg in node.args[1:]:
        if not nullable:
            break
        with writer.block(f"if {result} is None:"):
            nullable = _assign(writer, result, arg, have)
    return Value(result, (result,) if nullable else (), atom=True)


def _is_null(writer: Writer, node: IsNull, _have: Type) -> Value:
    value = writer.settle(writer.read(node.operand, node.operand.type))
    return Value(f"({value.text} is None)") if value.leaves else Value("False", atom=True)


def _null_if(writer: Writer, node: NullIf, have: Type) -> Value:
    compare = decided(have, Type.JSON)
    left = writer.settle(writer.read(node.operand, compare))
    right = writer.settle(writer.read(node.value, compare))
    value = left if compare is have else writer.settle(writer.read(node.operand, have))
    return writer.partial(f"None if {left.text} == {right.text} else {value.text}", left.leaves)


EMIT_CHOICES: dict[type[Expr], Callable[[Any, Any, Type], Value]] = {
    If: _if,
    Case: _case,
    Coalesce: _coalesce,
    IsNull: _is_null,
    NullIf: _null_if,
}
