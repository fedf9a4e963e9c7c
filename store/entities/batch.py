"""A batch: changes of many entities that are written in one round trip, all or none.

with client.batch() as batch:
    batch.write(order)
    batch.transition(order, "SENT")
    batch.update(position)
receipts = batch.receipts
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import NamedTuple

from store.base import Storable
from store.database.connection import Connection
from store.entities.appender import (
    Appender,
    Change,
    EventId,
    Period,
    initial_state,
    new_entity_id,
)
from store.entities.idempotency import reserve
from store.entities.rows import Receipt
from store.entities.transitions import Transitions, restored
from store.errors import AlreadyStored, NotStored, StoreError
from store.leases import Lease
from store.state_machine import Transition

__all__ = ["Batch"]


class _Pending(NamedTuple):
    """What an object will be once the batch is written."""

    obj: Storable
    entity_id: str
    version: int
    state: str | None


class _Move(NamedTuple):
    """A transition whose action, workflow or hooks are still to come."""

    place: int
    step: Transition
    before: str


class Batch:
    """Collects changes, and writes them when it is committed; see `StoreClient.batch`.

    An object is taken as it is when the method is called, and may be changed and given again: each
    time is a version of its own. Objects know of their new versions once the batch is committed,
    unless it was made with `marks=False`. As a context manager it commits at the end, and writes
    nothing where the block raises.
    """

    def __init__(
        self,
        connection: Connection,
        appender: Appender,
        transitions: Transitions,
        readers: Sequence[str],
        lease: Lease | None,
        *,
        marks: bool = True,
    ) -> None:
        self._connection = connection
        self._appender = appender
        self._transitions = transitions
        self._readers = tuple(readers)
        self._lease = lease
        self._marks = marks
        self._changes: list[Change] = []
        self._pending: dict[int, _Pending] = {}
        self._moves: list[_Move] = []
        self._numbers = reserve(1)
        self._is_repeated = False
        if self._numbers is not None:
            # In a step that is run again the objects may show what the batch did the first time.
            self._is_repeated = appender.find(self._step_id(0)) is not None
        self.receipts: list[Receipt] = []

    def __len__(self) -> int:
        return len(self._changes)

    # --- what to write ----------------------------------------------------------------------------

    def write(
        self,
        obj: Storable,
        *,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        event_id: EventId | None = None,
    ) -> str:
        """Add a new entity; returns the id that it will have."""
        data = self._appender.checked_text("CREATED", obj)
        if id(obj) in self._pending or (obj._store_entity_id is not None and not self._is_repeated):
            raise AlreadyStored(
                f"this {type(obj).__name__} is an entity already; update() writes its next version"
            )
        state = initial_state(obj)
        pending = _Pending(obj, new_entity_id(), 0, state)
        self._add("CREATED", pending, data, state, (valid_from, valid_to), None, event_id)
        return pending.entity_id

    def update(
        self,
        obj: Storable,
        *,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        event_id: EventId | None = None,
    ) -> int:
        """Add the next version of an entity; returns its number."""
        data, before = self._before("UPDATED", obj)
        period = valid_from, valid_to
        return self._add("UPDATED", before, data, before.state, period, None, event_id)

    def delete(
        self,
        obj: Storable,
        *,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        event_id: EventId | None = None,
    ) -> int:
        """Add a tombstone, which ends the entity's value for the period; returns its version."""
        data, before = self._before("DELETED", obj)
        period = valid_from, valid_to
        return self._add("DELETED", before, data, before.state, period, None, event_id)

    def transition(
        self,
        obj: Storable,
        new_state: str,
        *,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        event_id: EventId | None = None,
    ) -> int:
        """Add a move to another state, if the machine allows it now; returns the version.

        Raises as `StoreClient.transition` does. Actions run when the batch is committed, in its
        transaction; hooks and workflows follow.
        """
        data, before = self._before("STATE_CHANGE", obj)
        meta = None
        if not self._is_repeated:
            step, state, said = self._transitions.plan(obj, before.state, new_state)
            meta = json.dumps(said)
            if step.action or step.start_workflow or step.on_exit or step.on_enter:
                self._moves.append(_Move(len(self._changes), step, state))
        period = valid_from, valid_to
        return self._add("STATE_CHANGE", before, data, new_state, period, meta, event_id)

    def _before(self, kind: str, obj: Storable) -> tuple[str | None, _Pending]:
        """The object's text, and what it is now, or will be by the changes that were added."""
        data = self._appender.checked_text(kind, obj)
        pending = self._pending.get(id(obj))
        if pending is not None:
            return data, pending
        if obj._store_entity_id is None:
            raise NotStored(f"this {type(obj).__name__} was never written; write() it first")
        newest = obj._store_newest_version
        version = obj._store_version if newest is None else newest
        return data, _Pending(obj, obj._store_entity_id, version or 0, obj._store_state)

    def _add(
        self,
        kind: str,
        before: _Pending,
        data: str | None,
        state: str | None,
        period: Period,
        meta: str | None,
        event_id: EventId | None,
    ) -> int:
        obj, entity_id, version, _ = before
        if self._numbers is not None:
            if event_id is not None:
                raise StoreError(
                    f"event_id={event_id!r} in a step of a workflow; a batch has ids of its own "
                    "there, leave it out"
                )
            event_id = self._step_id(len(self._changes))
        expected = version or None
        name = self._appender.type_name(obj)
        self._changes.append(
            Change(kind, obj, entity_id, expected, name, data, state, period, meta, event_id)
        )
        self._pending[id(obj)] = _Pending(obj, entity_id, version + 1, state)
        return version + 1

    def _step_id(self, place: int) -> str:
        assert self._numbers is not None
        return f"{self._numbers.event_ids[0]}:{place}"

    # --- writing it -------------------------------------------------------------------------------

    def commit(self) -> list[Receipt]:
        """Write everything; returns a receipt for each change, in order.

        BatchConflict names each entity that is at another version than expected, LeaseLost says
        that another writes under the lease by now: nothing is written then. Nothing is done where
        there are no changes.
        """
        changes, moves = self._changes, self._moves
        if changes:
            try:
                self.receipts = self._write(changes, moves)
            except BaseException:
                self._give_back()
                raise
        self._changes, self._moves = [], []
        self._pending.clear()
        return self.receipts

    def discard(self) -> None:
        """Forget everything that was added."""
        self._give_back()
        self._changes, self._moves = [], []
        self._pending.clear()

    def _write(self, changes: list[Change], moves: list[_Move]) -> list[Receipt]:
        if not moves:
            return self._appender.batch(
                changes, self._readers, self._lease, self._numbers, marks=self._marks
            )
        with ExitStack() as stack:
            kept = [stack.enter_context(restored(changes[m.place].obj, m.step)) for m in moves]
            block = stack.enter_context(self._connection.transaction())
            for undone, move in zip(kept, moves, strict=True):
                block.on_rollback(partial(undone.append, move))
            receipts = self._appender.batch(changes, self._readers, self._lease, self._numbers)
            for place, step, before in moves:
                receipt = receipts[place]
                if not receipt.repeated:
                    name = f"{changes[place].event_id}:action"
                    obj = changes[place].obj
                    self._transitions.carry_out(step, obj, before, receipt, name, block)
        return receipts

    def _give_back(self) -> None:
        if self._numbers is not None:
            self._numbers.give_back()

    def __enter__(self) -> Batch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.discard()
