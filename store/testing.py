"""For tests of governed classes: hypothesis strategies of valid values and objects.

    from hypothesis import given
    from store.testing import instances

    @given(instances(Trade, symbol=st.just("AAPL")))
    def test_a_trade_survives(trade): ...

Needs the package hypothesis, which nothing else in the store does.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import strategies as st

from store.governance.annotations import record_types
from store.governance.checks import SCHEMA, type_check
from store.governance.class_schema import ClassSchema, GovernedField
from store.governance.column import ColumnDef, field_check
from store.governance.column_types import ColumnType, DictOf, EnumOf, ListOf, PerType, Scalar

T = TypeVar("T")

# What PostgreSQL keeps: no NUL, no half of a surrogate pair.
_CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")
_TEXT = st.text(_CHARACTERS, max_size=20)
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=5,
)


def instances(cls: type[T], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[T]:
    """Valid objects of a governed class or dataclass; keywords set the strategies of fields."""
    known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    unknown = set(fields) - set(known)
    if unknown:
        raise TypeError(f"{cls.__name__} has no fields {sorted(unknown)}; it has {known}")
    # Not yet: a class may refer to itself.
    return st.deferred(lambda: _built(cls, fields))


def column_values(column: ColumnDef) -> st.SearchStrategy[Any]:
    """Values that a column takes, None among them if it is nullable."""
    found = _limited(column, column.type)
    return st.none() | found if column.nullable else found


def field_values(field: GovernedField) -> st.SearchStrategy[Any]:
    """Values that a field of a governed class takes, None among them if it is nullable."""
    found = _limited(field.column, field.type)
    return st.none() | found if field.nullable else found


def _built(cls: type[T], given: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[T]:
    schema = vars(cls).get(SCHEMA)
    if isinstance(schema, ClassSchema):
        found = {name: field_values(field) for name, field in schema.fields.items()}
    else:
        found = {name: _of_type(kind) for name, kind in record_types(cls).items()}
    found.update(given)
    in_init = {field.name for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]

    def make(**values: Any) -> T:
        obj = cls(**{name: value for name, value in values.items() if name in in_init})
        for name in values.keys() - in_init:
            object.__setattr__(obj, name, values[name])
        return obj

    return st.builds(make, **found)


def _limited(column: ColumnDef, kind: ColumnType) -> st.SearchStrategy[Any]:
    """Values of a type within the limits of a column."""
    check = field_check(column, kind, nullable=False)
    low, high = column.min_value, column.max_value
    match kind:
        case Scalar() if column.enum is not None:
            found: st.SearchStrategy[Any] = st.sampled_from(column.enum)
        case Scalar(python=python) if python is str and column.pattern is not None:
            found = st.from_regex(re.compile(column.pattern), fullmatch=True, alphabet=_CHARACTERS)
        case Scalar(python=python) if python is str:
            found = st.text(_CHARACTERS, max_size=min(column.max_length or 20, 20))
        case Scalar(python=python) if python in _BETWEEN:
            found = _BETWEEN[python](low, high)
        case EnumOf() if column.enum is not None and isinstance(column.type, EnumOf):
            found = st.sampled_from(column.enum)
        case ListOf(item=item):
            found = st.lists(_of_type(item), max_size=min(column.max_length or 4, 4))
        case DictOf(value=value):
            size = min(column.max_length or 4, 4)
            found = st.dictionaries(_TEXT, _of_type(value), max_size=size)
        case _:
            found = _of_type(kind)
    return found.filter(lambda value: not check(value))


def _of_type(kind: ColumnType) -> st.SearchStrategy[Any]:
    """Values of a type that no column limits."""
    return _STRATEGIES.of(kind)


def _of_scalar(python: type) -> st.SearchStrategy[Any]:
    if python not in _BETWEEN:
        return _OTHERS[python]
    check = type_check(Scalar(python))
    return _BETWEEN[python](None, None).filter(lambda value: not check(value))


def _ints(low: int | None, high: int | None) -> st.SearchStrategy[int]:
    return st.integers(low, high)


def _floats(low: float | None, high: float | None) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


def _decimals(low: Decimal | None, high: Decimal | None) -> st.SearchStrategy[Decimal]:
    bounds = (-(10**15) if low is None else low, 10**15 if high is None else high)
    return st.integers(0, 8).flatmap(lambda places: st.decimals(*bounds, places=places))


def _datetimes(low: datetime | None, high: datetime | None) -> st.SearchStrategy[datetime]:
    zones = st.just(timezone.utc) | st.timezones() | _OFFSETS
    found = st.datetimes(timezones=zones, allow_imaginary=False)
    if low is None and high is None:
        return found
    first = low or datetime(1, 1, 2, tzinfo=timezone.utc)
    last = high or datetime(9999, 12, 30, tzinfo=timezone.utc)
    spans = st.timedeltas(timedelta(0), last - first)
    return st.builds(lambda span, zone: (first + span).astimezone(zone), spans, zones)


def _dates(low: date | None, high: date | None) -> st.SearchStrategy[date]:
    return st.dates(low or date.min, high or date.max)


_OFFSETS = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
_BETWEEN: dict[type, Callable[[Any, Any], st.SearchStrategy[Any]]] = {
    int: _ints,
    float: _floats,
    Decimal: _decimals,
    datetime: _datetimes,
    date: _dates,
}
_OTHERS: dict[type, st.SearchStrategy[Any]] = {
    str: _TEXT,
    bool: st.booleans(),
    UUID: st.uuids(),
}
_STRATEGIES: PerType[st.SearchStrategy[Any]] = PerType(
    scalar=_of_scalar,
    enum=lambda kind: st.sampled_from(kind.python),
    record=lambda record: instances(record),  # noqa: PLW0108 - defined below
    list_of=lambda item: st.lists(item, max_size=3),
    dict_of=lambda value: st.dictionaries(_TEXT, value, max_size=3),
    nullable=lambda inner: st.none() | inner,
    any_json=_JSON,
)
