"""The nodes of an expression and the operators that build them.

An expression is written once and means the same in Python (`eval`), PostgreSQL (`to_sql`) and Legend Pure
(`to_pure`); `docs/expressions.md` says what each operation means.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any, NoReturn

from reactive.errors import ExpressionTypeError, ExpressionValueError
from reactive.functions import CASTS, DATE_PARTS, FUNCTIONS, MAX_ROUND_DIGITS
from reactive.node import Node, describe
from reactive.types import (
    NUMERIC,
    ORDERED,
    TEMPORAL,
    UNDECIDED,
    FieldTypes,
    Type,
    field_types,
    require_declared,
)

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
_TEXT = frozenset({Type.STR})


class Expr(Node):
    """A formula over the fields of a row; building one computes nothing."""

    # --- the targets: each is a module of its own, which imports the nodes -------------------------------

    def eval(self, ctx: Any) -> Any:
        """Compute the value for a row: a mapping of field values, or an object that has them as attributes.

        A missing field is null (None). Raises `FieldTypeError` where a field holds a value of another type
        than the formula reads, `ExpressionRangeError` where a result is beyond a double.
        """
        from reactive.python_target import compile_python  # noqa: PLC0415

        compiled = compile_python(self, like=ctx)
        # From now on the compiled function stands in for this method.
        self.__dict__["eval"] = compiled
        return compiled(ctx)

    def to_sql(self, col: str = "data", **options: Any) -> str:
        """Return the expression as PostgreSQL over a JSONB column.

        `as_type=bool` gives a condition where the expression is a bare field; `strict=True` makes fields
        of another type raise; see `sql_target.to_sql`. Numbers come out as double precision or numeric.
        """
        from reactive.sql_target import to_sql  # noqa: PLC0415

        return to_sql(self, col, **options)

    def to_sql_params(self, col: str = "data", **options: Any) -> tuple[str, list[Any]]:
        """Return SQL with `%s` for every constant, and the list of their values, as psycopg takes them."""
        from reactive.sql_target import to_sql_params  # noqa: PLC0415

        return to_sql_params(self, col, **options)

    def to_pure(self, var: str = "$row", *, null_safe: bool = False) -> str:
        """Return the expression as Legend Pure.

        The plain text is for fields that are present; the null-safe one means what `eval` means on every row.
        """
        from reactive.pure_target import to_pure  # noqa: PLC0415

        return to_pure(self, var, null_safe=null_safe)

    def to_json(self) -> dict[str, Any]:
        """Return the expression as plain data for JSON, with a version; `from_json` reads it."""
        from reactive.json_format import to_json  # noqa: PLC0415

        return to_json(self)

    # --- structure ------------------------------------------------------------------------------------------

    def fields(self) -> frozenset[str]:
        """Return the names of the fields that the expression reads."""
        if isinstance(self, Field):
            return frozenset({self.name})
        return frozenset().union(*(child.fields() for _, child in self.children()))

    def typed(self, types: FieldTypes) -> Expr:
        """Return the expression with the types of its fields taken from `types`, and checked against them.

        `types` is a dataclass, a mapping of names to Python types, or a catalogue of columns such as the
        store's registry. Fields that it does not know, and fields with a type of their own, stay as they are.
        """
        return _typed(self, field_types(types))

    def __repr__(self) -> str:
        from reactive.formula import formula  # noqa: PLC0415

        return formula(self)

    # --- operators ------------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> BinOp:
        return BinOp("+", self, other)

    def __radd__(self, other: Any) -> BinOp:
        return BinOp("+", other, self)

    def __sub__(self, other: Any) -> BinOp:
        return BinOp("-", self, other)

    def __rsub__(self, other: Any) -> BinOp:
        return BinOp("-", other, self)

    def __mul__(self, other: Any) -> BinOp:
        return BinOp("*", self, other)

    def __rmul__(self, other: Any) -> BinOp:
        return BinOp("*", other, self)

    def __truediv__(self, other: Any) -> BinOp:
        return BinOp("/", self, other)

    def __rtruediv__(self, other: Any) -> BinOp:
        return BinOp("/", other, self)

    def __mod__(self, other: Any) -> BinOp:
        return BinOp("%", self, other)

    def __rmod__(self, other: Any) -> BinOp:
        return BinOp("%", other, self)

    def __pow__(self, other: Any) -> BinOp:
        return BinOp("**", self, other)

    def __rpow__(self, other: Any) -> BinOp:
        return BinOp("**", other, self)

    def __eq__(self, other: object) -> BinOp:  # type: ignore[override]
        return BinOp("==", self, other)

    def __ne__(self, other: object) -> BinOp:  # type: ignore[override]
        return BinOp("!=", self, other)

    def __lt__(self, other: Any) -> BinOp:
        return BinOp("<", self, other)

    def __le__(self, other: Any) -> BinOp:
        return BinOp("<=", self, other)

    def __gt__(self, other: Any) -> BinOp:
        return BinOp(">", self, other)

    def __ge__(self, other: Any) -> BinOp:
        return BinOp(">=", self, other)

    # Defining __eq__ would otherwise take the hash away.
    __hash__ = Node.__hash__

    def __and__(self, other: Any) -> BinOp:
        return BinOp("&", self, other)

    def __rand__(self, other: Any) -> BinOp:
        return BinOp("&", other, self)

    def __or__(self, other: Any) -> BinOp:
        return BinOp("|", self, other)

    def __ror__(self, other: Any) -> BinOp:
        return BinOp("|", other, self)

    def __invert__(self) -> UnaryOp:
        return UnaryOp("~", self)

    def __neg__(self) -> UnaryOp:
        return UnaryOp("-", self)

    def __pos__(self) -> Expr:
        self._require("operand", self, NUMERIC, "a number")
        return self

    def __abs__(self) -> Func:
        return Func("abs", [self])

    def __round__(self, digits: int | None = None) -> Func:
        return Func("round", [self] if digits is None else [self, digits])

    def __ceil__(self) -> Func:
        return Func("ceil", [self])

    def __floor__(self) -> Func:
        return Func("floor", [self])

    def __bool__(self) -> NoReturn:
        raise ExpressionTypeError(
            self.label,
            "",
            "an operation of expressions",
            f"`and`, `or`, `not`, `if`, `in` or a chained comparison on {self!r}",
            "use & for and, | for or, ~ for not (with parentheses around comparisons), "
            "If(...) for if, .is_in(...) for in, .between(low, high) for a chain",
        )

    def __contains__(self, item: object) -> NoReturn:
        bool(self)
        raise AssertionError("unreachable")

    __iter__ = None

    # --- text -----------------------------------------------------------------------------------------------

    def length(self) -> StrOp:
        """Count the characters (code points)."""
        return StrOp("length", self)

    def upper(self) -> StrOp:
        """Turn a-z into A-Z and leave all else, whatever the database's locale."""
        return StrOp("upper", self)

    def lower(self) -> StrOp:
        """Turn A-Z into a-z and leave all else, whatever the database's locale."""
        return StrOp("lower", self)

    def trim(self) -> StrOp:
        r"""Drop blanks and \\t \\n \\v \\f \\r from both ends."""
        return StrOp("trim", self)

    def contains(self, text: Any) -> StrOp:
        """Tell whether the text occurs inside; `%` and `_` mean themselves."""
        return StrOp("contains", self, text)

    def starts_with(self, text: Any) -> StrOp:
        """Tell whether this begins with the text."""
        return StrOp("starts_with", self, text)

    def ends_with(self, text: Any) -> StrOp:
        """Tell whether this ends with the text."""
        return StrOp("ends_with", self, text)

    def concat(self, text: Any) -> StrOp:
        """Append the text; null if one of the two is null."""
        return StrOp("concat", self, text)

    def substring(self, start: int, count: int | None = None) -> Substring:
        """Take `count` characters (all, if None) from position `start`, which counts from 0."""
        return Substring(self, start, count)

    # --- nulls, choice, types -----------------------------------------------------------------------------

    def is_null(self) -> IsNull:
        """Tell whether the value is null; never null itself."""
        return IsNull(self)

    def null_if(self, value: Any) -> NullIf:
        """Give null where this equals the value, else this."""
        return NullIf(self, value)

    def is_in(self, values: Iterable[Any]) -> In:
        """Tell whether this equals one of the values."""
        return In(self, values)

    def between(self, low: Any, high: Any) -> Between:
        """Tell whether low <= this <= high."""
        return Between(self, low, high)

    def cast(self, type: Any) -> Cast:
        """Convert to int, float, Decimal, str, bool, date or datetime; null where there is no value."""
        return Cast(self, type)

    # --- dates, in UTC ----------------------------------------------------------------------------------------

    def year(self) -> DatePart:
        """Year of a date or datetime."""
        return DatePart("year", self)

    def quarter(self) -> DatePart:
        """Quarter, 1 to 4."""
        return DatePart("quarter", self)

    def month(self) -> DatePart:
        """Month, 1 to 12."""
        return DatePart("month", self)

    def day(self) -> DatePart:
        """Day of the month."""
        return DatePart("day", self)

    def weekday(self) -> DatePart:
        """Day of the week, Monday 1 to Sunday 7."""
        return DatePart("weekday", self)

    def hour(self) -> DatePart:
        """Hour of a datetime."""
        return DatePart("hour", self)

    def minute(self) -> DatePart:
        """Minute of a datetime."""
        return DatePart("minute", self)

    def second(self) -> DatePart:
        """Whole second of a datetime."""
        return DatePart("second", self)


