"""The columns of a class's tables, and events as columns of values."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from itertools import compress, count
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import numpy as np

from bridge.errors import RegistrationError
from publishing.conversion_errors import ConversionErrors
from publishing.instants import instant_nanos
from publishing.kinds import KINDS, NOT_ENCODABLE, Kind
from store.base import Storable
from store.errors import SerializationError
from store.events import ChangeEvent
from store.exports.deephaven import deephaven_type
from store.governance.class_schema import GovernedField, governed
from store.governance.column_types import EnumOf, Scalar
from store.serialization.codec import codec_of, defaults_of, has_decimal, json_text
from store.serialization.json_reader import readers
from store.serialization.upcasting import VERSION_KEY, lift, upcasters_of

# What an event says of itself: before the fields, and behind them.
EVENT_COLUMNS: dict[str, tuple[str, str]] = {
    "EntityId": ("string", "entity_id"),
    "Version": ("long", "version"),
    "EventType": ("string", "event_type"),
    "State": ("string", "state"),
    "UpdatedBy": ("string", "updated_by"),
    "TxTime": ("Instant", "tx_time"),
}
PERIOD_COLUMNS: dict[str, tuple[str, str]] = {
    "ValidFrom": ("Instant", "valid_from"),
    "ValidTo": ("Instant", "valid_to"),
}
OWN_COLUMNS = {**EVENT_COLUMNS, **PERIOD_COLUMNS}
_OWN_GETTERS = {name: attrgetter(attribute) for name, (_, attribute) in OWN_COLUMNS.items()}
_data_of = attrgetter("data")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Columns(dict[str, list[Any]]):
    """Encoded values, column by column, None for null.

    `made` keeps what was made of the columns for one stream, for others that get the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[tuple[str, int], Any] = {}

    @property
    def row_count(self) -> int:
        """How many rows they have."""
        return len(next(iter(self.values()), ()))

    def where(self, wanted: Sequence[bool]) -> Columns:
        """The rows that are wanted; these columns themselves where all are."""
        if all(wanted):
            return self
        found = Columns()
        for name, values in self.items():
            found[name] = list(compress(values, wanted))
        return found


@dataclass(frozen=True)
class FieldColumn:
    """A field of a class as a column: its kind, and how its values are encoded."""

    name: str
    kind: Kind
    encode_json: Callable[[Any], Any]
    encode_object: Callable[[Any], Any]
    secret: bool

    @property
    def is_plain(self) -> bool:
        """Whether JSON holds the value itself, not its text."""
        return self.encode_json is self.kind.encode


def field_column(field: GovernedField) -> FieldColumn:
    """The column of a governed field."""
    kind = KINDS[deephaven_type(field)]
    encode_json = encode_object = kind.encode
    if not isinstance(field.type, (Scalar, EnumOf)):
        # Lists, dicts and dataclasses are shown as their canonical JSON text.
        read = readers(lambda record: codec_of(record).read).of(field.type)

        def encode_object(value: Any) -> Any:
            return kind.encode(json_text(field.type, value))

        def encode_json(value: Any) -> Any:
            return encode_object(read(value, None))

    return FieldColumn(field.name, kind, encode_json, encode_object, field.is_secret)


def field_columns(cls: type[Storable], names: Iterable[str] | None = None) -> list[FieldColumn]:
    """The columns of a class's fields, of those named; RegistrationError for what it lacks."""
    fields = governed(cls).fields
    chosen = list(fields) if names is None else list(names)
    unknown = [name for name in chosen if name not in fields]
    if unknown or len(set(chosen)) < len(chosen):
        raise RegistrationError(
            f"columns={chosen!r:.200} of {cls.__name__}: each must be one of its fields, once; "
            f"it has {', '.join(fields)}, and {', '.join(OWN_COLUMNS)} are always there"
        )
    taken = [name for name in chosen if name in OWN_COLUMNS]
    if taken:
        raise RegistrationError(
            f"{cls.__name__}.{taken[0]} has the name of a column that tells of the event; "
            "leave it out with columns=…"
        )
    return [field_column(fields[name]) for name in chosen]


def schema_of(fields: Iterable[FieldColumn]) -> dict[str, str]:
    """All columns of a table in order: what the event says, the fields, the period."""
    return {
        **{name: kind for name, (kind, _) in EVENT_COLUMNS.items()},
        **{field.name: field.kind.name for field in fields},
        **{name: kind for name, (kind, _) in PERIOD_COLUMNS.items()},
    }


class Unread(str):
    """Why an event's data cannot be read as those of its class, as a text that is stored."""

    def __new__(cls, reason: object) -> Unread:
        """Make it of an error or a text."""
        text = str(reason).replace("\0", r"\x00").encode("utf-8", "backslashreplace").decode()
        return super().__new__(cls, text)


