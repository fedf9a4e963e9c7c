"""What can go wrong in the store, under one root; every error survives pickle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class StoreError(Exception):
    """Root of all errors of this package."""


class RegistryError(StoreError):
    """A column or a class breaks the rules of the catalog."""


class SerializationError(StoreError, ValueError):
    """A value has no exact JSON form, or a JSON text does not fit its class."""


class Violation(str):
    """One value that breaks one rule of its column: a message, and what it is made of.

    `field` is a path: `legs[0].strike` for a value inside a list of dataclasses. `rule` is the
    name of the broken rule: `type`, `null`, `finite`, `zone`, `text`, `digits`, `depth`,
    `enum`, `min_value`, `max_value`, `max_length` or `pattern`.
    """

    class_name: str
    field: str
    value: Any
    rule: str

    def __new__(  # noqa: D102
        cls, class_name: str, field: str, value: Any, rule: str, message: str
    ) -> Violation:
        violation = super().__new__(cls, message)
        violation.class_name = class_name
        violation.field = field
        violation.value = value
        violation.rule = rule
        return violation

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.class_name, self.field, self.value, self.rule, str(self)

    @property
    def message(self) -> str:
        """The violation as plain text."""
        return str(self)


class ValidationError(StoreError, ValueError):
    """An instance breaks rules of the catalog; `violations` holds every one of them."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__(violations)
        self.violations = list(violations)

    def __str__(self) -> str:
        if len(self.violations) == 1:
            return self.violations[0].message
        lines = "".join(f"\n  {violation}" for violation in self.violations)
        values = len({violation.field for violation in self.violations})
        what = "a value breaks" if values == 1 else f"{values} values break"
        return f"{what} the rules of the catalog:{lines}"


def shown(value: Any) -> str:
    """A value as messages show it, at most a hundred characters."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - an int of too many digits, or a repr of somebody's own
        return f"this {type(value).__name__}"
    return text if len(text) <= 100 else f"{text[:97]}..."


class ServerError(StoreError):
    """The database server cannot be started, reached or stopped."""


class DirectoryInUse(ServerError):
    """Another process runs the server of the directory."""


class SchemaError(StoreError):
    """The store's tables in a database cannot be made, migrated or used by this program."""


class AccessError(StoreError, PermissionError):
    """The database refuses what a role asks for."""


class Unavailable(StoreError, ConnectionError):
    """The database cannot be reached, or takes too long; a write may or may not have happened.

    Asked again later, it may work.
    """

    # For workflow engines: nothing is wrong with what was asked, so a step that meets it is
    # repeated, and no step is undone.
    is_transient = True


class TooLarge(StoreError, ValueError):
    """A value, or what is asked for, is larger than the database takes; repeating does not help."""


class ValueRefused(StoreError, ValueError):
    """The database takes no such value, whatever its size; repeating does not help."""


class ReplicaError(StoreError):
    """The server is a replica, which takes no writes and cannot close the past."""


class EntityNotFound(StoreError, LookupError):
    """No such entity, or none that this user may see or change: the store does not say which."""


class NotStored(StoreError, ValueError):
    """An object that was never written is asked to be updated, deleted or moved to a state."""


class AlreadyStored(StoreError, ValueError):
    """An object that is an entity already is written as a new one."""


class NoStateMachine(StoreError, ValueError):
    """An object without a state machine is asked to move to a state."""


class StateMachineError(StoreError, ValueError):
    """A state machine, or a transition of one, is not declared as it must be."""


class InvalidTransition(StoreError, ValueError):
    """No transition leads from a state to another; `allowed` names the states that can follow."""

    def __init__(self, from_state: str, to_state: str, allowed: Sequence[str] = ()) -> None:
        super().__init__(from_state, to_state, allowed)
        self.from_state = from_state
        self.to_state = to_state
        self.allowed = tuple(allowed)

    def __str__(self) -> str:
        possible = ", ".join(self.allowed) or "none: it is an end"
        return (
            f"no transition leads from {self.from_state} to {self.to_state}; from "
            f"{self.from_state} can follow: {possible}"
        )


class GuardFailure(StoreError, ValueError):
    """The guard of a transition is not true of the object; null is not true."""

    def __init__(self, from_state: str, to_state: str, guard: str, reason: str = "") -> None:
        super().__init__(from_state, to_state, guard, reason)
        self.from_state = from_state
        self.to_state = to_state
        self.guard = guard
        self.reason = reason

    def __str__(self) -> str:
        why = f"cannot be evaluated: {self.reason}" if self.reason else "is not true"
        return f"{self.from_state} to {self.to_state}: the guard {self.guard} {why}"