def from_json(data: Any) -> Expr:
    """Build the expression that `to_json` gave; raises `ExpressionFormatError` for anything else."""
    from reactive.json_format import from_json as read  # noqa: PLC0415

    return read(data)


def as_expr(value: Any) -> Expr:
    """Return the value as an expression: itself, or a constant."""
    return value if isinstance(value, Expr) else Const(value)


class Const(Expr):
    """A constant: None, bool, int, float, Decimal, str, date or datetime."""

    parts = ("value",)
    value: Any

    def __init__(self, value: Any) -> None:
        value = _plain(value)
        if value is None:
            self._set(Type.NULL, None)
            return
        for python_type, type_ in _CONSTANTS:
            if isinstance(value, python_type):
                # Drops subclasses, which may print themselves as they like.
                self._set(type_, _checked(python_type, value))
                return
        allowed = ", ".join(python_type.__name__ for python_type, _ in _CONSTANTS)
        raise ExpressionTypeError(
            "Const", "value", f"None, {allowed}", f"{type(value).__name__} {value!r:.60}"
        )

    @property
    def company(self) -> Type:
        """A whole number that no double holds makes an undeclared field exact."""
        if self.type is Type.INT and int(float(self.value)) != self.value:
            return Type.DECIMAL
        return self.type


_CONSTANTS: tuple[tuple[type, Type], ...] = (
    (bool, Type.BOOL),
    (int, Type.INT),
    (float, Type.FLOAT),
    (Decimal, Type.DECIMAL),
    (str, Type.STR),
    (datetime, Type.DATETIME),
    (date, Type.DATE),
)


