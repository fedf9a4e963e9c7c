"""Transitions: an object moves to another state, with everything that its machine declares.

The order is: permission and guard; in one transaction the change of state, the action, and the
promise of a workflow; after the commit `on_exit`, `on_enter`, and the start of the workflow.
"""

from __future__ import annotations

import copy
import logging
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from store.base import Storable
from store.database.connection import Connection, Transaction
from store.entities.appender import Appender, initial_state
from store.entities.idempotency import next_event_id, part_of_step, reserve
from store.entities.rows import Receipt, mark
from store.errors import EngineNotSet, EventIdReused, NoStateMachine, NotStored, StoreError
from store.outbox import Outbox, promise
from store.state_machine import StateMachine, Transition

_LOG = logging.getLogger(__name__)

# So many promises of others does a transition start, beside its own.
_LEFT_BY_OTHERS = 50

Period = tuple[datetime | None, datetime | None]
EventId = str | UUID | None


@dataclass(frozen=True)
class TransitionCounts:
    """What a client's transitions set off after their commits.

    `dispatches_failed` counts drains of the outbox that raised; what they left stays pending.
    """

    hooks_called: int = 0
    hooks_raised: int = 0
    workflows_started: int = 0
    dispatches_failed: int = 0


class Transitions:
    """Moves the objects of one client from state to state."""

    def __init__(self, connection: Connection, appender: Appender) -> None:
        self._connection = connection
        self._appender = appender
        self._lock = threading.Lock()
        self._counts: dict[str, int] = dict.fromkeys(TransitionCounts.__dataclass_fields__, 0)

    @property
    def counts(self) -> TransitionCounts:
        """What happened so far."""
        with self._lock:
            return TransitionCounts(**self._counts)

    def move(self, obj: Storable, new_state: str, period: Period, event_id: EventId) -> int:
        """Move an object to another state; return the version that says so."""
        _machine_of(obj)
        if obj._store_entity_id is None:
            raise NotStored(f"this {type(obj).__name__} was never written; write() it first")
        first = self._first(obj, new_state, event_id)
        if first is not None:
            return first.version
        step, before, meta = self.plan(obj, obj._store_state, new_state)
        # Of the write itself, which takes it in a moment.
        name = event_id or next_event_id()
        with restored(obj, step) as undone, self._connection.transaction() as block:
            block.on_rollback(lambda: undone.append(step))
            receipt = self._appender.one(
                "STATE_CHANGE", obj, period, state=new_state, meta=meta, event_id=event_id
            )
            if receipt.repeated:
                # Written at the same time by another attempt under this id; that one does the rest.
                return receipt.version
            self.carry_out(step, obj, before, receipt, f"{name}:action", block)
        return receipt.version

    def plan(
        self, obj: Storable, before: str | None, new_state: str
    ) -> tuple[Transition, str, dict[str, Any]]:
        """The step from a state to another, where it begins, and what its event says of it.

        It has been checked: InvalidTransition, TransitionNotPermitted, GuardFailure, EngineNotSet.
        """
        machine = _machine_of(obj)
        if before is None:
            # Written before there was a machine.
            before = initial_state(obj) or ""
        step = machine.validate_transition(
            before, new_state, context=_context(obj), user=self._connection.user
        )
        if step.start_workflow is not None and obj._workflow_engine is None:
            raise EngineNotSet(
                f"{type(obj).__name__}._workflow_engine is not set, and the transition {step} "
                "starts a workflow; set it to an engine first; nothing was written"
            )
        meta: dict[str, Any] = {"from_state": before, "to_state": new_state}
        if step.guard is not None:
            meta["guard"] = repr(step.guard)
        return step, before, meta

    def carry_out(
        self,
        step: Transition,
        obj: Storable,
        before: str,
        receipt: Receipt,
        name: str,
        block: Transaction,
    ) -> None:
        """Do what belongs to a transition that was written just now, in its transaction.

        Hooks, and the start of its workflow, follow the commit. `name` is for the event ids of
        what the action writes.
        """
        after = receipt.state or ""
        if step.action is not None:
            with part_of_step(name):
                step.action(obj, before, after)
        if step.start_workflow is not None:
            promise(
                self._connection,
                receipt.entity_id,
                receipt.version,
                step.start_workflow,
                obj._workflow_engine,
            )
        block.on_commit(lambda: self._afterwards(step, obj, before, after, receipt))

    def _first(self, obj: Storable, new_state: str, event_id: EventId) -> Receipt | None:
        """What the transition under this id answered, if it was made before.

        The object may show the new state by now, from which nothing may lead to itself.
        """
        wanted = event_id if event_id is not None else next_event_id()
        if wanted is None:
            return None
        first = self._appender.find(wanted)
        if first is None:
            return None
        same = first.entity_id == obj._store_entity_id and first.event_type == "STATE_CHANGE"
        if not same or first.state != new_state:
            raise EventIdReused(
                f"event_id {wanted} was used for another write, version {first.version} of entity "
                f"{first.entity_id}"
            )
        if event_id is None:
            reserve(1)
        if (obj._store_newest_version or 0) < first.version:
            mark(obj, first, first.version)
        # It may have died before its workflow was started.
        engine = obj._workflow_engine
        if engine is not None and self._connection.transaction_block is None:
            self._dispatch(engine, first)
        return first

    def _afterwards(
        self, step: Transition, obj: Storable, before: str, after: str, receipt: Receipt
    ) -> None:
        """What follows the commit; nothing of it can undo anything."""
        for name in ("on_exit", "on_enter"):
            hook = getattr(step, name)
            if hook is None:
                continue
            self._count("hooks_called")
            try:
                hook(obj, before, after)
            except Exception:  # noqa: BLE001 - best effort
                self._count("hooks_raised")
                who = getattr(hook, "__qualname__", repr(hook))
                _LOG.exception("%s of the transition %s raised: %s", name, step, who)
        if step.start_workflow is not None:
            self._dispatch(obj._workflow_engine, receipt)

    def _dispatch(self, engine: Any, receipt: Receipt) -> None:
        """Start what was promised: this, and some of what others left."""
        outbox = Outbox(self._connection)
        try:
            if outbox.start(engine, receipt.entity_id, receipt.version):
                self._count("workflows_started", 1)
                # Only where the engine takes workflows: else each would fail, and wait longer.
                self._count("workflows_started", outbox.drain(engine, at_most=_LEFT_BY_OTHERS))
            # Who asks for the workflow after the transition is to find it, whoever was quicker.
            if not outbox.await_start(receipt.entity_id, receipt.version):
                _LOG.warning("the workflow of %s is still being started by another", receipt)
        except StoreError:
            self._count("dispatches_failed")
            _LOG.exception("workflows that were promised are not started, and stay pending")

    def _count(self, name: str, number: int = 1) -> None:
        with self._lock:
            self._counts[name] += number