class ReadEvents(NamedTuple):
    """What was read of some events.

    `columns` has a row for each event that is `shown`, in their order. `unread` says by the place
    of an event, in the order of the events, why it cannot be read as its class or be filtered.
    The others did not pass the filter.
    """

    columns: Columns
    shown: Sequence[bool]
    unread: Mapping[int, Unread]


class EventReader:
    """Makes columns of the events of one class, lifting old ones to its present version.

    `passes` is the filter. Values that the class knows and a column cannot hold are null, counted
    in `errors`.
    """

    def __init__(
        self,
        cls: type[Storable],
        fields: Sequence[FieldColumn],
        errors: ConversionErrors,
        passes: Callable[[Mapping[str, Any]], bool] | None,
    ) -> None:
        self._name = cls.__name__
        self._read_text = cls.from_json
        self._fields = [(field, itemgetter(field.name)) for field in fields]
        self._errors = errors
        self._passes = passes
        self._steps = upcasters_of(cls)
        self._present = len(self._steps) + 1
        self._defaults = defaults_of(cls)
        types = governed(cls).fields
        exact = any(field.kind.name in ("BigDecimal", "BigInteger") for field in fields) or any(
            has_decimal(each.type)
            and (self._steps or passes is not None or not isinstance(each.type, Scalar))
            for each in types.values()
        )
        self._decode = json.JSONDecoder(parse_float=Decimal if exact else None).decode

    def read(self, events: Sequence[ChangeEvent]) -> ReadEvents:
        """The encoded values of the events that are shown, and why others are not."""
        data = self._parse(events)
        if self._passes is not None:
            data = [self._filtered(each) for each in data]
        shown = [each.__class__ is dict for each in data]
        rows: Sequence[Any] = data
        its_events = events
        if not all(shown):
            rows, its_events = list(compress(data, shown)), list(compress(events, shown))
        columns = Columns()
        unread: dict[int, Unread] = {}
        for field, get in self._fields:
            columns[field.name] = self._column(field, get, its_events, rows, unread)
        if unread:
            # Found by column: only now is known which rows mean something.
            columns = columns.where([n not in unread for n in range(columns.row_count)])
            places = list(compress(count(), shown))
            for n, reason in unread.items():
                data[places[n]] = reason
            shown = [each.__class__ is dict for each in data]
        if all(shown):
            self._add_own(columns, events)
            return ReadEvents(columns, shown, {})
        self._add_own(columns, list(compress(events, shown)))
        reasons = {n: each for n, each in enumerate(data) if isinstance(each, Unread)}
        return ReadEvents(columns, shown, reasons)

    def _add_own(self, columns: Columns, events: Sequence[ChangeEvent]) -> None:
        """The columns of what the events say of themselves."""
        for name, get in _OWN_GETTERS.items():
            columns[name] = list(map(get, events))
        recorded, begins = columns["TxTime"], columns["ValidFrom"]
        columns["TxTime"] = self._instants("TxTime", recorded)
        if begins == recorded and None not in columns["TxTime"]:
            # Most hold from when they are recorded on.
            columns["ValidFrom"] = columns["TxTime"]
        else:
            columns["ValidFrom"] = self._instants("ValidFrom", begins)
        columns["ValidTo"] = self._instants("ValidTo", columns["ValidTo"])

    def _parse(self, events: Sequence[ChangeEvent]) -> list[Any]:
        try:
            # One text of all is parsed in half the time.
            texts = ",".join([text or "{}" for text in map(_data_of, events)])
            parsed = self._decode(f"[{texts}]")
        except NOT_ENCODABLE:
            parsed = [self._parse_one(event) for event in events]
        return [
            data
            if data.__class__ is dict and data.get(VERSION_KEY, 1) == self._present
            else self._lifted(data)
            for data in parsed
        ]

    def _parse_one(self, event: ChangeEvent) -> Any:
        try:
            return self._decode(event.data or "{}")
        except NOT_ENCODABLE:
            reason = self._reason(event)
            if reason is not None:
                return reason
            # A number of the class with more digits than Python reads as an int.
            return json.loads(event.data or "{}", parse_float=Decimal, parse_int=Decimal)

    def _lifted(self, data: Any) -> dict[str, Any] | Unread:
        if isinstance(data, Unread):
            return data
        if data.__class__ is not dict:
            return Unread(f"its data are expected to be a JSON object, not {type(data).__name__}")
        try:
            return lift(self._name, data, self._steps)
        except SerializationError as error:
            return Unread(error)

    def _filtered(self, data: Any) -> Any:
        assert self._passes is not None
        if isinstance(data, Unread):
            return data
        try:
            return data if self._passes(data) else None
        except NOT_ENCODABLE as error:
            return Unread(f"the filter cannot be asked about it: {error}")

    def _column(
        self,
        field: FieldColumn,
        get: Callable[[Mapping[str, Any]], Any],
        events: Sequence[ChangeEvent],
        rows: Sequence[Mapping[str, Any]],
        unread: dict[int, Unread],
    ) -> list[Any]:
        encode = field.encode_json
        try:
            values = list(map(get, rows))
            at_once = _encode_at_once(field.kind, values) if field.is_plain else None
            if at_once is not None:
                return at_once
            return [None if value is None else encode(value) for value in values]
        except NOT_ENCODABLE:
            pairs = zip(events, rows, strict=True)
            return [
                self._value(field, row, number, event, unread)
                for number, (event, row) in enumerate(pairs)
            ]

    def _value(
        self,
        field: FieldColumn,
        row: Mapping[str, Any],
        number: int,
        event: ChangeEvent,
        unread: dict[int, Unread],
    ) -> Any:
        try:
            if field.name in row:
                value = row[field.name]
                return None if value is None else field.encode_json(value)
            value = self._defaults[field.name]()
            return None if value is None else field.encode_object(value)
        except NOT_ENCODABLE as error:
            reason = unread.get(number) or self._reason(event)
            if reason is not None:
                unread[number] = reason
            else:
                self._errors.add(field.name, error, secret=field.secret)
            return None

    def _reason(self, event: ChangeEvent) -> Unread | None:
        """Why the class cannot read an event; None where it can, and only a column is too small."""
        try:
            self._read_text(event.data or "{}")
        except NOT_ENCODABLE as error:
            return Unread(error)
        return None

    def _instants(self, name: str, values: list[Any]) -> list[int | None]:
        if not any(values):
            return values
        try:
            # As `KINDS["Instant"]` does it, for a whole column of PostgreSQL's times at once.
            found = [
                None
                if value is None
                else ((since := value - _EPOCH).days * 86_400 + since.seconds) * 1_000_000_000
                + since.microseconds * 1_000
                for value in values
            ]
        except NOT_ENCODABLE:
            return [self._instant(name, value) for value in values]
        there = [n for n in found if n is not None]
        held = instant_nanos()
        if min(there) in held and max(there) in held:
            return found
        return [self._instant(name, value) for value in values]

    def _instant(self, name: str, value: Any) -> int | None:
        try:
            return None if value is None else KINDS["Instant"].encode(value)
        except NOT_ENCODABLE as error:
            self._errors.add(name, error)
            return None