def _plain(value: Any) -> Any:
    """Unwrap an enum member and a scalar of numpy."""
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        return value.item()
    return value


def _checked(python_type: type, value: Any) -> Any:
    """Return the constant as its plain type; refuse what a target could not hold."""
    if python_type is str:
        value = str.__str__(value)
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise ExpressionValueError(
                f"the text {value!r:.60} holds a NUL or half a surrogate pair, which PostgreSQL cannot store"
            )
        return value
    if python_type is datetime:
        if value.tzinfo is None:
            raise ExpressionValueError(
                f"{value!r} has no time zone, so it is no instant; "
                "give it one: value.replace(tzinfo=timezone.utc)"
            )
        return value.astimezone(timezone.utc)
    if python_type in (int, float, Decimal):
        value = python_type(value)
        try:
            finite = math.isfinite(float(value))
        except (OverflowError, ValueError):
            finite = False
        if not finite:
            raise ExpressionValueError(
                f"{value!r:.60} is no constant: NaN, infinities and numbers beyond a double are refused"
            )
    return value


class Field(Expr):
    """A field of the row, by name.

    Without a type it is read as its surroundings demand: as text next to text, as a double in arithmetic.
    """

    parts = ("name", "type")
    name: str

    def __init__(self, name: str, type: Any = None) -> None:
        if not isinstance(name, str) or not name or "\0" in name or not name.isprintable():
            raise ExpressionValueError(
                f"{name!r:.60} is no field name: give printable text, at least one character"
            )
        declared = Type.ANY if type is None or type is Type.ANY else require_declared(type)
        self._set(declared, name, declared)
        self.__dict__["constant"] = False


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
        op = _BINARY_ALIASES.get(op, op)
        self.__dict__["op"] = op
        left, right = as_expr(left), as_expr(right)
        sides = [("left", left), ("right", right)]
        if op in ARITHMETIC:
            hint = "join text with .concat(...)" if op == "+" else ""
            if op == "-" and {left.type, right.type} & TEMPORAL:
                hint = 'Func("days_between", [earlier, later]) counts days between dates'
            for path, side in sides:
                self._require(path, side, NUMERIC, "a number", hint)
            reads = Type.FLOAT if op in ("/", "**") else _decided(self._common(sides))
            gives = reads
        elif op in EQUALITY or op in ORDER:
            reads, gives = self._common(sides, _COMPARISON_HINT), Type.BOOL
            reads = _decided(reads, Type.FLOAT if op in ORDER else Type.JSON)
            if op in ORDER:
                for path, side in sides:
                    self._require(path, side, ORDERED, "values that have an order")
        elif op in LOGIC:
            for path, side in sides:
                self._require(path, side, _BOOL, "a condition")
            reads = gives = Type.BOOL
        else:
            raise _unknown("operator", op, [*ARITHMETIC, *EQUALITY, *ORDER, *LOGIC])
        self._set(gives, op, left, right)
        self.__dict__["reads"] = reads

    @property
    def label(self) -> str:
        """How messages name the node."""
        return self.op


