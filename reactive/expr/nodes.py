"""The nodes of an expression: one class each, with what it is made of and what type it gives.

A new kind of node is a class here and in `NODES`, and a function in `python/nodes.py`,
`sql/nodes.py` and `pure/writer.py` that writes it; JSON and `repr` follow from the class. The test
`tests/reactive/expr/test_targets.py` names the target that lacks one.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any, ClassVar

from reactive.errors import ExpressionTypeError, ExpressionValueError, shown
from reactive.expr.base import describe
from reactive.expr.functions import CASTS, DATE_PARTS, FUNCTIONS, MAX_ROUND_DIGITS, TEXT_OPERATIONS
from reactive.expr.operators import Expr, as_expr, as_list
from reactive.expr.types import NUMERIC, ORDERED, TEMPORAL, Type, decided, require_declared

_BOOL = frozenset({Type.BOOL})
_STR = frozenset({Type.STR})
_UNARY_ALIASES = {"neg": "-", "not": "~"}
_BINARY_ALIASES = {"and": "&", "or": "|", "=": "==", "<>": "!="}
ARITHMETIC = ("+", "-", "*", "/", "%", "**")
EQUALITY = ("==", "!=")
ORDER = ("<", "<=", ">", ">=")
LOGIC = ("&", "|")
_COMPARISON_HINT = "compare values of one type, or convert one with .cast(...)"
_BRANCH_HINT = "all branches give one type; convert one with .cast(...)"
_TEXT_HINT = "convert it with .cast(str)"


# --- constants and fields ---------------------------------------------------------------------


class Const(Expr):
    """A constant: None, bool, int, float, Decimal, str, date or datetime."""

    parts = ("value",)
    value: Any

    def __init__(self, value: Any) -> None:
        value = _unwrapped(value)
        if value is None:
            self._set(Type.NULL, None)
            return
        for python_type, type_, plain in _CONSTANTS:
            if isinstance(value, python_type):
                self._set(type_, plain(value))
                return
        allowed = ", ".join(python_type.__name__ for python_type, *_ in _CONSTANTS)
        raise ExpressionTypeError(
            "Const", "value", f"None, {allowed}", f"{type(value).__name__} {shown(value)}"
        )

    @property
    def implied_type(self) -> Type:
        """Decimal for a whole number that no double holds, else the constant's own type."""
        if self.type is Type.INT and int(float(self.value)) != self.value:
            return Type.DECIMAL
        return self.type


def _unwrapped(value: Any) -> Any:
    """Return what is inside an enum member or a scalar of numpy."""
    if isinstance(value, enum.Enum):
        return _unwrapped(value.value)
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        return value.item()
    return value


# Each returns the plain type, since subclasses may print themselves as they like, and rejects what
# one of the targets could not hold.


