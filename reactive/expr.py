"""The nodes of an expression, and the operators that build them.

An expression is written once and means the same in Python (`eval`), PostgreSQL (`to_sql`) and
Legend Pure (`to_pure`); `docs/expressions.md` says what each operation means.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from reactive.choices import COMPARISON_HINT, Case, Coalesce, If, IsNull, NullIf
from reactive.errors import ExpressionTypeError, ExpressionValueError, shown
from reactive.functions import CASTS, DATE_PARTS, FUNCTIONS, MAX_ROUND_DIGITS
from reactive.leaves import Const, Field
from reactive.node import describe
from reactive.operators import Expr, as_expr, as_list
from reactive.text import StrOp, Substring
from reactive.types import NUMERIC, ORDERED, TEMPORAL, Type, decided, require_declared

__all__ = [
    "Between",
    "BinOp",
    "Case",
    "Cast",
    "Coalesce",
    "Const",
    "DatePart",
    "Expr",
    "Field",
    "Func",
    "If",
    "In",
    "IsNull",
    "NullIf",
    "StrOp",
    "Substring",
    "UnaryOp",
    "from_json",
]

_BOOL = frozenset({Type.BOOL})
_UNARY_ALIASES = {"neg": "-", "not": "~"}
_BINARY_ALIASES = {"and": "&", "or": "|", "=": "==", "<>": "!="}
ARITHMETIC = ("+", "-", "*", "/", "%", "**")
EQUALITY = ("==", "!=")
ORDER = ("<", "<=", ">", ">=")
LOGIC = ("&", "|")


class BinOp(Expr):
    """An operation on two values: arithmetic, comparison, `&` or `|`.

    `reads` is the type that both operands are read as.
    """

    parts = ("op", "left", "right")
    op: str
    left: Expr
    right: Expr
    reads: Type

    def __init__(self, op: str, left: Any, right: Any) -> None:
        op = _BINARY_ALIASES.get(op, op) if isinstance(op, str) else op
        self.__dict__["op"] = op
        left, right = as_expr(left), as_expr(right)
        sides = [("left", left), ("right", right)]
        if op in ARITHMETIC:
            hint = "join text with .concat(...)" if op == "+" else ""
            if op == "-" and {left.type, right.type} & TEMPORAL:
                hint = 'Func("days_between", [earlier, later]) counts days between dates'
            for path, side in sides:
                self._require(path, side, NUMERIC, "a number", hint)
            reads = Type.FLOAT if op in ("/", "**") else decided(self._common(sides))
            gives = reads
        elif op in EQUALITY or op in ORDER:
            reads, gives = self._common(sides, COMPARISON_HINT), Type.BOOL
            reads = decided(reads, Type.FLOAT if op in ORDER else Type.JSON)
            if op in ORDER:
                for path, side in sides:
                    self._require(path, side, ORDERED, "values that have an order")
        elif op in LOGIC:
            for path, side in sides:
                self._require(path, side, _BOOL, "a condition")
            reads = gives = Type.BOOL
        else:
            raise ExpressionValueError.unknown(
                "operator", op, [*ARITHMETIC, *EQUALITY, *ORDER, *LOGIC]
            )
        self._set(gives, op, left, right)
        self.__dict__["reads"] = reads

    @property
    def label(self) -> str:
        """How messages name the node."""
        return self.op


class UnaryOp(Expr):
    """An operation on one value: `-` or `~` (`abs` is read as the function)."""

    parts = ("op", "operand")
    op: str
    operand: Expr

    def __init__(self, op: str, operand: Any) -> None:
        op = _UNARY_ALIASES.get(op, op) if isinstance(op, str) else op
        self.__dict__["op"] = op
        operand = as_expr(operand)
        if op in ("-", "abs"):
            self._require("operand", operand, NUMERIC, "a number")
            gives = decided(operand.type)
        elif op == "~":
            self._require("operand", operand, _BOOL, "a condition")
            gives = Type.BOOL
        else:
            raise ExpressionValueError.unknown("operator", op, ["-", "~", "abs"])
        self._set(gives, op, operand)

    @property
    def label(self) -> str:
        """How messages name the node."""
        return self.op


class Func(Expr):
    """A function of numbers, or the least or greatest of values; `functions.py` lists them.

    `reads` is the type that the arguments are read as.
    """

    parts = ("name", "args")
    name: str
    args: tuple[Expr, ...]
    reads: Type

    def __init__(self, name: str, args: Sequence[Any]) -> None:
        signature = FUNCTIONS.get(name) if isinstance(name, str) else None
        if signature is None:
            raise ExpressionValueError.unknown("function", name, list(FUNCTIONS))
        self.__dict__["name"] = name
        args = as_list(self, "args", args)
        if not signature.least <= len(args) <= (signature.most or len(args)):
            raise ExpressionValueError(
                f"{name} takes {signature.arity}, given {len(args)}: {shown(list(args))}"
            )
        children = [(f"args[{index}]", arg) for index, arg in enumerate(args)]
        if name == "round":
            _check_digits(args[1:])
            children = children[:1]
        for path, arg in children:
            self._require(path, arg, signature.allowed, signature.expected)
        reads = signature.reads or decided(self._common(children))
        self._set(signature.gives or reads, name, args)
        self.__dict__["reads"] = reads

    @property
    def label(self) -> str:
        """How messages name the node."""
        return self.name

    @property
    def digits(self) -> int:
        """The decimal places of `round`."""
        digits = self.args[1] if len(self.args) > 1 else None
        return digits.value if isinstance(digits, Const) else 0


class In(Expr):
    """Tell whether a value equals one of others; null where only a null stands in the way.

    `reads` is the type that they are compared as. Nothing is in an empty list, not even null.
    """

    parts = ("operand", "values")
    operand: Expr
    values: tuple[Expr, ...]
    reads: Type

    def __init__(self, operand: Any, values: Iterable[Any]) -> None:
        operand = as_expr(operand)
        values = as_list(self, "values", values)
        children = [
            ("operand", operand),
            *((f"values[{i}]", value) for i, value in enumerate(values)),
        ]
        reads = decided(self._common(children, COMPARISON_HINT), Type.JSON)
        self._set(Type.BOOL, operand, values)
        self.__dict__["reads"] = reads


class Between(Expr):
    """Tell whether low <= operand <= high; `reads` is the type that they are compared as."""

    parts = ("operand", "low", "high")
    operand: Expr
    low: Expr
    high: Expr
    reads: Type

    def __init__(self, operand: Any, low: Any, high: Any) -> None:
        operand, low, high = as_expr(operand), as_expr(low), as_expr(high)
        children = [("operand", operand), ("low", low), ("high", high)]
        for path, child in children:
            self._require(path, child, ORDERED, "values that have an order")
        reads = decided(self._common(children, COMPARISON_HINT))
        self._set(Type.BOOL, operand, low, high)
        self.__dict__["reads"] = reads


class Cast(Expr):
    """A value converted to another type; null where the text or number has no such value.

    Text is read as a number, a date or true/false; a number becomes whole by dropping its
    fraction. `reads` is the type that the operand is read as: of a field of undeclared type, a
    cast tells the type.
    """

    parts = ("operand", "type")
    operand: Expr
    reads: Type

    def __init__(self, operand: Any, type: Any) -> None:
        operand, gives = as_expr(operand), require_declared(type)
        allowed = CASTS[gives]
        expected = " or ".join(sorted(t.words for t in allowed))
        self._require("operand", operand, allowed, f"{expected} to make {gives.words} of")
        self._set(gives, operand, gives)
        self.__dict__["reads"] = decided(operand.type, Type.DECIMAL if gives is Type.INT else gives)


class DatePart(Expr):
    """The year, quarter, month, day, weekday, hour, minute or second of a date or datetime, in UTC.

    `reads` is the type that the operand is read as; a field of undeclared type is read as a
    datetime.
    """

    parts = ("part", "operand")
    part: str
    operand: Expr
    reads: Type

    def __init__(self, part: str, operand: Any) -> None:
        if not isinstance(part, str) or part not in DATE_PARTS:
            raise ExpressionValueError.unknown("date part", part, list(DATE_PARTS))
        self.__dict__["part"] = part
        operand = as_expr(operand)
        expected = " or ".join(sorted(t.words for t in DATE_PARTS[part]))
        self._require("operand", operand, DATE_PARTS[part], expected)
        self._set(Type.INT, part, operand)
        self.__dict__["reads"] = decided(operand.type, Type.DATETIME)

    @property
    def label(self) -> str:
        """How messages name the node."""
        return self.part


def _check_digits(digits: tuple[Expr, ...]) -> None:
    for digit in digits:
        number = digit.value if isinstance(digit, Const) and digit.type is Type.INT else None
        if number is None or abs(number) > MAX_ROUND_DIGITS:
            raise ExpressionTypeError(
                "round",
                "args[1]",
                f"a whole constant from -{MAX_ROUND_DIGITS} to {MAX_ROUND_DIGITS}",
                describe(digit),
            )


def from_json(data: Any) -> Expr:
    """Build the expression that `to_json` gave; `ExpressionFormatError` for anything else."""
    from reactive.json_format import from_json as read  # noqa: PLC0415

    return read(data)