_COMPARISON_HINT = "compare values of one type, or convert one with .cast(...)"


class UnaryOp(Expr):
    """An operation on one value: `-` or `~` (`abs` is read as the function)."""

    parts = ("op", "operand")
    op: str
    operand: Expr

    def __init__(self, op: str, operand: Any) -> None:
        op = {"neg": "-", "not": "~"}.get(op, op)
        self.__dict__["op"] = op
        operand = as_expr(operand)
        if op in ("-", "abs"):
            self._require("operand", operand, NUMERIC, "a number")
            gives = _decided(operand.type)
        elif op == "~":
            self._require("operand", operand, _BOOL, "a condition")
            gives = Type.BOOL
        else:
            raise _unknown("operator", op, ["-", "~", "abs"])
        self._set(gives, op, operand)

    @property
    def label(self) -> str:
        """How messages name the node."""
        return self.op


class Func(Expr):
    """A function of numbers, or the smallest, the greatest of some values; `functions.py` lists them.

    `reads` is the type that the arguments are read as.
    """

    parts = ("name", "args")
    name: str
    args: tuple[Expr, ...]
    reads: Type

    def __init__(self, name: str, args: Sequence[Any]) -> None:
        signature = FUNCTIONS.get(name) if isinstance(name, str) else None
        if signature is None:
            raise _unknown("function", name, list(FUNCTIONS))
        self.__dict__["name"] = name
        args = _sequence(self, "args", args)
        most = signature.most
        if len(args) < signature.least or (most is not None and len(args) > most):
            allowed = (
                f"{signature.least}"
                if most == signature.least
                else f"{signature.least} to {most or 'any number'}"
            )
            raise ExpressionValueError(f"{name} takes {allowed} arguments, given {len(args)}")
        children = [(f"args[{index}]", arg) for index, arg in enumerate(args)]
        if name == "round":
            _check_digits(args[1:])
            children = children[:1]
        for path, arg in children:
            self._require(path, arg, signature.allowed, signature.expected)
        reads = signature.reads or _decided(self._common(children))
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


_BRANCH_HINT = "all branches give one type; convert one with .cast(...)"


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
                    "Case", f"branches[{index}]", "a pair (condition, value)", f"{pair!r:.60}"
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
        args = _sequence(self, "args", args)
        if not args:
            raise ExpressionValueError(
                "Coalesce takes at least one value: Coalesce([first, second])"
            )
        children = [(f"args[{index}]", arg) for index, arg in enumerate(args)]
        self._set(self._common(children, _BRANCH_HINT), args)


class IsNull(Expr):
    """Tell whether a value is null."""

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
        values = _sequence(self, "values", values)
        children = [
            ("operand", operand),
            *((f"values[{i}]", value) for i, value in enumerate(values)),
        ]
        reads = _decided(self._common(children, _COMPARISON_HINT), Type.JSON)
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
        reads = _decided(self._common(children, _COMPARISON_HINT))
        self._set(Type.BOOL, operand, low, high)
        self.__dict__["reads"] = reads


