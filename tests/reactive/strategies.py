"""Random typed expressions, and rows to compute them on.

The names of fields tell their type: f1 and f2 hold numbers and are not declared, i1 whole
numbers, d1 decimals, s1 text, b1 booleans, day1 dates, ts1 instants.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from reactive import (
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
    Type,
    UnaryOp,
)

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
"""Whether random tests run with many examples, as `make test-long` does."""

FIELDS = {
    "f1": Type.FLOAT,
    "f2": Type.FLOAT,
    "f3": Type.FLOAT,
    "i1": Type.INT,
    "i2": Type.INT,
    "d1": Type.DECIMAL,
    "d2": Type.DECIMAL,
    "s1": Type.STR,
    "s2": Type.STR,
    "b1": Type.BOOL,
    "b2": Type.BOOL,
    "day1": Type.DATE,
    "day2": Type.DATE,
    "ts1": Type.DATETIME,
    "ts2": Type.DATETIME,
}

# Values that are next to something: zero, halves, limits of int4, int8 and of what a double holds
# exactly.
_FLOATS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 0.1, 0.2, 0.3, 100.0, 1e-5]),
    st.integers(-20, 20).map(lambda n: n / 4),
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.sampled_from(
        [1e15, 1e16, 2.0**53, 1e22, 1e23, -1e300, 1e308, 5e-324, 1e-300, 123456789.125]
    ),
)
_INTS = st.one_of(
    st.integers(-10, 10),
    st.integers(-(10**6), 10**6),
    st.sampled_from(
        [2**31 - 1, 2**31, -(2**31), 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**30]
    ),
)
_DECIMALS = st.one_of(
    st.decimals(-1000, 1000, places=2),
    st.decimals(-10, 10, places=4),
    st.sampled_from(
        [
            Decimal(text)
            for text in (
                "0",
                "0.00",
                "0.5",
                "1.5",
                "2.5",
                "-0.5",
                "1E+3",
                "1e-20",
                "12345678901234567890.5",
            )
        ]
    ),
)
_AWKWARD = [
    "",
    " ",
    "a",
    "A",
    "ab",
    "it's",
    '"',
    "\\",
    "\\'",
    "%",
    "_",
    "a%b",
    "é",
    "É",
    "ß",
    "ǆ",
    "😀",
    "日本",
    "İ",
    "12",
    "-3.75",
    "1e5",
    "true",
    "2026-02-28",
    "2026-02-30",
    " x ",
    "\t",
    "\n",
    "null",
    "$1",
    "%s",
    "{}",
    "--",
    "/*",
]
_TEXTS = st.one_of(
    st.sampled_from(_AWKWARD),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
)
_DATES = st.dates(date(1970, 1, 1), date(2100, 12, 31))
_ZONES = st.sampled_from(
    [timezone.utc, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))]
)
_INSTANTS = st.datetimes(datetime(1970, 1, 2), datetime(2100, 12, 30), timezones=_ZONES)

VALUES: dict[Type, st.SearchStrategy[Any]] = {
    Type.FLOAT: st.one_of(_FLOATS, st.integers(-1000, 1000)),
    Type.INT: _INTS,
    Type.DECIMAL: _DECIMALS,
    Type.STR: _TEXTS,
    Type.BOOL: st.booleans(),
    Type.DATE: _DATES,
    Type.DATETIME: _INSTANTS,
}


def is_field_name(text: str) -> bool:
    """Whether a field may be called so: by printable text, and not as Python's own attributes."""
    return bool(text) and text.isprintable() and not text.startswith("__")


_MISSING = object()
_SLOTS = {
    type_: st.one_of(values, values, values, st.sampled_from([None, _MISSING]))
    for type_, values in VALUES.items()
}


@st.composite
def rows(draw: st.DrawFn, names: Collection[str] = tuple(FIELDS)) -> dict[str, Any]:
    """A row in which any of these fields may be null or missing."""
    row = {}
    for name in sorted(names):
        value = draw(_SLOTS[FIELDS[name]])
        if value is not _MISSING:
            row[name] = value
    return row


def _field(draw: st.DrawFn, type_: Type) -> Expr:
    name = draw(st.sampled_from([name for name, own in FIELDS.items() if own is type_]))
    # Whole numbers, decimals, dates and instants must be declared; the rest may be.
    declared = (
        type_ in (Type.INT, Type.DECIMAL, Type.DATE, Type.DATETIME) or draw(st.integers(0, 3)) == 0
    )
    return Field(name, type_ if declared else None)


