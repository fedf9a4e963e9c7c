"""How choices and tests for null are written as SQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reactive.choices import Case, Coalesce, If, IsNull, NullIf
from reactive.operators import Expr
from reactive.sql_writer import Sql, Writer
from reactive.types import UNDECIDED, Type


def _if(writer: Writer, node: If, have: Type) -> Sql:
    return _branches(writer, ((node.condition, node.then),), node.otherwise, have)


def _case(writer: Writer, node: Case, have: Type) -> Sql:
    return _branches(writer, node.branches, node.default, have)


def _branches(
    writer: Writer, branches: tuple[tuple[Expr, Expr], ...], default: Expr, have: Type
) -> Sql:
    conditions = [writer.read(condition, Type.BOOL).text for condition, _ in branches]
    *values, otherwise = _choices(writer, [*(value for _, value in branches), default], have)
    whens = " ".join(
        f"WHEN {condition} THEN {value.text}"
        for condition, value in zip(conditions, values, strict=True)
    )
    return Sql(f"CASE {whens} ELSE {otherwise.text} END", loose=otherwise.loose)


def _choices(writer: Writer, nodes: list[Expr], have: Type) -> list[Sql]:
    """Return the values of a choice, all of them loose if the choice is."""
    values = [writer.read(node, have) for node in nodes]
    if all(value.text == "NULL" for value in values):
        values[0] = values[0].typed(have)
    # Among literals of text alone the choice is text already.
    loose = all(value.loose for value in values) and have is not Type.STR
    return [value._replace(loose=loose) for value in values]


def _coalesce(writer: Writer, node: Coalesce, have: Type) -> Sql:
    values = _choices(writer, list(node.args), have)
    return Sql(f"COALESCE({', '.join(value.text for value in values)})", loose=values[0].loose)


def _is_null(writer: Writer, node: IsNull, _have: Type) -> Sql:
    return Sql(writer.is_null(node.operand), atomic=False)


def _null_if(writer: Writer, node: NullIf, have: Type) -> Sql:
    if have in UNDECIDED:
        left, right = writer.all([node.operand, node.value], Type.JSON)
        value = writer.read(node.operand, have)
        return Sql(f"CASE WHEN {left.operand} = {right.operand} THEN NULL ELSE {value.text} END")
    left, right = writer.all([node.operand, node.value], have)
    return Sql(f"NULLIF({left.text}, {right.text})")


EMIT_CHOICES: dict[type[Expr], Callable[[Any, Any, Type], Sql]] = {
    If: _if,
    Case: _case,
    Coalesce: _coalesce,
    IsNull: _is_null,
    NullIf: _null_if,
}
