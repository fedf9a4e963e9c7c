"""The outbox: workflows that transitions promised, and those who start them.

outbox = Outbox(client)
started = outbox.drain(engine)   # also what was promised by a process that died
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from store.base import Storable
from store.errors import RegistryError, StoreError, WorkflowReferenceError
from store.statements import rows_of

if TYPE_CHECKING:
    from store.client import StoreClient

_LOG = logging.getLogger(__name__)
_CLAIMED = 50

_PENDING = """
SELECT entity_id::text, version, workflow, type_name, created_by, tx_time
FROM object_store.pending_promises()
"""
_IS_STARTING = "SELECT * FROM object_store.is_starting(%s::uuid, %s)"
_PROMISE = "SELECT object_store.promise(%s::uuid, %s, %s)"
_NOW = "SELECT clock_timestamp()"
_CLAIM = "SELECT * FROM object_store.claim_promises(%s, %s)"
_SETTLE = "SELECT object_store.settle_promise(%s::uuid, %s, %s)"


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

    It runs with the entity's id as its one argument.
    """

    entity_id: str
    version: int
    workflow: str
    type_name: str
    created_by: str
    tx_time: datetime

    @property
    def workflow_id(self) -> str:
        """The same for every attempt to start it."""
        return f"{self.entity_id}:{self.version}"


class Outbox:
    """The promises that a client's user may see: their own, and those about their own entities.

    Users with the right of `store.schema.allow_dispatch` see all. What another user promised is
    started only if the state machine of the entity's class names that workflow, or `workflows`
    does: else whoever may write an entity could have any function run by its owner.
    """

    def __init__(
        self, client: StoreClient, workflows: Iterable[Callable[..., Any] | str] = ()
    ) -> None:
        self._client = client
        self._connection = client._connection
        self._more = set(workflows)

    def pending(self) -> list[Intent]:
        """What is promised and not started yet, the oldest first."""
        return pending_intents(self._client.conn)

    def drain(self, engine: WorkflowStarter | OnceStarter) -> int:
        """Start what is pending, each once; return how many were started.

        Several may drain at the same time. What cannot be started is logged and stays pending.
        """
        if self._connection.transaction_block is not None:
            raise StoreError("an outbox is drained outside of transaction blocks; commit first")
        begun = self._connection.read(_NOW, ())[0][0]
        started = 0
        while (intents := self._claim(begun)) is not None:
            started += self._start_all(engine, intents)
        return started

    def await_start(self, entity_id: str, version: int, timeout: float = 5.0) -> bool:
        """Wait while somebody else is starting what a version promised; False if time ran out."""
        end, pause = time.monotonic() + timeout, 0.002
        while (rows := self._connection.read(_IS_STARTING, (entity_id, version))) and rows[0][0]:
            if time.monotonic() > end:
                return False
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        return True

    def _claim(self, begun: datetime) -> list[Intent] | None:
        """Promises that nobody else is starting, the oldest first; None where all were looked at.

        To the database the threads of a client may be one session, which gets its own ones again.
        """
        connection = self._connection
        with connection.starting_lock:
            # As a read: it may be repeated after a lost connection, and wakes no subscriber.
            found = [Intent(*row) for row in connection.read(_CLAIM, (begun, _CLAIMED))]
            free = [intent for intent in found if intent.workflow_id not in connection.starting]
            connection.starting.update(intent.workflow_id for intent in free)
        return sorted(free, key=lambda intent: intent.tx_time) if found else None

    def _start_all(self, engine: WorkflowStarter | OnceStarter, intents: list[Intent]) -> int:
        started = 0
        left = {intent.workflow_id for intent in intents}
        try:
            for intent in intents:
                left.remove(intent.workflow_id)
                started += self._start(engine, intent)
        finally:
            with self._connection.starting_lock:
                self._connection.starting -= left
        return started

    def _start(self, engine: WorkflowStarter | OnceStarter, intent: Intent) -> bool:
        done = False
        try:
            self._hand_over(engine, intent, self._workflow_of(engine, intent))
            done = True
            _local.pop(intent.workflow_id, None)
        except Exception:  # noqa: BLE001 - the engine's, or of a module that is imported
            _LOG.exception("the workflow of %s is not started and stays pending", intent)
        finally:
            self._settle(intent, done)
        return done

    def _settle(self, intent: Intent, done: bool) -> None:
        connection = self._connection
        # No other thread claims it between the two.
        with connection.starting_lock:
            try:
                connection.read(_SETTLE, (intent.entity_id, intent.version, done))
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

    def _workflow_of(self, engine: object, intent: Intent) -> Callable[..., Any] | str:
        """What to start; WorkflowReferenceError if it cannot be found or must not be started."""
        if intent.workflow_id in _local:
            return _local[intent.workflow_id]
        if intent.created_by != self._client.user:
            self._require_declared(engine, intent)
        # An engine with names of its own resolves them itself.
        own_names = isinstance(engine, NamingEngine) or ":" not in intent.workflow
        return intent.workflow if own_names else resolved(intent.workflow)

    def _require_declared(self, engine: object, intent: Intent) -> None:
        declared = set(self._more)
        try:
            machine = Storable._registry.entity(intent.type_name)._state_machine  # type: ignore[attr-defined]
        except RegistryError as error:
            machine = None
            reason = str(error)
        else:
            reason = f"the state machine of {intent.type_name} does not name it"
        declared |= {each.start_workflow for each in getattr(machine, "transitions", ())}
        names = {reference(each, engine) for each in declared if each is not None}
        if intent.workflow not in names:
            raise WorkflowReferenceError(
                f"{intent.created_by} promised the workflow {intent.workflow!r}, which is not "
                f"started for them: {reason}; Outbox(client, workflows=[…]) allows it"
            )


def pending_intents(conn: Any) -> list[Intent]:
    """What is promised and not started, as far as the connection's user may see it."""
    return [Intent(*row) for row in rows_of(conn, _PENDING)]


def promise(
    client: StoreClient,
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
        block = client._connection.transaction_block
        if block is not None:
            block.on_rollback(lambda: _local.pop(key, None))
    client._connection.write(_PROMISE, (entity_id, version, text))


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