def _encode_at_once(kind: Kind, values: list[Any]) -> list[Any] | None:
    """A whole column of parsed JSON as its kind encodes it, which is faster.

    None where each value must be looked at.
    """
    python, least, most = _PLAIN.get(kind.name, (None, 0, 0))
    if set(map(type, values)) != {python}:
        return None
    if kind.name == "Instant":
        return _nanos_at_once(values)
    return values if python is str or (least <= min(values) and max(values) <= most) else None


_PLAIN: dict[str, tuple[type, Any, Any]] = {
    "string": (str, None, None),
    "Instant": (str, None, None),
    "long": (int, -(2**63) + 1, 2**63 - 1),
    # The least double is the engine's null.
    "double": (float, -math.nextafter(sys.float_info.max, 0.0), sys.float_info.max),
}


def _nanos_at_once(texts: Sequence[str]) -> list[int] | None:
    """Nanoseconds since the epoch of times as the store writes them; None for any other text."""
    joined = "".join(texts)
    if set(map(len, texts)) != {len(_TIME_FORM)} or not joined.isascii():
        return None
    characters = np.frombuffer(joined.encode(), np.uint8).reshape(len(texts), -1)
    # Below the form's character the difference is a large number.
    if (characters - _TIME_FORM > _TIME_SPAN).any():
        return None
    times = np.ascontiguousarray(characters[:, :-1]).view(f"S{len(_TIME_FORM) - 1}").ravel()
    # ValueError for a day that the calendar does not have.
    micros = times.astype("datetime64[us]").astype(np.int64)
    held = instant_nanos()
    if int(micros.min()) * 1_000 not in held or int(micros.max()) * 1_000 not in held:
        return None
    nanos: list[int] = (micros * 1_000).tolist()
    return nanos


_FORM = b"0000-00-00T00:00:00.000000Z"
_TIME_FORM = np.frombuffer(_FORM, np.uint8)
_TIME_SPAN = np.array([9 if each == ord("0") else 0 for each in _FORM], np.uint8)
