"""Writing: new versions of entities, one or many at a time."""

from __future__ import annotations

import json
import logging
import os
import struct
import threading
import time
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import partial
from typing import Any, NamedTuple

from store.base import Storable
from store.database.arrays import JSON_ARRAY, array_text, json_array_text
from store.database.connection import Connection
from store.entities.idempotency import Numbers, reserve
from store.entities.rows import FOR_EVER, Receipt, mark, restorer
from store.errors import AlreadyStored, InvalidPeriod, NotStored, StoreError
from store.events import Bus, ChangeEvent
from store.governance.class_schema import schema_of
from store.leases import Lease
from store.serialization.codec import codec_of

_APPEND = """
SELECT * FROM object_store.append(
    %s, %s::uuid, %s, %s, %s::jsonb, %s, %s, %s, %s::jsonb, %s::uuid, %s)
"""
_APPEND_NEW = f"""
SELECT * FROM object_store.append_new(
    %s::uuid[], %s::text[], {JSON_ARRAY}, %s::text[], %s, %s)
"""
_APPEND_BATCH = f"""
SELECT * FROM object_store.append_batch(
    %s::text[], %s::uuid[], %s::int[], %s::text[], {JSON_ARRAY}, %s::text[], %s::timestamptz[],
    %s::timestamptz[], %s::jsonb[], %s::uuid[], %s::text[], %s, %s, %s, %s::uuid, %s, %s)
"""
# For a caller that wants no receipts: the rows are neither sent nor read.
_APPEND_BATCH_UNSEEN = f"SELECT count(*) FROM ({_APPEND_BATCH}) r"
_UPDATE_MANY = f"""
SELECT * FROM object_store.update_many(
    %s::uuid[], %s::int[], %s::text[], {JSON_ARRAY}, %s::text[], %s, %s)
"""
_STORED_AS = """
SELECT type_name FROM object_store.versions(%s::uuid, NULL) ORDER BY version DESC LIMIT 1
"""
_FIND = "SELECT * FROM object_store.written_as(%s::uuid)"
# Where many databases and programs put the end of time.
_LAST_DAY = datetime(9999, 12, 31)
_log = logging.getLogger(__name__)

Period = tuple[datetime | None, datetime | None]
_NO_PERIOD: Period = (None, None)
EventId = str | uuid.UUID


class Change(NamedTuple):
    """One change of a batch; `expected` is the version that it builds on, None for a new entity."""

    kind: str
    obj: Storable
    entity_id: str
    expected: int | None
    type_name: str
    data: str | None
    state: str | None
    period: Period
    meta: str | None
    event_id: EventId | None


