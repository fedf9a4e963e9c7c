"""The columns of a class's tables, and events as columns of values."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from bridge.errors import RegistrationError
from bridge.kinds import KINDS, Kind
from bridge.limits import instant_nanos
from store.base import Storable
from store.errors import SerializationError
from store.events import ChangeEvent
from store.exports.deephaven import deephaven_type
from store.governance.class_schema import GovernedField, governed
from store.governance.column_types import EnumOf, Scalar
from store.serialization.codec import codec_of, defaults_of, has_decimal, json_text
from store.serialization.json_reader import readers
from store.serialization.upcasting import VERSION_KEY, lift, upcasters_of

logger = logging.getLogger(__name__)

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
# What a value that does not fit raises.
UNFIT = (
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
    SerializationError,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Columns(dict[str, list[Any]]):
    """What travels, column by column, None for null.

    `made` keeps what was made of the columns for one stream, for others that get the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[tuple[str, int], Any] = {}

    def chosen(self, rows: Sequence[int]) -> Columns:
        """Some of the rows."""
        found = Columns()
        for name, values in self.items():
            found[name] = [values[row] for row in rows]
        return found


class Misfits:
    """Counts values that their column cannot hold; each column's first one is logged."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self.counts: Counter[str] = Counter()

    def add(self, column: str, error: BaseException | str, *, secret: bool = False) -> None:
        """Count one; `secret` keeps what the error says out of the log."""
        self.counts[column] += 1
        if self.counts[column] == 1:
            told = type(error).__name__ if secret else error
            logger.warning(
                "%s.%s: a value does not fit and is shown as null (later ones are only counted): "
                "%s",
                self._owner,
                column,
                told,
            )

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class FieldColumn:
    """A field of a class as a column: its kind, and how its values become what travels."""

    name: str
    kind: Kind
    fit_json: Callable[[Any], Any]
    fit_object: Callable[[Any], Any]
    secret: bool

    @property
    def is_plain(self) -> bool:
        """Is what JSON holds the value itself, not its text?"""
        return self.fit_json is self.kind.fit


def field_column(field: GovernedField) -> FieldColumn:
    """The column of a governed field."""
    kind = KINDS[deephaven_type(field)]
    fit_json = fit_object = kind.fit
    if not isinstance(field.type, (Scalar, EnumOf)):
        # Lists, dicts and dataclasses are shown as their canonical JSON text.
        read = readers(lambda record: codec_of(record).read).of(field.type)

        def fit_object(value: Any) -> Any:
            return kind.fit(json_text(field.type, value))

        def fit_json(value: Any) -> Any:
            return fit_object(read(value, None))

    return FieldColumn(field.name, kind, fit_json, fit_object, field.is_secret)


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


class EventReader:
    """Makes columns of the events of one class, lifting old ones to its present version."""

    def __init__(
        self,
        cls: type[Storable],
        fields: Sequence[FieldColumn],
        misfits: Misfits,
        passes: Callable[[Mapping[str, Any]], bool] | None,
    ) -> None:
        self._name = cls.__name__
        self._fields = fields
        self._misfits = misfits
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

    def parse(self, events: Sequence[ChangeEvent]) -> list[dict[str, Any]]:
        """The data of each event as JSON objects of the class's present version."""
        try:
            # One text of all is parsed in half the time.
            parsed = self._decode("[" + ",".join([e.data or "{}" for e in events]) + "]")
        except UNFIT:
            parsed = [self._parse_one(event) for event in events]
        return [
            data
            if data.__class__ is dict and data.get(VERSION_KEY, 1) == self._present
            else self._lifted(data)
            for data in parsed
        ]

    def matches(self, rows: Sequence[Mapping[str, Any]]) -> list[bool]:
        """Does the filter pass the data of each event?"""
        return [self._matches(row) for row in rows] if self._passes else [True] * len(rows)

    def columns(self, events: Sequence[ChangeEvent], rows: Sequence[Mapping[str, Any]]) -> Columns:
        """What travels, column by column, None for null."""
        found = Columns()
        for name, (_, attribute) in EVENT_COLUMNS.items():
            found[name] = [getattr(event, attribute) for event in events]
        for field in self._fields:
            found[field.name] = self._column(field, rows)
        for name, (_, attribute) in PERIOD_COLUMNS.items():
            found[name] = [getattr(event, attribute) for event in events]
        for name in ("TxTime", "ValidFrom", "ValidTo"):
            found[name] = self._instants(name, found[name])
        return found

    def _parse_one(self, event: ChangeEvent) -> Any:
        try:
            return self._decode(event.data or "{}")
        except UNFIT as error:
            self._misfits.add("data", error)
            return self._nothing()

    def _nothing(self) -> dict[str, Any]:
        """Data of which nothing is known: every field is null."""
        return {**dict.fromkeys(field.name for field in self._fields), VERSION_KEY: self._present}

    def _lifted(self, data: Any) -> dict[str, Any]:
        if data.__class__ is not dict:
            self._misfits.add("data", f"a JSON object is expected, not {type(data).__name__}")
            return self._nothing()
        try:
            return lift(self._name, data, self._steps)
        except SerializationError as error:
            self._misfits.add("data", error)
            return self._nothing()

    def _matches(self, row: Mapping[str, Any]) -> bool:
        assert self._passes is not None
        try:
            return self._passes(row)
        except UNFIT as error:
            self._misfits.add("filter", error)
            return False

    def _column(self, field: FieldColumn, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        name, fit = field.name, field.fit_json
        try:
            values = [row[name] for row in rows]
            if field.is_plain and _fits_as_it_is(field.kind, values):
                return values
            return [None if value is None else fit(value) for value in values]
        except UNFIT:
            return [self._value(field, row) for row in rows]

    def _value(self, field: FieldColumn, row: Mapping[str, Any]) -> Any:
        try:
            if field.name in row:
                value = row[field.name]
                return None if value is None else field.fit_json(value)
            value = self._defaults[field.name]()
            return None if value is None else field.fit_object(value)
        except UNFIT as error:
            self._misfits.add(field.name, error, secret=field.secret)
            return None

    def _instants(self, name: str, values: list[Any]) -> list[int | None]:
        try:
            # As `KINDS["Instant"]` does it, for a whole column of PostgreSQL's times at once.
            found = [
                None
                if value is None
                else (((since := value - _EPOCH).days * 86_400 + since.seconds) * 1_000_000) * 1_000
                + since.microseconds * 1_000
                for value in values
            ]
        except UNFIT:
            return [self._instant(name, value) for value in values]
        there, held = [n for n in found if n is not None], instant_nanos()
        if not there or (min(there) in held and max(there) in held):
            return found
        return [self._instant(name, value) for value in values]

    def _instant(self, name: str, value: Any) -> int | None:
        try:
            return None if value is None else KINDS["Instant"].fit(value)
        except UNFIT as error:
            self._misfits.add(name, error)
            return None


def _fits_as_it_is(kind: Kind, values: list[Any]) -> bool:
    """Can parsed JSON travel as it is? Asked of a whole column, that takes a third of the time."""
    python, least, most = _PLAIN.get(kind.name, (None, 0, 0))
    if set(map(type, values)) != {python}:
        return False
    return python is str or (least <= min(values) and max(values) <= most)


_PLAIN: dict[str, tuple[type, Any, Any]] = {
    "string": (str, None, None),
    "long": (int, -(2**63) + 1, 2**63 - 1),
    # The least double is the engine's null.
    "double": (float, -math.nextafter(sys.float_info.max, 0.0), sys.float_info.max),
}
