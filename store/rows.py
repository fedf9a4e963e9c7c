"""Rows of the store as objects, and what the store knows of an object."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, NamedTuple, TypeVar

from store.base import Storable
from store.errors import SerializationError
from store.unreadable import Unreadable

S = TypeVar("S", bound=Storable)

# `infinity` comes back as the last moment that Python knows.
FOR_EVER = datetime.max.replace(tzinfo=timezone.utc)


class Receipt(NamedTuple):
    """What the store answers to a write: who and when, as it was recorded."""

    entity_id: str
    version: int
    event_type: str
    owner: str
    updated_by: str
    tx_time: datetime
    valid_from: datetime
    valid_to: datetime
    state: str | None
    repeated: bool = False


# What of it stands in the log.
RECORDED = Receipt._fields[:-1]


def columns(alias: str) -> str:
    """The columns that `from_row` reads, of a table or subquery shaped like `event`."""
    receipt = ", ".join(f"{alias}.{name}" for name in RECORDED)
    newest = f"SELECT h.version FROM object_store.head h WHERE h.entity_id = {alias}.entity_id"
    return f"{receipt}, {alias}.data::text, ({newest})"


_PRESENT = """
SELECT s.entity_id, s.version, s.event_type, s.owner, s.updated_by, s.tx_time,
    s.event_from AS valid_from, s.event_to AS valid_to, s.state, s.type_name, s.data
FROM {} WHERE {} AND s.valid_to > statement_timestamp() AND s.valid_from <= statement_timestamp()
"""
_ME = 'current_user::text COLLATE "C"'
# The values that hold now, each with the period of its whole event: a user's own, and those shared
# with them. Apart, each is found by an index; the policy alone would look at everybody's.
PRESENT = (
    _PRESENT.format("object_store.seg s", f"s.owner = {_ME}"),
    _PRESENT.format(
        "object_store.acl a JOIN object_store.seg s ON s.entity_id = a.entity_id",
        f"a.grantee = {_ME} AND s.owner <> {_ME}",
    ),
)


def from_row(cls: type[S], row: tuple[Any, ...]) -> S:
    """The object of a row, lifted by the class's upcasters."""
    *receipt, data, newest = row
    obj = cls.from_json(data)
    mark(obj, Receipt(*receipt), newest)
    return obj


def readable(cls: type[S], row: tuple[Any, ...]) -> S | Unreadable:
    """The object of a row, or why it cannot be read."""
    try:
        return from_row(cls, row)
    except (SerializationError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        return unreadable_row(row, str(error))


def unreadable_row(row: tuple[Any, ...], why: str) -> Unreadable:
    """What a row is that cannot be read."""
    receipt = Receipt(*row[:-2])
    return Unreadable(receipt.entity_id, receipt.version, receipt.updated_by, why, row[-2])


def mark(obj: Storable, receipt: Receipt, newest: int) -> None:
    """Write on an object what the store knows of it."""
    known = dict(zip(_MARKS, receipt, strict=False))
    known["_store_newest_version"] = newest
    if receipt.valid_to >= FOR_EVER:
        known["_store_valid_to"] = None
    for name, value in known.items():
        object.__setattr__(obj, name, value)


def kept(obj: Storable) -> dict[str, Any]:
    """What the store knows of an object, as it is on the object itself."""
    return {name: vars(obj)[name] for name in _ALL_MARKS if name in vars(obj)}


def restore(obj: Storable, before: dict[str, Any]) -> None:
    """Put back what `kept` gave."""
    for name in _ALL_MARKS:
        if name in before:
            object.__setattr__(obj, name, before[name])
        elif name in vars(obj):
            object.__delattr__(obj, name)


_MARKS = tuple(f"_store_{name}" for name in RECORDED)
_ALL_MARKS = (*_MARKS, "_store_newest_version")
