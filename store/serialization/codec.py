"""Objects of one dataclass as JSON text and back, exactly.

Two keys are reserved, since no field can have their names: `$version` (left out for version 1)
and `$zone` (the zones of the times that are not in UTC).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import MISSING
from decimal import Decimal
from functools import partial
from itertools import compress
from operator import is_not, itemgetter
from types import MemberDescriptorType
from typing import Any

from store.errors import RegistryError, SerializationError, shown
from store.governance.annotations import annotated_fields
from store.governance.checks import INT_DIGITS_MAX, SCHEMA
from store.governance.class_schema import ClassSchema, GovernedField, field_types, values_getter
from store.governance.column_types import ColumnType, PerType, Record, Scalar
from store.governance.constants import UNKNOWN, kept
from store.serialization.json_reader import Read, check_whole, readers
from store.serialization.json_writer import (
    Write,
    check_text,
    plain_writer,
    quote,
    writers,
    zones_of,
)
from store.serialization.upcasting import VERSION_KEY, ZONE_KEY, lift, upcasters_of

_CODEC = "_store_codec"
# What writing and reading a value of the wrong type or shape raises.
_UNFIT = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)


class Codec:
    """Writes and reads the objects of one class."""

    def __init__(self, cls: type) -> None:
        kinds = field_types(cls)
        names = tuple(kinds)
        fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
        if names != tuple(field.name for field in fields):
            raise RegistryError(
                f"class {cls.__name__} declares fields but is no dataclass; "
                "put @dataclass above the class statement"
            )
        self._class = cls
        self._steps = upcasters_of(cls)
        version = len(self._steps) + 1
        self._values = values_getter(names)
        self._items = _items_getter(names)
        self._writes: list[Write] = [_WRITERS.of(kind) for kind in kinds.values()]
        self._plain_writes = [
            plain_writer(kind) or write
            for kind, write in zip(kinds.values(), self._writes, strict=True)
        ]
        # Each value stands where its `%s` is; the zones follow, where there are any.
        keys = [] if version == 1 else [f'"{VERSION_KEY}":{version}']
        self._template = ",".join([*keys, *(f"{quote(name)}:%s" for name in names)])
        # The values that were good last, and their texts; replaced together, as threads share them.
        self._last: tuple[list[Any], list[str]] = [UNKNOWN] * len(names), [""] * len(names)
        self._places = range(len(names))
        self._names = names
        self._reads: list[Read] = [_READERS.of(kind) for kind in kinds.values()]
        # What a parsed value may be as it is; floats are looked at, they may have overflowed.
        self._plain = [_PLAIN.get(kind) for kind in kinds.values()]
        self._defaults = defaults_of(cls)
        governed = _governed_fields(cls)
        self._secret = {name for name, field in governed.items() if field.is_secret}
        self._zones = [
            (name, zones) for name, kind in kinds.items() if (zones := zones_of(kind)) is not None
        ]
        exact = has_decimal(Record(cls))
        self._decode = json.JSONDecoder(
            parse_float=Decimal if exact else None,
            # A Decimal may have more digits before its point than Python reads as an int.
            parse_int=_whole_number if exact else None,
            parse_constant=_refuse_constant,
        ).decode
        slots = any(isinstance(getattr(cls, name, None), MemberDescriptorType) for name in names)
        self._post_init = hasattr(cls, "__post_init__")
        self._fills_dict = not slots and not self._post_init
        self._arguments = [field.name for field in fields if field.init]

    def to_text(self, obj: Any) -> str:
        """The JSON text of an object; SerializationError names the field without a JSON form."""
        text = self.write(obj)
        try:
            check_text(text)
        except ValueError:
            raise self._unwritable(self._values(obj)) from None
        return text

    def good_text(self, obj: Any, schema: ClassSchema) -> str | None:
        """The JSON text of an object whose values keep its schema's rules; None for any other.

        Values that are the very objects of the last call are neither checked nor written again.
        """
        try:
            values = self._values(obj)
            last, texts = self._last
            changed = [*compress(self._places, map(is_not, last, values))]
            # A time of another zone than UTC is never kept.
            may_have_zones = False
            if changed:
                last, texts = last.copy(), texts.copy()
                quick, checks, writes = schema.quick, schema.checks, self._writes
                plain_writes = self._plain_writes
                for at in changed:
                    value = values[at]
                    if quick[at](value):
                        # A plain value of its type, which need not be looked at again.
                        texts[at] = plain_writes[at](value)
                    elif checks[at](value):
                        return None
                    else:
                        texts[at] = "null" if value is None else writes[at](value)
                    last[at] = kept(value)
                    may_have_zones = may_have_zones or last[at] is UNKNOWN
                self._last = last, texts
            zones = self._zone_part(obj) if may_have_zones and self._zones else ""
            text = f"{{{self._template % tuple(texts)}{zones}}}"
            check_text(text)
        except (SerializationError, *_UNFIT):
            return None  # whoever looks closer says what it is
        return text

    def from_text(self, text: str | bytes) -> Any:
        """The object of a JSON text; SerializationError says where the text does not fit.

        Of a key that is there twice the last one counts, as in PostgreSQL's jsonb.
        """
        try:
            if isinstance(text, (bytes, bytearray)):
                text = text.decode()
            if not isinstance(text, str):
                raise TypeError(f"a JSON text is expected, not {type(text).__name__}")
            data = self._decode(text)
            if "\\ud" in text or "\\uD" in text or not text.isascii():
                check_whole(text, data)
            return self.read(data, None)
        except SerializationError:
            raise
        except _UNFIT as error:
            raise SerializationError(f"{self._class.__name__} in JSON: {error}") from None

    def write(self, obj: Any) -> str:
        """The JSON object as text, its characters not yet checked."""
        if obj.__class__ is not self._class:
            raise TypeError(f"{type(obj).__name__} is no {self._class.__name__}")
        try:
            values = self._values(obj)
        except AttributeError as error:
            raise SerializationError(f"{self._class.__name__} is not whole: {error}") from None
        try:
            text = self._template % tuple(
                [
                    "null" if value is None else write(value)
                    for write, value in zip(self._writes, values)  # noqa: B905 - speed
                ]
            )
            zones = self._zone_part(obj) if self._zones else ""
        except SerializationError:
            raise
        except _UNFIT:
            raise self._unwritable(values) from None
        return f"{{{text}{zones}}}"

    def read(self, data: Any, _: Any) -> Any:
        """The object of parsed JSON."""
        if data.__class__ is not dict:
            raise TypeError(f"an object is expected, not {type(data).__name__}")
        if self._steps or VERSION_KEY in data:
            data = lift(self._class.__name__, data, self._steps)
        if ZONE_KEY not in data:
            try:
                values = [
                    value if value.__class__ is plain or value is None else read(value, None)
                    for plain, read, value in zip(self._plain, self._reads, self._items(data))  # noqa: B905 - speed
                ]
            except SerializationError:
                raise
            except _UNFIT:
                pass  # Something is missing or does not fit: the way below says what.
            else:
                return self._make(zip(self._names, values))  # noqa: B905 - speed
        return self._make(self._read_each(data).items())

    def _read_each(self, data: dict[str, Any]) -> dict[str, Any]:
        zones = data.get(ZONE_KEY, {})
        values = {}
        for name, read in zip(self._names, self._reads, strict=True):
            try:
                if name not in data:
                    values[name] = self._default(name)
                else:
                    value = data[name]
                    values[name] = None if value is None else read(value, zones.get(name))
            except SerializationError:
                raise
            except _UNFIT as error:
                where = f"{self._class.__name__}.{name} in JSON"
                raise SerializationError(f"{where}: {self._seen(name, data)}{error}") from None
        return values

    def _seen(self, name: str, data: dict[str, Any]) -> str:
        return f"{shown(data[name])}: " if name in data and name not in self._secret else ""

    def _default(self, name: str) -> Any:
        if name not in self._defaults:
            raise ValueError("it is missing and has no default; an upcaster can give it a value")
        return self._defaults[name]()

    def _make(self, named: Iterable[tuple[str, Any]]) -> Any:
        obj: Any = object.__new__(self._class)
        if self._fills_dict:
            obj.__dict__.update(named)
            return obj
        values = dict(named)
        if self._post_init:
            obj = self._class(**{name: values[name] for name in self._arguments})
        # What was stored wins over what __post_init__ makes of it.
        for name, value in values.items():
            object.__setattr__(obj, name, value)
        return obj

    def _zone_part(self, obj: Any) -> str:
        found = {}
        for name, zones in self._zones:
            value = getattr(obj, name)
            zone = None if value is None else zones(value)
            if zone is not None:
                found[name] = zone
        return f',"{ZONE_KEY}":{_compact(found)}' if found else ""

    def _unwritable(self, values: tuple[Any, ...]) -> SerializationError:
        zones = dict(self._zones)
        for name, write, value in zip(self._names, self._writes, values, strict=True):
            try:
                if value is not None:
                    check_text(write(value))
                    if name in zones:
                        zones[name](value)
            except SerializationError as error:
                return error
            except _UNFIT as error:
                what = "a value" if name in self._secret else shown(value)
                return SerializationError(
                    f"{self._class.__name__}.{name}: {what} has no exact JSON form: {error}"
                )
        return SerializationError(f"{self._class.__name__} changed while it was written")


_PLAIN: dict[ColumnType, type] = {Scalar(str): str, Scalar(int): int, Scalar(bool): bool}
_compact = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode


def _items_getter(names: tuple[str, ...]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda data: tuple(data[name] for name in names)


def codec_of(cls: type) -> Codec:
    """The codec of a dataclass, made at its first use."""
    codec: Codec | None = vars(cls).get(_CODEC)
    if codec is None:
        codec = Codec(cls)
        setattr(cls, _CODEC, codec)
    return codec


def json_text(kind: ColumnType, value: Any) -> str:
    """A single value of a type as JSON text."""
    return _WRITERS.of(kind)(value)


def _write_of(cls: type) -> Write:
    return codec_of(cls).write


def _read_of(cls: type) -> Read:
    return codec_of(cls).read


_WRITERS = writers(_write_of)
_READERS = readers(_read_of)


def defaults_of(cls: type) -> dict[str, Callable[[], Any]]:
    """What makes the value of a field that the JSON lacks, for those that have a default."""
    columns = _governed_fields(cls)
    found: dict[str, Callable[[], Any]] = {}
    for field in annotated_fields(cls):
        if field.factory is not MISSING:
            found[field.name] = field.factory
        elif field.default is not MISSING:
            found[field.name] = partial(deepcopy, field.default)
        elif field.name in columns and columns[field.name].may_be_missing:
            found[field.name] = partial(deepcopy, columns[field.name].column.default)
    return found


def _governed_fields(cls: type) -> dict[str, GovernedField]:
    schema = vars(cls).get(SCHEMA)
    return schema.fields if isinstance(schema, ClassSchema) else {}


def has_decimal(kind: ColumnType) -> bool:
    """Whether there are exact decimal numbers in values of a type."""
    seen: set[type] = set()

    def in_record(record: type) -> bool:
        if record in seen:
            return False
        seen.add(record)
        return any(found.of(each) for each in field_types(record).values())

    def same(inner: bool) -> bool:
        return inner

    found = PerType(
        scalar=lambda python: python is Decimal,
        enum=lambda _: False,
        record=in_record,
        list_of=same,
        dict_of=same,
        nullable=same,
        any_json=False,
    )
    return found.of(kind)


def _whole_number(text: str) -> int | Decimal:
    return int(text) if len(text) <= INT_DIGITS_MAX else Decimal(text)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
