"""Formulas that are written once and run in Python, PostgreSQL and Legend Pure.

from reactive import Field

pnl = (Field("current_price") - Field("avg_cost")) * Field("quantity")
pnl.eval({"current_price": 230.0, "avg_cost": 220.0, "quantity": 100})   # 1000.0
"""

from reactive.errors import (
    ExpressionError,
    ExpressionFormatError,
    ExpressionRangeError,
    ExpressionTypeError,
    ExpressionValueError,
    FieldTypeError,
    ReactiveError,
)
from reactive.expr import (
    Between,
    BinOp,
    Case,
    Cast,
    Coalesce,
    Const,
    DatePart,
    Expr,
    Field,
    Func,
    If,
    In,
    IsNull,
    NullIf,
    StrOp,
    Substring,
    UnaryOp,
    from_json,
)
from reactive.python_target import compile_positional, compile_python, python_source
from reactive.types import Column, ColumnTypes, FieldTypes, Type

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
    "ExpressionError",
    "ExpressionFormatError",
    "ExpressionRangeError",
    "ExpressionTypeError",
    "ExpressionValueError",
    "Field",
    "FieldTypeError",
    "FieldTypes",
    "Func",
    "If",
    "In",
    "IsNull",
    "NullIf",
    "ReactiveError",
    "StrOp",
    "Substring",
    "Type",
    "UnaryOp",
    "compile_positional",
    "compile_python",
    "from_json",
    "python_source",
]
