"""Checks of values: by type, then by the limits of their column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from store.governance.annotations import record_types
from store.governance.column_types import ColumnType, EnumOf, PerType
from store.times import UTC, instant_text, zone_text

if TYPE_CHECKING:
    pass

# What PostgreSQL's numeric holds before and after the decimal point.
DIGITS_BEFORE_MAX = 131_072
DIGITS_AFTER_MAX = 16_383
# So many digits are far below both.
_FAR = 1_000
# Python itself writes and reads ints of up to 4,300 digits as text.
INT_DIGITS_MAX = 4_300
INT_MAX = 10**INT_DIGITS_MAX
# Lists and dicts inside of each other in free JSON. Python's own parser gives up somewhere below a
# thousand; the database takes a hundred for a whole object, of which this is a part.
DEPTH_MAX = 90
# The attribute of a governed class that holds its `ClassSchema`.
SCHEMA = "_store_schema"


class Problem(NamedTuple):
    """Why a value is refused: where in it, the broken rule, and what is allowed.

    `value` is the part at `path`; `secret` keeps it out of messages.
    """

    path: str
    rule: str
    allowed: str
    value: Any = None
    secret: bool = False


Problems = tuple[Problem, ...]
Check = Callable[[Any], Problems]

GOOD: Problems = ()


def type_check(kind: ColumnType) -> Check:
    """The check that a value has exactly this type and a form that the store can keep."""
    return _CHECKS.of(kind)


def one_problem(rule: str, allowed: str) -> Problems:
    """What a check answers where one rule is broken."""
    return (Problem("", rule, allowed),)


def _wrong(expected: str) -> Problems:
    return one_problem("type", f"{expected} is expected")


_NOT_STR = _wrong("str")
_NOT_INT = _wrong("int")
_NOT_FLOAT = _wrong("float (or an int)")
_NOT_BOOL = _wrong("bool")
_NOT_DECIMAL = _wrong("Decimal")
_NOT_DATETIME = _wrong("datetime")
_NOT_DATE = _wrong("date")
_NOT_UUID = _wrong("UUID")
_NOT_LIST = _wrong("list")
_NOT_DICT = _wrong("dict")
_NOT_JSON = _wrong("None, bool, int, float, str, or a list or dict of these")
_NOT_FINITE = one_problem("finite", "a finite number is expected, or None where there is none")
_LOSES_DIGITS = one_problem("digits", "an int that a float holds exactly is expected")
_TOO_MANY_DIGITS = one_problem(
    "digits",
    f"at most {DIGITS_BEFORE_MAX:,} digits before and {DIGITS_AFTER_MAX:,} after the decimal "
    "point are kept",
)
_INT_TOO_LONG = one_problem("digits", "an int of at most 4,300 digits is expected")
_TOO_DEEP = one_problem("depth", f"lists and dicts up to {DEPTH_MAX} inside of each other")
_NANOSECONDS = one_problem("digits", "a time to the microsecond is expected; round it first")
_NO_ZONE = one_problem("zone", "a time with a zone is expected, such as tzinfo=timezone.utc")
_NUL = one_problem("text", "text without the NUL character is expected: PostgreSQL keeps none")
_HALF = one_problem("text", "whole characters are expected, not one half of a surrogate pair")


def _check_str(value: Any) -> Problems:
    if not isinstance(value, str):
        return _NOT_STR
    if "\0" in value:
        return _NUL
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return _HALF
    return GOOD


def _check_int(value: Any) -> Problems:
    if not isinstance(value, int) or value.__class__ is bool:
        return _NOT_INT
    return GOOD if -INT_MAX < value < INT_MAX else _INT_TOO_LONG


def _check_float(value: Any) -> Problems:
    if isinstance(value, float):
        return GOOD if isfinite(value) else _NOT_FINITE
    if not isinstance(value, int) or value.__class__ is bool:
        return _NOT_FLOAT
    try:
        return GOOD if float(value) == value else _LOSES_DIGITS
    except OverflowError:
        return _LOSES_DIGITS


def _check_bool(value: Any) -> Problems:
    return GOOD if isinstance(value, bool) else _NOT_BOOL


def is_short_decimal(value: Any) -> bool:
    """Whether a value is a finite Decimal that is far from any limit of its digits."""
    if value.__class__ is not Decimal:
        return False
    text = str(value)
    return len(text) < _FAR and text.lstrip("-").replace(".", "", 1).isdecimal()


def is_utc(value: Any) -> bool:
    """Whether a value is a plain datetime in UTC, which is always good."""
    return value.__class__ is datetime and value.tzinfo is UTC


def _check_decimal(value: Any) -> Problems:
    if not isinstance(value, Decimal):
        return _NOT_DECIMAL
    if not value.is_finite():
        return _NOT_FINITE
    digits_after = -int(value.as_tuple().exponent)
    if digits_after > DIGITS_AFTER_MAX or value.adjusted() >= DIGITS_BEFORE_MAX:
        return _TOO_MANY_DIGITS
    return GOOD


def _check_datetime(value: Any) -> Problems:
    if not isinstance(value, datetime):
        return _NOT_DATETIME
    if value.tzinfo is UTC and value.__class__ is datetime:
        return GOOD
    if getattr(value, "nanosecond", 0):
        return _NANOSECONDS
    if value.utcoffset() is None:
        return _NO_ZONE
    try:
        instant_text(value)
        zone_text(value)
    except ValueError as error:
        return one_problem("zone", f"a time that exists is expected: {error}")
    return GOOD


def _check_date(value: Any) -> Problems:
    return GOOD if isinstance(value, date) and not isinstance(value, datetime) else _NOT_DATE


def _check_uuid(value: Any) -> Problems:
    return GOOD if isinstance(value, UUID) else _NOT_UUID


def _check_free(value: Any) -> Problems:
    return _TOO_DEEP if _is_too_deep(value) else _check_json(value)


def _is_too_deep(value: Any) -> bool:
    """Level by level, since calls inside of each other are what runs out."""
    level = [value]
    for _ in range(DEPTH_MAX + 1):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, list):
                inner += each
            elif isinstance(each, dict):
                inner += each.values()
        if not inner:
            return False
        level = inner
    return True


def _check_json(value: Any) -> Problems:
    if value is None or isinstance(value, bool):
        return GOOD
    if isinstance(value, float):
        return GOOD if isfinite(value) else _NOT_FINITE
    if isinstance(value, str):
        return _check_str(value)
    if isinstance(value, list):
        return _check_free_list(value)
    if isinstance(value, dict):
        return _check_free_dict(value)
    return _check_int(value) if isinstance(value, int) else _NOT_JSON


_SCALAR_CHECKS: Mapping[type, Check] = {
    str: _check_str,
    int: _check_int,
    float: _check_float,
    bool: _check_bool,
    Decimal: _check_decimal,
    datetime: _check_datetime,
    date: _check_date,
    UUID: _check_uuid,
}


def _list_check(check_item: Check) -> Check:
    def check(value: Any) -> Problems:
        if not isinstance(value, list):
            return _NOT_LIST
        return inside((f"[{n}]", item, check_item(item)) for n, item in enumerate(value))

    return check


def _dict_check(check_value: Check) -> Check:
    def check(value: Any) -> Problems:
        if not isinstance(value, dict):
            return _NOT_DICT
        keys = inside((f"[{key!r}]", key, _check_str(key)) for key in value)
        values = ((f"[{key!r}]", each, check_value(each)) for key, each in value.items())
        return keys + inside(values)

    return check


def _enum_check(kind: EnumOf) -> Check:
    enum, no_member = kind.python, _wrong(f"a member of {kind.python.__name__}")
    return lambda value: GOOD if isinstance(value, enum) else no_member


def _nullable_check(check: Check) -> Check:
    return lambda value: GOOD if value is None else check(value)


_check_free_list = _list_check(_check_json)
_check_free_dict = _dict_check(_check_json)


def _record_check(record: type) -> Check:
    wrong = _wrong(record.__name__)
    plain: dict[str, Check] = {}

    def check(value: Any) -> Problems:
        # Not isinstance: of an instance of a subclass the JSON would lose the further fields.
        if value.__class__ is not record:
            return wrong
        schema = vars(record).get(SCHEMA)
        if schema is not None:
            problems: Problems = schema.problems(value)
            return tuple(problem._replace(path=f".{problem.path}") for problem in problems)
        if not plain:
            plain.update((name, type_check(kind)) for name, kind in record_types(record).items())
        parts = ((name, getattr(value, name)) for name in plain)
        return inside((f".{name}", part, plain[name](part)) for name, part in parts)

    return check


_CHECKS: PerType[Check] = PerType(
    scalar=_SCALAR_CHECKS.__getitem__,
    enum=_enum_check,
    record=_record_check,
    list_of=_list_check,
    dict_of=_dict_check,
    nullable=_nullable_check,
    any_json=_check_free,
)


def inside(parts: Iterable[tuple[str, Any, Problems]]) -> Problems:
    """All problems of the parts of a value, each with the path to its part and the part."""
    return tuple(
        problem._replace(path=path + problem.path, value=problem.value if problem.path else part)
        for path, part, problems in parts
        for problem in problems
    )
