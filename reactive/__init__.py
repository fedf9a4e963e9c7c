"""Formulas that are written once and run in Python, PostgreSQL and Legend Pure.

from reactive import Field

pnl = (Field("current_price") - Field("avg_cost")) * Field("quantity")
pnl.eval({"current_price": 230.0, "avg_cost": 220.0, "quantity": 100})   # 1000.0
"""

from reactive.aggregate import Aggregate, weighted_mean
from reactive.errors import (
    AggregateError,
    ComputeError,
    CycleError,
    DuplicateNameError,
    ExpressionError,
    ExpressionFormatError,
    ExpressionRangeError,
    ExpressionTypeError,
    ExpressionValueError,
    FieldTypeError,
    GraphError,
    MembershipError,
    NotAnExpressionError,
    PersistError,
    ReactiveError,
    SideEffectError,
    SlowReaderError,
    TrackingError,
    UnknownNameError,
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
)
from reactive.graph import ReactiveGraph
from reactive.objects import computed, effect
from reactive.python_target import compile_positional, compile_python, python_source
from reactive.types import Column, ColumnTypes, FieldTypes, Type

__all__ = [
    "Aggregate",
    "AggregateError",
    "Between",
    "BinOp",
    "Case",
    "Cast",
    "Coalesce",
    "Column",
    "ColumnTypes",
    "ComputeError",
    "Const",
    "CycleError",
    "DatePart",
    "DuplicateNameError",
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
    "GraphError",
    "If",
    "In",
    "IsNull",
    "MembershipError",
    "NotAnExpressionError",
    "NullIf",
    "PersistError",
    "ReactiveError",
    "ReactiveGraph",
    "SideEffectError",
    "SlowReaderError",
    "StrOp",
    "Substring",
    "TrackingError",
    "Type",
    "UnaryOp",
    "UnknownNameError",
    "compile_positional",
    "compile_python",
    "computed",
    "effect",
    "python_source",
    "weighted_mean",
]
