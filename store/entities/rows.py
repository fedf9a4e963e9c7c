"""Rows of the store as objects, and what the store knows of an object."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from typing import Any, NamedTuple, TypeVar

from store.base import Storable
from store.entities.unreadable import Unreadable
from store.errors import SerializationError

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


# What `from_row` reads, in the order of its row.
COLUMNS = ", ".join((*RECORDED, "data", "newest"))


def from_row(cls: type[S], row: tuple[Any, ...]) -> S:
    """The object of a row, lifted by the class's upcasters."""
    obj = cls.from_json(row[-2])
    _mark(obj, row, row[_VALID_TO], row[-1])
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
    _mark(obj, receipt, receipt.valid_to, newest)


def _mark(obj: Storable, recorded: tuple[Any, ...], valid_to: datetime, newest: int) -> None:
    known = dict(zip(_MARKS, recorded))  # noqa: B905 - more follows in it
    known["_store_newest_version"] = newest
    if valid_to >= FOR_EVER:
        known["_store_valid_to"] = None
    # Also where the class is frozen, or has slots for its fields.
    vars(obj).update(known)


def restorer(obj: Storable) -> Callable[[], None]:
    """What gives an object back what the store knows of it now."""
    return partial(_restore, obj, {n: vars(obj)[n] for n in _ALL_MARKS if n in vars(obj)})


def _restore(obj: Storable, before: dict[str, Any]) -> None:
    for name in _ALL_MARKS:
        if name in before:
            object.__setattr__(obj, name, before[name])
        elif name in vars(obj):
            object.__delattr__(obj, name)


_VALID_TO = RECORDED.index("valid_to")
_MARKS = tuple(f"_store_{name}" for name in RECORDED)
_ALL_MARKS = (*_MARKS, "_store_newest_version")