class Appender:
    """Appends events of objects and writes on the objects what came of it.

    Nothing is written on an object before the database has taken the event.
    """

    def __init__(self, connection: Connection, bus: Bus | None, *, warn_only: bool) -> None:
        self._connection = connection
        self._bus = bus
        self._warn_only = warn_only

    def one(
        self,
        kind: str,
        obj: Storable,
        period: Period,
        *,
        state: str | None,
        meta: dict[str, Any] | None = None,
        event_id: EventId | None = None,
    ) -> Receipt:
        """Append one event of an object."""
        is_new = kind == "CREATED"
        with self._numbered(None if event_id is None else [event_id], 1) as ids:
            data = self._checked_text(kind, obj, ids, 0)
            meta_text = None if meta is None else json.dumps(meta)
            values = (
                kind,
                new_entity_id() if is_new else obj._store_entity_id,
                None if is_new else _expected(obj),
                (type_name := self.type_name(obj)),
                data,
                state,
                *_checked(period),
                meta_text,
                ids.given[0],
                ids.of_step,
            )
            (row,) = self._send(_APPEND, values, repeats=ids.given[0] is not None)
        receipt = Receipt(*row)
        self._done([obj], [receipt], [type_name], [data], [meta_text])
        return receipt

    def many(
        self,
        kind: str,
        objects: Sequence[Storable],
        period: Period,
        event_ids: Sequence[EventId] | None,
    ) -> list[Receipt]:
        """Append an event of each object, all or none."""
        if event_ids is not None and len(event_ids) != len(objects):
            raise StoreError(
                f"{len(objects)} objects need as many event_ids, {len(event_ids)} are given"
            )
        is_new = kind == "CREATED"
        if is_new and len({id(obj) for obj in objects}) < len(objects):
            raise AlreadyStored("an object is given twice; each one becomes an entity of its own")
        if not objects:
            return []
        with self._numbered(event_ids, len(objects)) as ids:
            data = [
                self._checked_text(kind, obj, ids, number) for number, obj in enumerate(objects)
            ]
            entities = [new_entity_id() if is_new else obj._store_entity_id for obj in objects]
            types = [self.type_name(obj) for obj in objects]
            if is_new:
                states: list[str | None] = [initial_state(obj) for obj in objects]
            else:
                states = [obj._store_state for obj in objects]
            expected = [None] * len(objects) if is_new else _expected_in_turn(objects)
            has_ids = ids.given[0] is not None
            if is_new and not has_ids:
                columns = [*_arrays(entities, types), json_array_text(data), array_text(states)]
                rows = self._send(_APPEND_NEW, (*columns, *_checked(period)), repeats=False)
            elif kind == "UPDATED" and not has_ids and len(set(entities)) == len(entities):
                columns = _arrays(entities, expected, types)
                columns += [json_array_text(data), array_text(states)]
                rows = self._send(_UPDATE_MANY, (*columns, *_checked(period)), repeats=False)
            else:
                changes = [
                    Change(
                        kind, obj, entity or "", version, name, text, state, period, None, event_id
                    )
                    for obj, entity, version, name, text, state, event_id in zip(
                        objects, entities, expected, types, data, states, ids.given, strict=True
                    )
                ]
                rows = self._send_batch(changes, (), None, ids.of_step)
        receipts = [Receipt(*row) for row in rows]
        self._done(objects, receipts, types, data, [None] * len(objects))
        return receipts

    def batch(
        self,
        changes: Sequence[Change],
        readers: Sequence[str],
        lease: Lease | None,
        numbers: Numbers | None,
        *,
        marks: bool = True,
    ) -> list[Receipt]:
        """Append changes of any kinds in one call, all or none, in their order.

        `readers` may read the entities that are new. Under a lease, or where every change has an
        event id, the call outlasts a restart of the server. `numbers` of a step of a workflow say
        that the event ids are made from its name.
        Without `marks` the objects stay as they are, and there are no receipts.
        """
        block = self._connection.transaction_block
        is_unseen = not marks and self._bus is None
        if block is not None and numbers is not None:
            block.on_rollback(numbers.give_back)
        statement = _APPEND_BATCH_UNSEEN if is_unseen else _APPEND_BATCH
        rows = self._send_batch(changes, readers, lease, numbers is not None, statement)
        if lease is not None:
            lease.turn += 1
            if block is not None:
                block.on_rollback(partial(lease.go_back, lease.turn))
        if is_unseen:
            return []
        receipts = [Receipt(*row) for row in rows]
        self._done(
            [change.obj for change in changes],
            receipts,
            [change.type_name for change in changes],
            [change.data for change in changes],
            [change.meta for change in changes],
            marks=marks,
        )
        return receipts if marks else []

    def find(self, event_id: EventId) -> Receipt | None:
        """What the write under an id answered; None where there was none."""
        rows = self._connection.read(_FIND, [_event_uuid(event_id)])
        return Receipt(*rows[0]) if rows else None

    @contextmanager
    def _numbered(self, given: Sequence[EventId] | None, size: int) -> Iterator[_EventIds]:
        """The event ids of a write: those given, else those of the step that it is part of."""
        if given is not None:
            yield _EventIds([_event_uuid(each) for each in given], False)
            return
        numbers = reserve(size)
        if numbers is None:
            yield _EventIds([None] * size, False)
            return
        try:
            yield _EventIds([_event_uuid(each) for each in numbers.event_ids], True)
        except BaseException:
            numbers.give_back()
            raise
        block = self._connection.transaction_block
        if block is not None:
            block.on_rollback(numbers.give_back)

    def type_name(self, obj: Storable) -> str:
        """The name that the next version is stored under.

        A renamed class stores under its new name, but only the owner can change an entity's: what
        others own stays under the name that it has.
        """
        cls = type(obj)
        if obj._store_owner in (None, self._connection.user) or len(cls.type_names()) == 1:
            return cls.type_name()
        rows = self._connection.read(_STORED_AS, (obj._store_entity_id,))
        stored = rows[0][0] if rows else None
        return stored if stored in cls.type_names() else cls.type_name()

    def _send_batch(
        self,
        changes: Sequence[Change],
        readers: Sequence[str],
        lease: Lease | None,
        of_step: bool,
        statement: str = _APPEND_BATCH,
    ) -> list[Any]:
        kinds, _, entities, expected, types, data, states, given, metas, event_ids = zip(
            *changes, strict=True
        )
        ids = [None if each is None else _event_uuid(each) for each in event_ids]
        periods = [each if each == _NO_PERIOD else _checked(each) for each in given]
        columns = [
            *_arrays(kinds, entities, expected, types),
            json_array_text(data),
            *_arrays(
                states,
                [since for since, _ in periods],
                [until for _, until in periods],
                metas,
                ids,
                readers,
            ),
        ]
        lease_values = (None,) * 5 if lease is None else lease.next_turn()
        values = (*columns, *lease_values, of_step)
        return self._send(statement, values, repeats=lease is not None or None not in ids)

    def _send(self, statement: str, values: Sequence[Any], *, repeats: bool) -> list[Any]:
        try:
            return self._connection.write(statement, values, repeats=repeats)
        except AlreadyStored:
            if not repeats or self._connection.transaction_block is not None:
                raise
            # The same event_id was written at the same time: now it is there to be found.
            return self._connection.write(statement, values, repeats=True)

    def _done(
        self,
        objects: Sequence[Storable],
        receipts: Sequence[Receipt],
        types: Sequence[str],
        data: Sequence[str | None],
        metas: Sequence[str | None],
        *,
        marks: bool = True,
    ) -> None:
        """Write the receipts on the objects, and tell the listeners once all is committed."""
        block = self._connection.transaction_block
        for obj, receipt, name, text, meta in zip(
            objects, receipts, types, data, metas, strict=True
        ):
            if marks:
                if block is not None:
                    block.restore_on_rollback(id(obj), restorer(obj))
                mark(obj, receipt, receipt.version)
            if self._bus is None or receipt.repeated:
                continue
            event = _change(name, receipt, text, meta)
            if block is None:
                self._tell(event)
            else:
                block.on_commit(partial(self._tell, event))

    def _tell(self, event: ChangeEvent) -> None:
        if self._bus is None:
            return
        try:
            self._bus.emit(event)
        except Exception:  # noqa: BLE001 - logged
            # The write is committed: an error here must not look like one of the write.
            _log.exception("the event bus failed on %s", event)

    def _checked_text(self, kind: str, obj: Any, ids: _EventIds, number: int) -> str | None:
        if isinstance(obj, Storable):
            if kind == "CREATED" and obj._store_entity_id is not None:
                self._check_repeated(obj, ids, number)
            if kind != "CREATED" and obj._store_entity_id is None:
                raise NotStored(f"this {type(obj).__name__} was never written; write() it first")
        return self.checked_text(kind, obj)

    def checked_text(self, kind: str, obj: Any) -> str | None:
        """The JSON text of an object, None for a tombstone.

        Refuses what is no Storable, and values that break the catalog's rules.
        """
        if not isinstance(obj, Storable):
            raise StoreError(f"expected an object of a Storable class, got {type(obj).__name__}")
        if kind == "DELETED":
            return None
        cls = type(obj)
        if cls.to_json is Storable.to_json:
            text = codec_of(cls).good_text(obj, schema_of(cls, cls._registry))
            if text is not None:
                return text
        self._check_values(obj)
        return obj.to_json()

    def _check_values(self, obj: Storable) -> None:
        violations = type(obj)._registry.validate_instance(obj)
        if violations and self._warn_only:
            for violation in violations:
                warnings.warn(str(violation), UserWarning, stacklevel=6)
        elif violations:
            type(obj)._registry.validate(obj)

    def _check_repeated(self, obj: Storable, ids: _EventIds, number: int) -> None:
        """An object that is an entity already can be written again under the same id alone."""
        event_id = ids.given[number]
        if event_id is not None:
            first = self.find(event_id) if ids.of_step else None
            if not ids.of_step or (first and first.entity_id == obj._store_entity_id):
                return
        raise AlreadyStored(
            f"this {type(obj).__name__} is entity {obj._store_entity_id}; update() writes its "
            "next version, dataclasses.replace(obj) makes an object that is no entity yet"
        )


