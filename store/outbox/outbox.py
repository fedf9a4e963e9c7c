"""The outbox: workflows that transitions promised, and those who start them.

outbox = Outbox(client)
started = outbox.drain(engine)   # also what was promised by a process that died
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from store.base import Storable
from store.database.connection import Connection
from store.database.execute import PgConnection, execute
from store.errors import RegistryError, StoreError, WorkflowReferenceError

_LOG = logging.getLogger(__name__)
_CLAIMED = 50

# What could not be started is tried again after so many seconds, twice as many each time; the first
# time at once. The engine may be back soon; what must not be started, hardly ever will be.
_LONGEST_AFTER_ERROR = 60.0
_LONGEST_AFTER_REFUSAL = 3_600.0

_PENDING = """
SELECT entity_id::text, version, workflow, type_name, created_by, tx_time, attempts
FROM object_store.pending_promises()
"""
_ERRORS = "SELECT entity_id::text, version, error FROM object_store.failed_start"
_IS_STARTING = "SELECT * FROM object_store.is_starting(%s::uuid, %s)"
_PROMISE = "SELECT object_store.promise(%s::uuid, %s, %s)"
_NOW = "SELECT clock_timestamp()"
_CLAIM_ONE = "SELECT * FROM object_store.claim_promise(%s::uuid, %s)"
_CLAIM = """
SELECT * FROM object_store.claim_promises_of(
    %s, %s, %s::text[], %s::text[], %s::text[], %s::text[])