class Cast(Expr):
    """A value converted to another type; null where the text or number has no such value.

    Text is read as a number, a date or true/false; a number becomes whole by dropping its fraction.
    `reads` is the type that the operand is read as: of a field of undeclared type, a cast tells the type.
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
        self.__dict__["reads"] = _decided(
            operand.type, Type.DECIMAL if gives is Type.INT else gives
        )


_TEXT_OPS: dict[str, tuple[int, Type]] = {
    "length": (0, Type.INT),
    "upper": (0, Type.STR),
    "lower": (0, Type.STR),
    "trim": (0, Type.STR),
    "contains": (1, Type.BOOL),
    "starts_with": (1, Type.BOOL),
    "ends_with": (1, Type.BOOL),
    "concat": (1, Type.STR),
}


class StrOp(Expr):
    """An operation on text, with a second text where it needs one."""

    parts = ("op", "operand", "arg")
    op: str
    operand: Expr
    arg: Expr | None

    def __init__(self, op: str, operand: Any, arg: Any = None) -> None:
        if op not in _TEXT_OPS:
            raise _unknown("text operation", op, list(_TEXT_OPS))
        self.__dict__["op"] = op
        count, gives = _TEXT_OPS[op]
        operand = as_expr(operand)
        self._require("operand", operand, _TEXT, "text", "convert it with .cast(str)")
        if count:
            arg = as_expr(arg)
            self._require("arg", arg, _TEXT, "text", "convert it with .cast(str)")
        elif arg is not None:
            raise ExpressionValueError(f"{op} takes no argument, given {arg!r:.60}")
        self._set(gives, op, operand, arg)

    @property
    def label(self) -> str:
        """How messages name the node."""
        return self.op


class Substring(Expr):
    """Part of a text: `count` characters (all, if None) from position `start`, which counts from 0."""

    parts = ("operand", "start", "count")
    operand: Expr
    start: int
    count: int | None

    def __init__(self, operand: Any, start: int, count: int | None = None) -> None:
        operand = as_expr(operand)
        for name, number in (("start", start), ("count", 0 if count is None else count)):
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**30:
                raise ExpressionValueError(
                    f"substring: {name} is a whole number from 0 on, given {number!r:.60}"
                )
        self._require("operand", operand, _TEXT, "text", "convert it with .cast(str)")
        self._set(Type.STR, operand, start, count)


class DatePart(Expr):
    """The year, quarter, month, day, weekday, hour, minute or second of a date or datetime, in UTC.

    `reads` is the type that the operand is read as; a field of undeclared type is read as a datetime.
    """

    parts = ("part", "operand")
    part: str
    operand: Expr
    reads: Type

    def __init__(self, part: str, operand: Any) -> None:
        if part not in DATE_PARTS:
            raise _unknown("date part", part, list(DATE_PARTS))
        self.__dict__["part"] = part
        operand = as_expr(operand)
        expected = " or ".join(sorted(t.words for t in DATE_PARTS[part]))
        self._require("operand", operand, DATE_PARTS[part], expected)
        self._set(Type.INT, part, operand)
        self.__dict__["reads"] = _decided(operand.type, Type.DATETIME)

    @property
    def label(self) -> str:
        """How messages name the node."""
        return self.part


def _decided(type_: Type, default: Type = Type.FLOAT) -> Type:
    """Return the type that operands are read as: what is known of it, or the default."""
    return default if type_ in UNDECIDED else type_


def _sequence(node: Expr, path: str, values: Any) -> tuple[Expr, ...]:
    if isinstance(values, (str, bytes, Mapping, Node)) or not isinstance(values, Iterable):
        raise ExpressionTypeError(
            node.label,
            path,
            "a list of values",
            f"{values!r:.60}",
            f"{node.label} takes its arguments as one list",
        )
    return tuple(as_expr(value) for value in values)


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


def _unknown(what: str, given: object, allowed: list[str]) -> ExpressionValueError:
    return ExpressionValueError(f"unknown {what} {given!r:.60}; there are: {' '.join(allowed)}")


def _typed(node: Expr, type_of: Callable[[str], Type | None]) -> Expr:
    if isinstance(node, Field):
        known = type_of(node.name)
        return Field(node.name, known) if known and node.type is Type.ANY else node

    def change(path: str, child: Expr) -> Expr:
        try:
            return _typed(child, type_of)
        except ExpressionTypeError as error:
            raise error.under(path) from None

    return node.map_children(change)