def _machine_of(obj: Storable) -> type[StateMachine]:
    cls, machine = type(obj), obj._state_machine
    if machine is None:
        raise NoStateMachine(
            f"{cls.__name__} has no state machine; set _state_machine on the class or on this "
            "object"
        )
    kind = machine if isinstance(machine, type) else type(machine)
    if not issubclass(kind, StateMachine):
        raise NoStateMachine(
            f"{cls.__name__}._state_machine: expected a StateMachine, got {machine!r:.80}"
        )
    checked = _checked.setdefault(cls, weakref.WeakSet())
    if kind not in checked:
        kind.check_fields(cls.__name__, cls._registry.types_for(cls))
        checked.add(kind)
    return kind


# The machines whose guards were found to fit a class.
_checked: weakref.WeakKeyDictionary[type, weakref.WeakSet[type[StateMachine]]] = (
    weakref.WeakKeyDictionary()
)


def _context(obj: Storable) -> dict[str, Any]:
    """The fields as guards see them: an Enum as its value, a UUID as its text."""
    return {field.name: _plain(getattr(obj, field.name)) for field in fields(obj)}  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, UUID) else value


@contextmanager
def restored(obj: Storable, step: Transition) -> Iterator[list[object]]:
    """Give the object's fields what they had before the action, if the block raises and is undone.

    Into what it yields, whoever undoes it puts something: what follows the commit may raise, too.
    """
    names = [field.name for field in fields(obj)] if step.action is not None else []  # type: ignore[arg-type]
    kept = {name: copy.deepcopy(getattr(obj, name)) for name in names}
    undone: list[object] = []
    try:
        yield undone
    except BaseException:
        for name, value in kept.items() if undone else ():
            if getattr(obj, name) != value:
                object.__setattr__(obj, name, value)
        raise
