"""Rows of a Deephaven table as values for the fields of a class."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from bridge.errors import RegistrationError
from publishing.engine import table_kinds
from publishing.kinds import KINDS, NOT_ENCODABLE
from store.base import Storable
from store.governance.class_schema import GovernedField, governed
from store.governance.column_types import EnumOf, Scalar
from store.serialization.codec import codec_of
from store.serialization.json_reader import readers

_EVENT_ID = "EventId_"
# What of a column can be read fast, and exactly, outside of the engine. Arrays of text there have
# no null, and drop zero characters at their end: a mark before and behind tells what is text.
_MARKED = "isNull({0}) ? `` : `=` + %s + `=`"
_PLAIN = {
    "Instant": "epochNanos({0})",
    **dict.fromkeys(("string", "char", "bool"), _MARKED % "{0}"),
    **dict.fromkeys(("LocalDate", "LocalTime", "BigInteger"), _MARKED % "{0}.toString()"),
    "BigDecimal": _MARKED % "{0}.toPlainString()",
}


class Row(NamedTuple):
    """The values of a row by field; `problem` says why it cannot be one, if so."""

    values: dict[str, Any]
    event_id: Any
    problem: str


class RowReader:
    """Reads the rows of one table for one class."""

    def __init__(
        self,
        table: Any,
        cls: type[Storable],
        key: tuple[str, ...],
        columns: Mapping[str, str] | None,
        event_id: str | None,
        *,
        deletes: bool,
    ) -> None:
        kinds = table_kinds(table)
        fields = governed(cls).fields
        given = dict(columns or {})
        unknown = [name for name in (*given, *key) if name not in fields]
        if unknown:
            raise RegistrationError(
                f"{cls.__name__} has no fields {unknown}; it has {', '.join(fields)}"
            )
        sources = {**{name: name for name in fields if name in kinds}, **given}
        missing = [column for column in sources.values() if column not in kinds]
        missing += [name for name in key if name not in sources]
        if event_id is not None and event_id not in kinds:
            missing.append(event_id)
        if missing or not sources:
            raise RegistrationError(
                f"the table lacks {missing or 'all fields of ' + cls.__name__}; its columns are "
                f"{', '.join(kinds)}; columns={{field: column}} says which is which"
            )
        if (event_id is not None and key) or (deletes and not key):
            raise RegistrationError(
                "event_id goes without a key, and deletes with one: with a key, rows are told "
                "apart by it"
            )
        needed = [n for n, f in fields.items() if n not in sources and not _has_default(f)]
        if needed:
            raise RegistrationError(
                f"{cls.__name__} needs {', '.join(needed)}, which no column gives"
            )
        if event_id is not None:
            sources[_EVENT_ID] = event_id
        self._reads: dict[str, Callable[[Any], Any]] = {}
        formulas = []
        for name, column in sources.items():
            kind = kinds[column]
            if kind is None:
                raise RegistrationError(f"column {column} is of a type that cannot be recorded")
            formulas.append(f"{name} = {_PLAIN.get(kind, '{0}').format(column)}")
            from_engine = _from_engine(kind)
            to_field = _plain if name == _EVENT_ID else _to_field(fields[name])
            self._reads[name] = _both(from_engine, to_field)
        self.table = table.view(formulas)

    def rows(self, columns: Mapping[str, Any]) -> list[Row]:
        """The rows of a batch, given as an array a column."""
        names = list(self._reads)
        arrays = [columns[name].tolist() for name in names]
        return [self._row(names, values) for values in zip(*arrays, strict=True)]

    def _row(self, names: list[str], values: tuple[Any, ...]) -> Row:
        found: dict[str, Any] = {}
        problem = ""
        for name, value in zip(names, values, strict=True):
            try:
                found[name] = self._reads[name](value)
            except NOT_ENCODABLE as error:
                found[name] = None
                problem = f"{name}: {error}"
        return Row(found, found.pop(_EVENT_ID, None), problem)


def _has_default(field: GovernedField) -> bool:
    return field.default is not MISSING or field.factory is not MISSING


def _plain(value: Any) -> Any:
    return value


def _both(first: Callable[[Any], Any], second: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        value = first(value)
        return None if value is None else second(value)

    return read


def _from_engine(kind: str) -> Callable[[Any], Any]:
    """What stands for null in the engine's arrays is None."""
    null = KINDS[kind].null
    if kind == "bool":
        return lambda text: text == "=true=" if text else None
    if kind == "Instant":
        return lambda nanos: None if nanos == null else _moment(nanos)
    if kind in _PLAIN:
        return lambda text: text[1:-1] if text else None
    if kind in ("float", "double"):
        return lambda value: None if value == null or math.isnan(value) else value
    return lambda value: None if value == null else value


def _moment(nanos: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=nanos // 1_000)


def _to_field(field: GovernedField) -> Callable[[Any], Any]:
    """The function that makes a field's value of a column's."""
    match field.type:
        case Scalar(python=python):
            return _SCALARS[python]
        case EnumOf() as kind:
            members, value_type = kind.python, _SCALARS[kind.value_type]
            return lambda value: members(value_type(value))
    read = readers(lambda record: codec_of(record).read).of(field.type)
    return lambda text: read(json.loads(text, parse_float=Decimal), None)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text is expected, not {type(value).__name__}")
    return value


def _whole(value: Any) -> int:
    number = Decimal(value) if isinstance(value, str) else value
    if isinstance(value, (bool, datetime)) or int(number) != number:
        raise ValueError(f"{value} is not a whole number")
    return int(number)


def _number(value: Any) -> float:
    if isinstance(value, (bool, datetime)):
        raise TypeError(f"a number is expected, not {type(value).__name__}")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"true or false is expected, not {type(value).__name__}")
    return value


def _exact(value: Any) -> Decimal:
    if isinstance(value, (bool, datetime)):
        raise TypeError(f"a number is expected, not {type(value).__name__}")
    # A double counts as the shortest decimal that gives it.
    return Decimal(repr(value) if isinstance(value, float) else value)


def _time(value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(f"an Instant is expected, not {type(value).__name__}")
    return value


_SCALARS: dict[type, Callable[[Any], Any]] = {
    str: _text,
    int: _whole,
    float: _number,
    bool: _flag,
    Decimal: _exact,
    datetime: _time,
    date: date.fromisoformat,
    UUID: UUID,
}