"""
_POSTPONE = "SELECT object_store.postpone_promise(%s::uuid, %s, %s, %s)"
_SETTLE = "SELECT object_store.settle_promise(%s::uuid, %s, %s)"


class Client(Protocol):
    """What an outbox needs of a `StoreClient`."""

    _connection: Connection


class WorkflowStarter(Protocol):
    """All that the store must know of a workflow engine.

    With no more than this a workflow is started at least once: a process that is killed between
    the start and its record starts it again.
    """

    def workflow(self, fn: Callable[..., Any], /, *args: Any) -> Any:
        """Start a function as a workflow."""


@runtime_checkable
class OnceStarter(Protocol):
    """An engine that starts a workflow of one id once, however often it is asked to."""

    def start_once(self, workflow_id: str, fn: Callable[..., Any] | str, /, *args: Any) -> Any:
        """Start a function, or what the engine knows under this name; durable on return."""


@runtime_checkable
class NamingEngine(Protocol):
    """An engine that knows functions by names of its own, also such as cannot be imported."""

    def reference(self, fn: Callable[..., Any], /) -> str | None:
        """The name under which the engine finds a function again; None if it knows none."""


@dataclass(frozen=True)
class Intent:
    """A workflow that a transition promised; `workflow` is "module:qualname" or the engine's name.

    It runs with the entity's id as its one argument. `attempts` counts the starts that failed.
    """

    entity_id: str
    version: int
    workflow: str
    type_name: str
    created_by: str
    tx_time: datetime
    attempts: int = field(default=0, compare=False)

    @property
    def workflow_id(self) -> str:
        """The same for every attempt to start it."""
        return f"{self.entity_id}:{self.version}"


@dataclass(frozen=True)
class _Origin:
    """What the log says of a promise; `states_before` are those that it may have moved from."""

    created_type: str
    state: str | None
    states_before: Sequence[str | None]


class Outbox:
    """The promises that a client's user may see: their own, and those about their own entities.

    Users with the right of `store.schema.allow_dispatch` see all. What another user promised is
    started only if the state machine of the entity's class starts this workflow for this very
    transition, and lets that user take it. `workflows` names those that are started for everybody
    who may write an entity, whatever the transition: only such as may be run by anybody.
    """

    def __init__(
        self, client: Client | Connection, workflows: Iterable[Callable[..., Any] | str] = ()
    ) -> None:
        self._connection = client if isinstance(client, Connection) else client._connection
        self._more = set(workflows)

    def pending(self) -> list[Intent]:
        """What is promised and not started yet, the oldest first."""
        return pending_intents(self._connection.raw)

    def drain(
        self,
        engine: WorkflowStarter | OnceStarter,
        *,
        types: Collection[str] | None = None,
        at_most: int | None = None,
    ) -> int:
        """Start what is pending, each once; return how many were started.

        Several may drain at the same time. What cannot be started is logged and stays pending; it
        is tried again later, after longer pauses each time. `types` leaves out entities of other
        types, `at_most` ends the drain after about so many promises.
        """
        if self._connection.transaction_block is not None:
            raise StoreError("an outbox is drained outside of transaction blocks; commit first")
        begun = self._connection.read(_NOW, ())[0][0]
        started = looked_at = 0
        while (found := self._claim(engine, begun, types)) is not None:
            started += self._start_all(engine, found)
            looked_at += len(found)
            if at_most is not None and looked_at >= at_most:
                break
        return started

    def start(self, engine: WorkflowStarter | OnceStarter, entity_id: str, version: int) -> bool:
        """Start what a transition of the client's own promised; False if it could not be, or need
        not.
        """
        connection = self._connection
        with connection.starting_lock:
            if f"{entity_id}:{version}" in connection.starting:
                return False
            rows = connection.read(_CLAIM_ONE, (entity_id, version))
            connection.starting.update(f"{entity_id}:{version}" for _ in rows)
        return any(self._start(engine, Intent(*row), None) for row in rows)

    def await_start(self, entity_id: str, version: int, timeout: float = 5.0) -> bool:
        """Wait while somebody else is starting what a version promised; False if time ran out."""
        end, pause = time.monotonic() + timeout, 0.002
        while (rows := self._connection.read(_IS_STARTING, (entity_id, version))) and rows[0][0]:
            if time.monotonic() > end:
                return False
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        return True

    def _claim(
        self, engine: object, begun: datetime, types: Collection[str] | None
    ) -> list[tuple[Intent, _Origin]] | None:
        """Promises that nobody else is starting, the oldest first; None where all were looked at.

        To the database the threads of a client may be one session, which gets its own ones again.
        """
        pairs = _declared(engine, types)
        anybodys = [each for each in (reference(w, engine) for w in self._more) if each is not None]
        own = None if types is None else list(types)
        values = (begun, _CLAIMED, own, [p[0] for p in pairs], [p[1] for p in pairs], anybodys)
        connection = self._connection
        with connection.starting_lock:
            # As a read: it may be repeated after a lost connection, and wakes no subscriber.
            rows = connection.read(_CLAIM, values)
            found = [(Intent(*row[:7]), _Origin(*row[7:])) for row in rows]
            free = [each for each in found if each[0].workflow_id not in connection.starting]
            connection.starting.update(intent.workflow_id for intent, _ in free)
        return sorted(free, key=lambda each: each[0].tx_time) if found else None

    def _start_all(
        self, engine: WorkflowStarter | OnceStarter, found: list[tuple[Intent, _Origin]]
    ) -> int:
        started = 0
        left = {intent.workflow_id for intent, _ in found}
        try:
            for intent, origin in found:
                left.remove(intent.workflow_id)
                started += self._start(engine, intent, origin)
        finally:
            with self._connection.starting_lock:
                self._connection.starting -= left
        return started

    def _start(
        self, engine: WorkflowStarter | OnceStarter, intent: Intent, origin: _Origin | None
    ) -> bool:
        """Start one; `origin` is None for what a transition of this client has just promised."""
        done = False
        error: Exception | None = None
        try:
            self._hand_over(engine, intent, self._workflow_of(engine, intent, origin))
            done = True
            _local.pop(intent.workflow_id, None)
        except WorkflowReferenceError as refused:
            error = refused
            _LOG.warning("the workflow of %s is not started and stays pending: %s", intent, refused)
        except Exception as failure:  # noqa: BLE001 - the engine's, or of a module that is imported
            error = failure
            _LOG.exception("the workflow of %s is not started and stays pending", intent)
        finally:
            self._settle(intent, done, error)
        return done

    def _settle(self, intent: Intent, done: bool, error: Exception | None) -> None:
        connection = self._connection
        key = (intent.entity_id, intent.version)
        # No other thread claims it between the two.
        with connection.starting_lock:
            try:
                if error is None:
                    # Also where it was interrupted: then others may try at once.
                    connection.read(_SETTLE, (*key, done))
                else:
                    text = f"{type(error).__name__}: {error}".replace("\0", "")
                    said = text.encode("utf-8", "replace").decode()
                    connection.read(_POSTPONE, (*key, _pause(intent.attempts, error), said))
            finally:
                connection.starting.discard(intent.workflow_id)

    def _hand_over(
        self,
        engine: WorkflowStarter | OnceStarter,
        intent: Intent,
        workflow: Callable[..., Any] | str,
    ) -> None:
        if isinstance(engine, OnceStarter):
            engine.start_once(intent.workflow_id, workflow, intent.entity_id)
        elif isinstance(workflow, str):
            raise WorkflowReferenceError(f"this engine starts no workflow by name: {workflow!r}")
        else:
            engine.workflow(workflow, intent.entity_id)

    def _workflow_of(
        self, engine: object, intent: Intent, origin: _Origin | None
    ) -> Callable[..., Any] | str:
        """What to start; WorkflowReferenceError if it cannot be found or must not be started."""
        if intent.workflow_id in _local:
            return _local[intent.workflow_id]
        if intent.created_by != self._connection.user and intent.workflow not in {
            reference(each, engine) for each in self._more
        }:
            _require_declared(engine, intent, origin)
        # An engine with names of its own resolves them itself.
        own_names = isinstance(engine, NamingEngine) or ":" not in intent.workflow
        return intent.workflow if own_names else resolved(intent.workflow)


def _pause(attempts: int, error: Exception) -> float:
    is_refusal = isinstance(error, WorkflowReferenceError)
    longest = _LONGEST_AFTER_REFUSAL if is_refusal else _LONGEST_AFTER_ERROR
    return float(min(2.0 ** min(attempts, 30) - 1.0, longest))


def _machines(types: Collection[str] | None) -> list[tuple[str, Any]]:
    """The types, by name, whose class has a state machine of its own, with that."""
    found = []
    entities: list[Any] = list(Storable._registry.entities())
    for cls in entities:
        machine, name = cls._state_machine, cls.type_name()
        if machine is not None and (types is None or name in types):
            found.append((name, machine))
    return found


def _declared(engine: object, types: Collection[str] | None) -> list[tuple[str, str]]:
    """Pairs of type and workflow that state machines of this process start."""
    pairs = {
        (name, reference(each.start_workflow, engine))
        for name, machine in _machines(types)
        for each in getattr(machine, "transitions", ())
        if each.start_workflow is not None
    }
    return sorted((name, text) for name, text in pairs if text is not None)


def _require_declared(engine: object, intent: Intent, origin: _Origin | None) -> None:
    """WorkflowReferenceError unless the entity's state machine promised this for its creator.

    The row says what somebody with a login wrote. The type that the entity was created with, the
    states, and who moved it stand in the log, where nobody can change them.
    """

    def refuse(why: str) -> WorkflowReferenceError:
        return WorkflowReferenceError(
            f"{intent.created_by} promised the workflow {intent.workflow!r} for version "
            f"{intent.version} of entity {intent.entity_id}, which is not started for them: {why}"
        )

    if origin is None:
        raise refuse("it is not of a transition of this client")
    try:
        cls: Any = Storable._registry.entity(intent.type_name)
        created_as: Any = Storable._registry.entity(origin.created_type)
    except RegistryError as error:
        raise refuse(str(error)) from error
    if cls is not created_as:
        raise refuse(f"the entity is a {origin.created_type}, no {intent.type_name}")
    machine = cls._state_machine
    before = {getattr(machine, "initial", None) if s is None else s for s in origin.states_before}
    takes = [
        each
        for each in getattr(machine, "transitions", ())
        if each.to_state == origin.state and each.from_state in before
    ]
    starts = [
        each
        for each in takes
        if each.start_workflow is not None
        and reference(each.start_workflow, engine) == intent.workflow
    ]
    if not starts:
        way = f"from {' or '.join(sorted(map(str, before)))} to {origin.state}"
        raise refuse(f"the state machine of {intent.type_name} does not start it {way}")
    if not any(each.permits(intent.created_by) for each in starts):
        raise refuse(f"they may not take the transition {starts[0]}")


def pending_intents(conn: PgConnection) -> list[Intent]:
    """What is promised and not started, as far as the connection's user may see it."""
    return [Intent(*row) for row in execute(conn, _PENDING)]