def _number(plain: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        value = plain(value)
        try:
            as_float = float(value)
        except (OverflowError, ValueError):
            as_float = math.inf
        if not math.isfinite(as_float) or (value and not as_float):
            raise ExpressionValueError(
                f"{shown(value)} cannot be a constant: NaN, infinities and numbers outside the "
                "range of a double are not allowed"
            )
        return value

    return check


def _text(value: str) -> str:
    value = str.__str__(value)
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ExpressionValueError(
            f"the text {shown(value)} holds a NUL or half a surrogate pair; "
            "PostgreSQL cannot store either"
        )
    return value


def _instant(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ExpressionValueError(
            f"expected a datetime with a time zone, got {value!r}; "
            "give it one: value.replace(tzinfo=timezone.utc)"
        )
    try:
        utc = value.astimezone(timezone.utc)
    except OverflowError:
        raise ExpressionValueError(
            f"{value!r} cannot be a constant: in UTC it is outside of the years 1 to 9999"
        ) from None
    return datetime.combine(_day(utc), utc.time().replace(fold=0), timezone.utc)


def _day(value: date) -> date:
    return date(value.year, value.month, value.day)


_CONSTANTS: tuple[tuple[type, Type, Callable[[Any], Any]], ...] = (
    (bool, Type.BOOL, bool),
    (int, Type.INT, _number(int)),
    (float, Type.FLOAT, _number(float)),
    (Decimal, Type.DECIMAL, _number(Decimal)),
    (str, Type.STR, _text),
    (datetime, Type.DATETIME, _instant),
    (date, Type.DATE, _day),
)


class Field(Expr):
    """A field of the row, by name.

    Without a type it is read as its surroundings demand: as text next to text, as a double in
    arithmetic.
    """

    parts = ("name", "type")
    json_names: ClassVar[dict[str, str]] = {"type": "field_type"}
    name: str

    def __init__(self, name: str, type: Any = None) -> None:
        if not isinstance(name, str) or not name or not name.isprintable():
            raise ExpressionValueError(
                f"expected a field name, got {shown(name)}; give printable text that is not empty"
            )
        if len(name) > 4 and name.startswith("__") and name.endswith("__"):
            # Formulas may come from other systems; they read data, not the internals of objects.
            raise ExpressionValueError(
                f"expected a field name, got {name!r}; names of this form are reserved by Python"
            )
        declared = Type.ANY if type is None or type is Type.ANY else require_declared(type)
        self._set(declared, name, declared)
        self.__dict__["constant"] = False

    def fields(self) -> frozenset[str]:
        """Return the field's own name."""
        return frozenset({self.name})

    def _with_types(self, type_of: Callable[[str], Type | None]) -> Expr:
        known = type_of(self.name) if self.type is Type.ANY else None
        return Field(self.name, known) if known else self


# --- operators and functions ----------------------------------------------------------------------


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
            reads, gives = self._common(sides, _COMPARISON_HINT), Type.BOOL
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


# --- choices and nulls ----------------------------------------------------------------------------


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
    """Whether a value is null."""

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
        gives = self._common([("operand", operand), ("value", value)], _COMPARISON_HINT)
        self._set(gives, operand, value)


# --- membership, ranges and conversions -----------------------------------------------------------


class In(Expr):
    """Whether a value equals one of others; null where only a null stands in the way.

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
        reads = decided(self._common(children, _COMPARISON_HINT), Type.JSON)
        self._set(Type.BOOL, operand, values)
        self.__dict__["reads"] = reads


class Between(Expr):
    """Whether low <= operand <= high; `reads` is the type that they are compared as."""

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
        reads = decided(self._common(children, _COMPARISON_HINT))
        self._set(Type.BOOL, operand, low, high)
        self.__dict__["reads"] = reads


class Cast(Expr):
    """A value converted to another type; null where the text or number has no such value.

    Text is read as a number, a date or true/false; a number becomes whole by dropping its
    fraction. `reads` is the type that the operand is read as: of a field of undeclared type, a
    cast tells the type.
    """

    parts = ("operand", "type")
    json_names: ClassVar[dict[str, str]] = {"type": "to"}
    operand: Expr
    reads: Type

    def __init__(self, operand: Any, type: Any) -> None:
        operand, gives = as_expr(operand), require_declared(type)
        allowed = CASTS[gives]
        expected = " or ".join(sorted(t.words for t in allowed))
        self._require("operand", operand, allowed, f"{expected} to make {gives.words} of")
        self._set(gives, operand, gives)
        self.__dict__["reads"] = decided(operand.type, Type.DECIMAL if gives is Type.INT else gives)


# --- text and dates -------------------------------------------------------------------------------


class StrOp(Expr):
    """An operation on text, with a second text where it needs one."""

    parts = ("op", "operand", "arg")
    op: str
    operand: Expr
    arg: Expr | None

    def __init__(self, op: str, operand: Any, arg: Any = None) -> None:
        if not isinstance(op, str) or op not in TEXT_OPERATIONS:
            raise ExpressionValueError.unknown("text operation", op, list(TEXT_OPERATIONS))
        self.__dict__["op"] = op
        count, gives = TEXT_OPERATIONS[op]
        operand = as_expr(operand)
        self._require("operand", operand, _STR, "text", _TEXT_HINT)
        if count:
            arg = as_expr(arg)
            self._require("arg", arg, _STR, "text", _TEXT_HINT)
        elif arg is not None:
            raise ExpressionValueError(f"{op} takes no argument, given {shown(arg)}")
        self._set(gives, op, operand, arg)

    @property
    def label(self) -> str:
        """How messages name the node."""
        return self.op


class Substring(Expr):
    """Part of a text: `count` characters (None: all) from `start`, which counts from 0."""

    parts = ("operand", "start", "count")
    operand: Expr
    start: int
    count: int | None

    def __init__(self, operand: Any, start: int, count: int | None = None) -> None:
        operand = as_expr(operand)
        for name, number in (("start", start), ("count", 0 if count is None else count)):
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**30:
                raise ExpressionValueError(
                    f"substring: {name} is a whole number from 0 on, given {shown(number)}"
                )
        self._require("operand", operand, _STR, "text", _TEXT_HINT)
        self._set(Type.STR, operand, start, count)


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


NODES: tuple[type[Expr], ...] = (
    BinOp,
    UnaryOp,
    Func,
    If,
    Case,
    Coalesce,
    IsNull,
    NullIf,
    In,
    Between,
    Cast,
    StrOp,
    Substring,
    DatePart,
    Field,
    Const,
)
"""All kinds of nodes; each target writes every one of them."""