class TransitionNotPermitted(StoreError, PermissionError):
    """A transition is for other users."""

    def __init__(
        self, from_state: str, to_state: str, user: str, allowed_by: Sequence[str] = ()
    ) -> None:
        # Of several arguments an OSError makes an errno and the name of a file.
        super().__init__()
        self.from_state = from_state
        self.to_state = to_state
        self.user = user
        self.allowed_by = tuple(allowed_by)

    def __str__(self) -> str:
        allowed = ", ".join(self.allowed_by) or "nobody"
        way = f"from {self.from_state} to {self.to_state}"
        return f"{self.user} may not move {way}; allowed: {allowed}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.from_state, self.to_state, self.user, self.allowed_by)


class EngineNotSet(StoreError, RuntimeError):
    """A transition starts a workflow, and the object has no engine to run it."""


class WorkflowReferenceError(StoreError, ValueError):
    """A workflow cannot be found again by its name, or must not be started."""


class InvalidPeriod(StoreError, ValueError):
    """A period of validity that is empty or has a bound that the store cannot keep."""


class FilterError(StoreError, ValueError):
    """A filter, an order or a cursor that does not fit the class or the query."""


class EventIdReused(StoreError, ValueError):
    """An `event_id` was used before, for a write of something else."""


class TransactionConflict(StoreError):
    """Another transaction came between; run the whole transaction block again."""

    is_transient = True  # as above


class FenceTimeout(StoreError, TimeoutError):
    """An answer about the past must wait for a transaction that somebody holds open."""

    is_transient = True  # as above


class FutureTimeError(StoreError, ValueError):
    """What will be known at a time that is still to come cannot be told."""


class PositionError(StoreError, ValueError):
    """A text is no position in the log, or a position belongs to another cluster's log."""


class SubscriptionError(StoreError):
    """A subscription cannot begin or go on: somebody else holds it, or its handler fails."""


class ProjectionError(StoreError):
    """A projection's state cannot be kept exactly, or its log cannot be folded."""


class VersionConflict(StoreError):
    """Somebody else wrote the entity since this client read or wrote the object.

    `expected_version` is the newest one known to the client, `actual_version` the newest there is.
    """

    def __init__(self, entity_id: str, expected_version: int, actual_version: int) -> None:
        super().__init__(entity_id, expected_version, actual_version)
        self.entity_id = entity_id
        self.expected_version = expected_version
        self.actual_version = actual_version

    def __str__(self) -> str:
        return (
            f"entity {self.entity_id}: expected version {self.expected_version}, "
            f"actual version {self.actual_version}; read it again and repeat the change"
        )


class Conflict(NamedTuple):
    """A change of a batch that builds on another version than the newest one.

    `place` counts the batch's changes from 0.
    """

    place: int
    entity_id: str
    expected_version: int
    actual_version: int


class BatchConflict(VersionConflict):
    """Changes of a batch build on other versions than the newest; nothing of it was written.

    `conflicts` has all of them; the attributes of a VersionConflict are those of the first.
    """

    def __init__(self, conflicts: Sequence[Conflict]) -> None:
        self.conflicts = [Conflict(*each) for each in conflicts]
        first = self.conflicts[0]
        super().__init__(first.entity_id, first.expected_version, first.actual_version)
        self.args = (self.conflicts,)

    def __str__(self) -> str:
        shown = "; ".join(
            f"change {each.place} of entity {each.entity_id}: expected version "
            f"{each.expected_version}, actual version {each.actual_version}"
            for each in self.conflicts[:5]
        )
        more = len(self.conflicts) - 5
        return (
            f"nothing of the batch was written: {shown}"
            + (f"; and {more} more" if more > 0 else "")
            + "; read these entities again and repeat the changes"
        )


class LeaseHeld(StoreError):
    """Another holds the lease that was asked for; it can be taken once its time is over."""

    def __init__(self, name: str, holder: str, seconds_left: float) -> None:
        super().__init__(name, holder, seconds_left)
        self.name = name
        self.holder = holder
        self.seconds_left = seconds_left

    def __str__(self) -> str:
        return (
            f"lease {self.name!r} is held by {self.holder} for {self.seconds_left:.1f} s more, if "
            "it is not renewed; wait for it, or let its holder release it"
        )


class LeaseLost(StoreError):
    """Another has taken the lease since: nothing was written, and nothing can be under it."""