def _const(draw: st.DrawFn, type_: Type) -> Expr:
    if draw(st.integers(0, 9)) == 0:
        return Const(None)
    return Const(draw(VALUES[type_]))


@st.composite
def expressions(draw: st.DrawFn, type_: Type | None = None, depth: int = 4) -> Expr:
    """An expression that gives this type (or null), any type if none is named."""
    if type_ is None:
        type_ = draw(st.sampled_from(list(VALUES)))
    if depth <= 0 or draw(st.integers(0, 4)) == 0:
        return _field(draw, type_) if draw(st.integers(0, 2)) else _const(draw, type_)

    def some(wanted: Type) -> Expr:
        return draw(expressions(wanted, depth - 1))

    makers = [*_CHOICES, *_MAKERS[type_]]
    return draw(st.sampled_from(makers))(draw, some, type_)


def declared(expr: Expr) -> Expr:
    """The expression with its fields declared: an undeclared one might be taken for a number."""
    return expr.typed({name: type_.value for name, type_ in FIELDS.items()})


def _number(draw: st.DrawFn) -> Type:
    return draw(st.sampled_from([Type.FLOAT, Type.FLOAT, Type.INT, Type.DECIMAL]))


def _any(draw: st.DrawFn) -> Type:
    return draw(st.sampled_from(list(VALUES)))


_ORDERED = [Type.FLOAT, Type.INT, Type.DECIMAL, Type.STR, Type.DATE, Type.DATETIME]


def _ordered(draw: st.DrawFn) -> Type:
    return draw(st.sampled_from(_ORDERED))


def _alike(draw: Any, some: Any, type_: Type) -> Expr:
    """A value of the type, or where that is a double, of any kind of number."""
    return some(_number(draw) if type_ is Type.FLOAT else type_)


def _if(draw: Any, some: Any, type_: Type) -> Expr:
    return If(some(Type.BOOL), _alike(draw, some, type_), _alike(draw, some, type_))


def _case(draw: Any, some: Any, type_: Type) -> Expr:
    count = draw(st.integers(1, 3))
    branches = [(some(Type.BOOL), _alike(draw, some, type_)) for _ in range(count)]
    return Case(branches, _alike(draw, some, type_))


def _coalesce(draw: Any, some: Any, type_: Type) -> Expr:
    return Coalesce([_alike(draw, some, type_) for _ in range(draw(st.integers(1, 3)))])


def _null_if(draw: Any, some: Any, type_: Type) -> Expr:
    return NullIf(_alike(draw, some, type_), _alike(draw, some, type_))


def _extreme(draw: Any, some: Any, type_: Type) -> Expr:
    if type_ is Type.BOOL:
        return some(type_)
    # One of them is a declared field: of nulls alone, min and max take it that they are numbers.
    others = [declared(_alike(draw, some, type_)) for _ in range(draw(st.integers(1, 2)))]
    args = draw(st.permutations([declared(_field(draw, type_)), *others]))
    return Func(draw(st.sampled_from(["min", "max"])), args)


_CHOICES = [_if, _case, _coalesce, _null_if, _extreme]


def _arithmetic(draw: Any, some: Any, type_: Type) -> Expr:
    if type_ is Type.FLOAT:
        op = draw(st.sampled_from(["+", "-", "*", "/", "%", "**"]))
        other = _number(draw)
        return BinOp(op, *draw(st.permutations([some(Type.FLOAT), some(other)])))
    op = draw(st.sampled_from(["+", "-", "*", "%"]))
    return BinOp(op, some(type_), some(type_))


def _quotient(draw: Any, some: Any, type_: Type) -> Expr:
    return BinOp(draw(st.sampled_from(["/", "**"])), some(_number(draw)), some(_number(draw)))


def _sign(draw: Any, some: Any, type_: Type) -> Expr:
    return UnaryOp(draw(st.sampled_from(["-", "abs"])), some(type_))


def _function(draw: Any, some: Any, type_: Type) -> Expr:
    return Func(draw(st.sampled_from(["abs", "sign", "ceil", "floor", "round"])), [some(type_)])


def _round(draw: Any, some: Any, type_: Type) -> Expr:
    return Func("round", [some(type_), draw(st.integers(-3, 4))])


def _root(draw: Any, some: Any, type_: Type) -> Expr:
    return Func(draw(st.sampled_from(["sqrt", "log", "exp", "log10"])), [some(_number(draw))])


