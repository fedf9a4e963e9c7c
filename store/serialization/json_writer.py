"""Values as canonical JSON text: a writer for each type, and the zones of times.

Equal values have one text, and PostgreSQL's jsonb gives the same text back: no exponents, no
negative zero, keys of dicts sorted. A writer refuses what is not exactly of its type with
TypeError or ValueError; the codec of the object adds the name of the field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from json.encoder import encode_basestring
from typing import Any
from uuid import UUID

from store.governance.checks import DIGITS_AFTER_MAX, DIGITS_BEFORE_MAX, is_short_decimal
from store.governance.column_types import ColumnType, EnumOf, PerType, Scalar
from store.times import UTC, instant_text, zone_text

Write = Callable[[Any], str]
# The zones of the times inside a value, shaped like it; None where all of them are UTC.
Zones = Callable[[Any], Any]

quote: Write = encode_basestring
_NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def check_text(text: str) -> None:
    """Refuse JSON text with characters that PostgreSQL does not keep; ValueError."""
    if "\\u0000" in text and _NUL_ESCAPE.search(text):
        raise ValueError("PostgreSQL keeps no NUL character in a text")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("half a surrogate pair is no character") from None


def writers(of_record: Callable[[type], Write]) -> PerType[Write]:
    """The functions that write values of types as JSON text."""
    return PerType(
        scalar=_WRITERS.__getitem__,
        enum=_enum_writer,
        # Looked up at each use: a class may refer to itself.
        record=lambda record: lambda value: of_record(record)(value),  # noqa: PLW0108
        list_of=_list_writer,
        dict_of=_dict_writer,
        nullable=_nullable_writer,
        any_json=_write_any,
    )


def plain_writer(kind: ColumnType) -> Write | None:
    """The function that writes a value which a quick check has found good; None: there is none."""
    return _PLAIN_WRITERS.get(kind)


def zones_of(kind: ColumnType) -> Zones | None:
    """The function that collects the zones of the times in a value; None for a type without.

    Dataclasses inside keep the zones of their own fields.
    """
    return _ZONES.of(kind)


def _zones_in_list(of_item: Zones | None) -> Zones | None:
    return None if of_item is None else lambda value: _listed(map(of_item, value))


def _zones_in_dict(of_value: Zones | None) -> Zones | None:
    if of_value is None:
        return None
    return lambda value: _named((key, of_value(part)) for key, part in value.items())


def _zones_if_any(inner: Zones | None) -> Zones | None:
    return None if inner is None else lambda value: None if value is None else inner(value)


_ZONES: PerType[Zones | None] = PerType(
    scalar=lambda python: zone_text if python is datetime else None,
    enum=lambda _: None,
    record=lambda _: None,
    list_of=_zones_in_list,
    dict_of=_zones_in_dict,
    nullable=_zones_if_any,
    any_json=None,
)


def _listed(zones: Iterable[Any]) -> list[Any] | None:
    found = list(zones)
    return found if any(zone is not None for zone in found) else None


def _named(zones: Iterable[tuple[str, Any]]) -> dict[str, Any] | None:
    return {key: zone for key, zone in zones if zone is not None} or None


def _write_int(value: Any) -> str:
    if value.__class__ is bool or not isinstance(value, int):
        raise TypeError(f"expected int, got {type(value).__name__}")
    return int.__repr__(value)


def _write_float(value: Any) -> str:
    if not isinstance(value, float):
        value = _float(value)
    # Adding zero takes the sign off a negative zero, which jsonb would lose.
    text = float.__repr__(value + 0.0)
    return _without_exponent(text) if "e" in text or "n" in text else text


def _without_exponent(text: str) -> str:
    if "n" in text:
        raise ValueError(f"{text} is no finite number")
    text = format(Decimal(text), "f")
    return text if "." in text else f"{text}.0"


def _float(value: Any) -> float:
    if value.__class__ is not int and (not isinstance(value, int) or value.__class__ is bool):
        raise TypeError(f"expected float, got {type(value).__name__}")
    number = float(value)
    if number != value:
        raise ValueError("a float would lose digits of this int")
    return number


def _write_bool(value: Any) -> str:
    if not isinstance(value, bool):
        raise TypeError(f"expected bool, got {type(value).__name__}")
    return "true" if value else "false"


def _write_decimal(value: Any) -> str:
    if is_short_decimal(value) and value:
        # Without an exponent this is what `format` makes of it, in a third of the time.
        return str(value)
    if not isinstance(value, Decimal):
        raise TypeError(f"expected Decimal, got {type(value).__name__}")
    if not value.is_finite():
        raise ValueError(f"{value} is no finite number")
    exponent = int(value.as_tuple().exponent)
    if -exponent > DIGITS_AFTER_MAX or value.adjusted() >= DIGITS_BEFORE_MAX:
        raise ValueError("it has more digits than PostgreSQL keeps")
    return format(value if value else value.copy_abs(), "f")


def _write_plain_decimal(value: Any) -> str:
    return str(value) if value else _write_decimal(value)


def _write_plain_bool(value: Any) -> str:
    return "true" if value else "false"


def _write_datetime(value: Any) -> str:
    if value.__class__ is datetime and value.tzinfo is UTC:
        # As `instant_text` does: nearly all times are such.
        return f'"{value.isoformat(timespec="microseconds")[:26]}Z"'
    if not isinstance(value, datetime):
        raise TypeError(f"expected datetime, got {type(value).__name__}")
    return f'"{instant_text(value)}"'


def _write_date(value: Any) -> str:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise TypeError(f"expected date, got {type(value).__name__}")
    return f'"{value.isoformat()}"'


def _write_uuid(value: Any) -> str:
    if not isinstance(value, UUID):
        raise TypeError(f"expected UUID, got {type(value).__name__}")
    return f'"{value}"'


def _write_any(value: Any) -> str:
    if isinstance(value, str):
        return quote(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return _write_float(value)
    if isinstance(value, list):
        return _write_free_list(value)
    if isinstance(value, dict):
        return _write_free_dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form of its own")


def _nullable_writer(write: Write) -> Write:
    return lambda value: "null" if value is None else write(value)


def _enum_writer(kind: EnumOf) -> Write:
    enum: type[Enum] = kind.python
    texts = {member: _value_text(member.value) for member in enum}

    def write(value: Any) -> str:
        if not isinstance(value, enum):
            raise TypeError(f"expected {enum.__name__}, got {type(value).__name__}")
        # Combined flags are no members of their own.
        return texts.get(value) or _value_text(value.value)

    return write


def _value_text(value: str | int) -> str:
    return quote(value) if isinstance(value, str) else int.__repr__(value)


def _list_writer(write_item: Write) -> Write:
    def write(value: Any) -> str:
        if not isinstance(value, list):
            raise TypeError(f"expected list, got {type(value).__name__}")
        return f"[{','.join(map(write_item, value))}]"

    return write


def _dict_writer(write_value: Write) -> Write:
    def write(value: Any) -> str:
        if not isinstance(value, dict):
            raise TypeError(f"expected dict, got {type(value).__name__}")
        pairs = ((quote(key), write_value(part)) for key, part in sorted(value.items(), key=_key))
        return "{" + ",".join(f"{key}:{text}" for key, text in pairs) + "}"

    return write


def _key(pair: tuple[str, Any]) -> str:
    return pair[0]


_WRITERS: dict[type, Write] = {
    str: quote,
    int: _write_int,
    float: _write_float,
    bool: _write_bool,
    Decimal: _write_decimal,
    datetime: _write_datetime,
    date: _write_date,
    UUID: _write_uuid,
}

_PLAIN_WRITERS: dict[ColumnType, Write] = {
    Scalar(str): quote,
    Scalar(int): int.__repr__,
    Scalar(bool): _write_plain_bool,
    Scalar(Decimal): _write_plain_decimal,
}

_write_free_list = _list_writer(_write_any)
_write_free_dict = _dict_writer(_write_any)
