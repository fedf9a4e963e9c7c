"""Formulas that run in Python, PostgreSQL and Legend Pure, and a graph that keeps them up to date.

pnl = (Field("current_price") - Field("avg_cost")) * Field("quantity")
graph = ReactiveGraph()
node_id = graph.track(position)
graph.computed(node_id, "pnl", pnl)
graph.effect(node_id, "pnl", lambda name, value: print(name, value))
"""

from reactive.aggregate import Aggregate, weighted_mean
from reactive.bridge import PersistEffect, auto_persist_effect
from reactive.effect import Effect
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
from reactive.explain import Explanation
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
from reactive.graph import ReactiveGraph
from reactive.objects import computed, effect
from reactive.python_target import compile_positional, compile_python, python_source
from reactive.types import Column, ColumnTypes, FieldTypes, Type
from reactive.watch import Watch

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
    "Effect",
    "Explanation",
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
    "PersistEffect",
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
    "Watch",
    "auto_persist_effect",
    "compile_positional",
    "compile_python",
    "computed",
    "effect",
    "from_json",
    "python_source",
    "weighted_mean",
]
