"""Values from parsed JSON: a reader for each type.

A reader refuses what does not fit its type with TypeError or ValueError; the codec of the object
adds the name of the field.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any
from uuid import UUID

from store.governance.column_types import EnumOf, PerType
from store.times import parse_time

# The second argument holds the zones of the times inside, shaped like the value itself.
Read = Callable[[Any, Any], Any]


class ZonedText(str):
    """The text of an instant together with its zone, for code that moves it to another field."""

    __slots__ = ("zone",)
    zone: str


def readers(of_record: Callable[[type], Read]) -> PerType[Read]:
    """The functions that make values of types from parsed JSON."""
    return PerType(
        scalar=_READERS.__getitem__,
        enum=_enum_reader,
        # Looked up at each use: a class may refer to itself.
        record=lambda record: lambda value, zones: of_record(record)(value, zones),  # noqa: PLW0108
        list_of=_list_reader,
        dict_of=_dict_reader,
        nullable=_nullable_reader,
        any_json=_read_any,
    )


def check_whole(text: str, data: Any) -> None:
    """Refuse JSON with half a surrogate pair in a text or key; ValueError."""
    try:
        text.encode()
        if "\\u" in text:
            # An escape may be one half, or the first of two that make a whole.
            json.dumps(data, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair is no character") from None


def zoned(value: Any, zones: Any) -> Any:
    """Parsed JSON with the zones put into the texts themselves, as `ZonedText`."""
    if isinstance(value, str) and isinstance(zones, str):
        text = ZonedText(value)
        text.zone = zones
        return text
    if isinstance(value, list) and isinstance(zones, list):
        return [zoned(*pair) for pair in zip(value, zones, strict=True)]
    if isinstance(value, dict) and isinstance(zones, dict):
        return {key: zoned(part, zones.get(key)) for key, part in value.items()}
    return value


def _unfit(value: Any, wanted: str) -> TypeError:
    return TypeError(f"{wanted} is expected, not {type(value).__name__}")


def _read_str(value: Any, _: Any) -> str:
    if not isinstance(value, str):
        raise _unfit(value, "a text")
    return value if value.__class__ is str else str(value)


def _read_int(value: Any, _: Any) -> int:
    if value.__class__ is not int:
        raise _unfit(value, "a whole number")
    number: int = value
    return number


def _read_float(value: Any, _: Any) -> float:
    if value.__class__ is not float:
        if value.__class__ is not int and value.__class__ is not Decimal:
            raise _unfit(value, "a number")
        value = float(value)
    if not isfinite(value):
        raise ValueError("the number is beyond the largest float")
    number: float = value
    return number


def _read_bool(value: Any, _: Any) -> bool:
    if not isinstance(value, bool):
        raise _unfit(value, "true or false")
    return value


def _read_decimal(value: Any, _: Any) -> Decimal:
    if value.__class__ is Decimal:
        number: Decimal = value
        return number
    if value.__class__ is not int:
        raise _unfit(value, "a number")
    return Decimal(value)


def _read_datetime(value: Any, zone: Any) -> datetime:
    return parse_time(value, zone or getattr(value, "zone", None))


def _read_date(value: Any, _: Any) -> date:
    return date.fromisoformat(value)


def _read_uuid(value: Any, _: Any) -> UUID:
    return UUID(value)


def _read_any(value: Any, _: Any) -> Any:
    if isinstance(value, (Decimal, float)):
        return _read_float(value, None)
    if isinstance(value, list):
        return [_read_any(item, None) for item in value]
    if isinstance(value, dict):
        return {key: _read_any(part, None) for key, part in value.items()}
    return value


def _enum_reader(kind: EnumOf) -> Read:
    enum, value_type = kind.python, kind.value_type
    members = {member.value: member for member in enum}

    def read(value: Any, _: Any) -> Enum:
        if value.__class__ is not value_type:
            raise _unfit(value, f"a value of {enum.__name__}")
        return members.get(value) or enum(value)

    return read


def _nullable_reader(read: Read) -> Read:
    return lambda value, zones: None if value is None else read(value, zones)


def _list_reader(read_item: Read) -> Read:
    def read(value: Any, zones: Any) -> list[Any]:
        if not isinstance(value, list):
            raise _unfit(value, "a list")
        if zones:
            return [read_item(*pair) for pair in zip(value, zones, strict=True)]
        return [read_item(item, None) for item in value]

    return read


def _dict_reader(read_value: Read) -> Read:
    def read(value: Any, zones: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _unfit(value, "an object")
        inside = zones or {}
        return {key: read_value(part, inside.get(key)) for key, part in value.items()}

    return read


_READERS: dict[type, Read] = {
    str: _read_str,
    int: _read_int,
    float: _read_float,
    bool: _read_bool,
    Decimal: _read_decimal,
    datetime: _read_datetime,
    date: _read_date,
    UUID: _read_uuid,
}