class _EventIds(NamedTuple):
    given: list[str | None]
    # Made from the step's name, which says nothing about what is written.
    of_step: bool


_last_tick = 0
_ticking = threading.Lock()
# Asked of the system for many ids at once: each call lets go of Python for another thread.
_CHANCES = struct.Struct("256Q")
_chance: list[str] = []
# A copy of the process must not draw what this one draws.
os.register_at_fork(after_in_child=_chance.clear)


def new_entity_id() -> str:
    """A UUID of version 7: the time, to keep new rows together in the indexes, then chance.

    Those of one process rise strictly, so that entities of one batch keep their order.
    """
    global _last_tick  # noqa: PLW0603 - one clock a process
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    with _ticking:
        _last_tick = max(milliseconds << 12 | (rest << 12) // 1_000_000, _last_tick + 1)
        tick = _last_tick
        if not _chance:
            _chance.extend(map(_chance_text, _CHANCES.unpack(os.urandom(_CHANCES.size))))
        chance = _chance.pop()
    when = f"{tick:015x}"
    return f"{when[:8]}-{when[8:12]}-7{when[12:]}-{chance}"


def _chance_text(number: int) -> str:
    """The last two parts of an id: two bits that say what kind of id it is, then 62 by chance."""
    text = f"{1 << 63 | number >> 2:016x}"
    return f"{text[:4]}-{text[4:]}"


def initial_state(obj: Storable) -> str | None:
    """The state that an object begins in: its machine's first, or none."""
    machine = obj._state_machine
    return None if machine is None else machine.initial


def aware(name: str, value: datetime | None) -> datetime | None:
    """A moment with its zone; InvalidPeriod for one without."""
    if value is not None and (not isinstance(value, datetime) or value.utcoffset() is None):
        raise InvalidPeriod(
            f"{name}={value!r} is no moment; a datetime with a zone is needed, such as "
            "datetime.now(timezone.utc)"
        )
    return value


def _checked(period: Period) -> Period:
    """A period as the database takes it; InvalidPeriod for a bound that no calendar has.

    The last day of the year 9999, in its own zone, is for ever.
    """
    valid_from, valid_to = period
    for name, bound in (("valid_from", valid_from), ("valid_to", valid_to)):
        moment = aware(name, bound)
        if moment is None or moment.tzinfo is timezone.utc:
            continue
        if name == "valid_to" and _is_last_day(moment):
            continue
        try:
            moment.astimezone(timezone.utc)
        except OverflowError:
            raise InvalidPeriod(
                f"{name}={moment} is outside of the years 1 to 9999 in UTC; a period can begin at "
                "0001-01-01 00:00 UTC and end before 9999-12-31; leave valid_to out for one that "
                "does not end"
            ) from None
    return valid_from, None if valid_to is not None and _is_last_day(valid_to) else valid_to


def _is_last_day(moment: datetime) -> bool:
    return moment.replace(tzinfo=None) >= _LAST_DAY


def _change(type_name: str, receipt: Receipt, data: str | None, meta: str | None) -> ChangeEvent:
    return ChangeEvent(
        receipt.entity_id,
        receipt.version,
        receipt.event_type,
        type_name,
        receipt.updated_by,
        receipt.state,
        receipt.tx_time,
        owner=receipt.owner,
        valid_from=receipt.valid_from,
        valid_to=None if receipt.valid_to >= FOR_EVER else receipt.valid_to,
        meta_text=meta,
        data=data,
    )


def _arrays(*columns: Sequence[str | int | datetime | None]) -> list[str | None]:
    return [array_text(column) for column in columns]


def _expected(obj: Storable) -> int | None:
    newest = obj._store_newest_version
    return obj._store_version if newest is None else newest


def _expected_in_turn(objects: Sequence[Storable]) -> list[int | None]:
    """An object that is given twice gets two versions: the second builds on the first."""
    times: dict[int, int] = {}
    found: list[int | None] = []
    for obj in objects:
        before = times.get(id(obj), 0)
        times[id(obj)] = before + 1
        found.append((_expected(obj) or 0) + before)
    return found


def _event_uuid(event_id: EventId) -> str:
    try:
        return str(uuid.UUID(str(event_id)))
    except ValueError:
        # Any text will do: the same one always gives the same id.
        return str(uuid.uuid5(_TEXTS, str(event_id)))


_TEXTS = uuid.UUID("8f1c7ad2-58f4-4d5c-9a0a-6f6f3f2f9c11")