def start_errors(conn: PgConnection) -> dict[str, str]:
    """Why starts failed, the last time, by the ids of the workflows; for administrators."""
    found = execute(conn, _ERRORS)
    return {f"{entity_id}:{version}": error for entity_id, version, error in found}


def promise(
    connection: Connection,
    entity_id: str,
    version: int,
    workflow: Callable[..., Any] | str,
    engine: object,
) -> None:
    """Record, in the transaction that wrote the version, that a workflow is to be started.

    WorkflowReferenceError for one that another process could not find. Only an engine that keeps
    nothing beyond its process either may have such a one; its promise ends with the process.
    """
    text = reference(workflow, engine)
    if text is None and isinstance(engine, OnceStarter):
        raise WorkflowReferenceError(
            f"the workflow {_path(workflow)} cannot be found again by another process; define it "
            "at the top of a module, or register it with the engine under a name"
        )
    if text is None and callable(workflow):
        text = _path(workflow)
        key = f"{entity_id}:{version}"
        _LOG.warning("%s has no name for other processes: %s starts here or never", text, key)
        _local[key] = workflow
        block = connection.transaction_block
        if block is not None:
            block.on_rollback(lambda: _local.pop(key, None))
    connection.write(_PROMISE, (entity_id, version, text))


def reference(workflow: Callable[..., Any] | str, engine: object) -> str | None:
    """The name under which another process finds a workflow; None for one without, as a lambda."""
    if isinstance(workflow, str):
        return workflow
    named = engine.reference(workflow) if isinstance(engine, NamingEngine) else None
    if named is not None:
        return named
    text = _path(workflow)
    try:
        return text if resolved(text) is workflow else None
    except WorkflowReferenceError:
        return None


def _path(workflow: object) -> str:
    name = getattr(workflow, "__qualname__", type(workflow).__qualname__)
    return f"{getattr(workflow, '__module__', '')}:{name}"


def resolved(text: str) -> Callable[..., Any]:
    """The function of a "module:qualname"; WorkflowReferenceError if there is none."""
    module, _, path = text.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError, ValueError) as error:
        raise WorkflowReferenceError(f"the workflow {text!r} is not there: {error}") from error
    if not callable(found):
        raise WorkflowReferenceError(f"{text!r} is a {type(found).__name__}, which is no function")
    return found  # type: ignore[no-any-return]


# Functions without a name, by the ids of the workflows that were promised of them.
_local: dict[str, Callable[..., Any]] = {}
