"""Expressions: written once, the same in Python, PostgreSQL and Legend Pure.

pnl = (Field("current_price") - Field("avg_cost")) * Field("quantity")
assert pnl.eval({"current_price": 230.0, "avg_cost": 220.0, "quantity": 100}) == 1000.0
assert pnl.to_pure("$pos") == "(($pos.current_price - $pos.avg_cost) * $pos.quantity)"
assert from_json(pnl.to_json()).equals(pnl)
"""

from reactive.expr.json import from_json
from reactive.expr.nodes import (
    NODES,
    Between,
    BinOp,
    Case,
    Cast,
    Coalesce,
    Const,
    DatePart,
    Field,
    Func,
    If,
    In,
    IsNull,
    NullIf,
    StrOp,
    Substring,
    UnaryOp,
)
from reactive.expr.operators import Expr
from reactive.expr.python import compile_positional, compile_python, python_source
from reactive.expr.types import Column, ColumnTypes, FieldTypes, Type

__all__ = [
    "Between",
    "BinOp",
    "Case",
    "Cast",
    "Coalesce",
    "Column",
    "ColumnTypes",
    "Const",
    "DatePart",
    "Expr",
    "Field",
    "FieldTypes",
    "Func",
    "If",
    "In",
    "IsNull",
    "NullIf",
    "StrOp",
    "Substring",
    "Type",
    "UnaryOp",
    "compile_positional",
    "compile_python",
    "from_json",
    "python_source",
]

# Pickles name the module of a class. They say this one, so that files can move freely.
for _stored in (*NODES, Type):
    _stored.__module__ = __name__