def _cast(draw: Any, some: Any, type_: Type) -> Expr:
    sources = {
        Type.FLOAT: [Type.INT, Type.DECIMAL, Type.STR, Type.FLOAT],
        Type.INT: [Type.FLOAT, Type.DECIMAL, Type.STR, Type.INT],
        Type.DECIMAL: [Type.FLOAT, Type.INT, Type.STR, Type.DECIMAL],
        Type.STR: [Type.FLOAT, Type.INT, Type.DECIMAL, Type.BOOL, Type.DATE],
        Type.BOOL: [Type.STR],
        Type.DATE: [Type.DATETIME, Type.STR],
        Type.DATETIME: [Type.DATE],
    }
    operand = some(draw(st.sampled_from(sources[type_])))
    # A cast takes an undeclared field for the type it makes; here the field's own type is meant.
    return Cast(declared(operand), type_)


def _length(draw: Any, some: Any, type_: Type) -> Expr:
    return StrOp("length", some(Type.STR))


def _date_part(draw: Any, some: Any, type_: Type) -> Expr:
    if draw(st.booleans()):
        return DatePart(
            draw(st.sampled_from(["year", "quarter", "month", "day", "weekday"])), some(Type.DATE)
        )
    parts = ["year", "month", "day", "weekday", "hour", "minute", "second", "quarter"]
    return DatePart(draw(st.sampled_from(parts)), some(Type.DATETIME))


def _days(draw: Any, some: Any, type_: Type) -> Expr:
    return Func("days_between", [some(Type.DATE), some(Type.DATE)])


def _text(draw: Any, some: Any, type_: Type) -> Expr:
    return StrOp(draw(st.sampled_from(["upper", "lower", "trim"])), some(Type.STR))


def _concat(draw: Any, some: Any, type_: Type) -> Expr:
    return StrOp("concat", some(Type.STR), some(Type.STR))


def _substring(draw: Any, some: Any, type_: Type) -> Expr:
    return Substring(some(Type.STR), draw(st.integers(0, 4)), draw(st.none() | st.integers(0, 4)))


def _compare(draw: Any, some: Any, type_: Type) -> Expr:
    op = draw(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]))
    wanted = _ordered(draw) if op[0] in "<>" else _any(draw)
    other = _number(draw) if wanted in (Type.FLOAT, Type.INT, Type.DECIMAL) else wanted
    left, right = some(wanted), some(other)
    return BinOp(op, declared(left), declared(right)) if op[0] in "<>" else BinOp(op, left, right)


def _bare(draw: Any, some: Any, type_: Type) -> Expr:
    wanted = draw(st.sampled_from([Type.FLOAT, Type.INT, Type.STR, Type.BOOL]))
    names = [name for name, own in FIELDS.items() if own is wanted]
    left, right = (Field(draw(st.sampled_from(names))) for _ in range(2))
    return BinOp(draw(st.sampled_from(["==", "!="])), left, right)


def _logic(draw: Any, some: Any, type_: Type) -> Expr:
    return BinOp(draw(st.sampled_from(["&", "|"])), some(Type.BOOL), some(Type.BOOL))


def _not(draw: Any, some: Any, type_: Type) -> Expr:
    return UnaryOp("~", some(Type.BOOL))


def _is_null(draw: Any, some: Any, type_: Type) -> Expr:
    return IsNull(some(_any(draw)))


def _in(draw: Any, some: Any, type_: Type) -> Expr:
    wanted = _any(draw)
    values = [_alike(draw, some, wanted) for _ in range(draw(st.integers(0, 3)))]
    return In(_alike(draw, some, wanted), values)


def _between(draw: Any, some: Any, type_: Type) -> Expr:
    wanted = _ordered(draw)
    return Between(*(declared(_alike(draw, some, wanted)) for _ in range(3)))


def _search(draw: Any, some: Any, type_: Type) -> Expr:
    return StrOp(
        draw(st.sampled_from(["contains", "starts_with", "ends_with"])),
        some(Type.STR),
        some(Type.STR),
    )


_MAKERS: dict[Type, list[Any]] = {
    Type.FLOAT: [_arithmetic, _arithmetic, _quotient, _sign, _function, _round, _root, _cast],
    Type.INT: [_arithmetic, _sign, _function, _round, _cast, _length, _date_part, _days],
    Type.DECIMAL: [_arithmetic, _arithmetic, _sign, _function, _round, _cast],
    Type.STR: [_text, _concat, _substring, _cast],
    Type.BOOL: [
        _compare,
        _compare,
        _logic,
        _logic,
        _not,
        _is_null,
        _in,
        _between,
        _search,
        _bare,
        _cast,
    ],
    Type.DATE: [_cast],
    Type.DATETIME: [_cast],
}
