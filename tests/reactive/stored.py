"""Expressions, errors and objects as they were stored by the version before the sub-packages.

`stored.json` was written by that version, when every node class stood in a module of its own right
below `reactive`. Each entry is a name, the pickles of the value (base64, one for each protocol) and
its JSON. `python -m tests.reactive.stored PATH` writes such a file with the code at hand.
"""

from __future__ import annotations

import base64
import json
import pickle
import sys
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

from reactive import (
    Between,
    Case,
    Cast,
    Coalesce,
    Const,
    CycleError,
    DatePart,
    Explanation,
    Expr,
    ExpressionTypeError,
    Field,
    FieldTypeError,
    Func,
    If,
    In,
    IsNull,
    NullIf,
    ReactiveGraph,
    StrOp,
    Substring,
    Type,
    UnknownNameError,
    computed,
)

FILE = Path(__file__).with_name("stored.json")
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)

X, S = Field("x"), Field("s", str)

EXPRESSIONS: dict[str, Expr] = {
    "bin op": (X + 1) * Field("y", Decimal) - Decimal("0.10"),
    "logic": ((X > 1) & ~(Field("y") == "a")) | Field("active"),
    "unary op": -(X**2),
    "func": Func("max", [X, 0, Func("round", [X, 2])]),
    "if": If(X > 0, "up", "down"),
    "case": Case([(X > 2, "high"), (X > 1, "mid")], "low"),
    "coalesce": Coalesce([X, Field("y"), 0]),
    "is null": IsNull(X),
    "null if": NullIf(X, 0),
    "in": In(X, [1, 2.5, None]),
    "between": Between(Field("day", date), date(2026, 2, 1), date(2026, 2, 28)),
    "cast": Cast(X, int),
    "str op": StrOp("concat", S, StrOp("upper", Field("t"))),
    "substring": Substring(S, 3, 3),
    "date part": DatePart("weekday", Field("ts", datetime)),
    "constants": Coalesce([Const(None), Const(datetime(2026, 2, 22, 10, tzinfo=timezone.utc))]),
}


@dataclass
class Holding:
    """An object that is stored while a graph tracks it, as an argument of a workflow is."""

    price: float
    quantity: int

    @computed
    def value(self) -> float:
        return self.price * self.quantity


def tracked() -> Holding:
    holding = Holding(2.5, 4)
    ReactiveGraph().track(holding)
    return holding


OTHERS: dict[str, Any] = {
    "types": list(Type),
    "tracked object": tracked(),
    "explanation": Explanation("P-1.pnl", 1.0, "a - b", {"a": 2.0}, 3, "update of P-1.a"),
    "field type error": FieldTypeError("price", "a number (float)", "abc"),
    "expression type error": ExpressionTypeError("+", "left", "a number", "text", "cast it"),
    "cycle error": CycleError(["a", "b", "a"], "they depend on themselves"),
    "unknown name error": UnknownNameError("node", "P-9", "the graph", ["P-1"]),
}


def pickles(value: Any) -> list[str]:
    return [base64.b64encode(pickle.dumps(value, protocol)).decode() for protocol in PROTOCOLS]


def main() -> None:
    stored = {
        "expressions": {
            name: {"pickles": pickles(expr), "json": expr.to_json()}
            for name, expr in EXPRESSIONS.items()
        },
        "others": {name: {"pickles": pickles(value)} for name, value in OTHERS.items()},
    }
    Path(sys.argv[1]).write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    # Under its own name, so that pickles of `Holding` do not say `__main__`.
    import_module("tests.reactive.stored").main()
