"""Process: the one instance of DBOS that this process can have, run for one engine."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import logging
import os
import re
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
import sqlalchemy
from dbos import DBOS, DBOSConfig

from workflow.backend import Execute, Scheduled
from workflow.context import Interrupted, Postponed
from workflow.dbos.connections import close_in_children, driver
from workflow.dbos.liveness import Liveness
from workflow.dbos.log import forward_warnings, silence
from workflow.dbos.private import Instance, check_version, owner_of
from workflow.dbos.statements import WorkflowTable
from workflow.dbos.sweeper import Sweeper
from workflow.dbos.threads import WorkflowThreads
from workflow.durable.steps import RETRY_SECONDS
from workflow.errors import EngineNotRunning, EngineUnavailable

_log = logging.getLogger("workflow")
R = TypeVar("R")
# How often queues are looked into; an idle one is picked up from after half of it.
POLL_SECONDS = 0.05
# The same for what was recovered or resumed.
_RECOVERY_POLL_SECONDS = 0.25

Fire = Callable[[Any, Scheduled], None]


class Process:
    """DBOS, launched for one engine; `threads` are those that workflows run in.

    `execute` runs a workflow, `fire` starts that of a schedule.
    """

    def __init__(
        self, url: str, name: str, takeover_seconds: float, execute: Execute, fire: Fire
    ) -> None:
        self.url = url.replace("postgresql+psycopg://", "postgresql://", 1)
        self.name = application_name(name)
        self.execute = execute
        self.fire = fire
        self.threads = WorkflowThreads()
        self.stopping = threading.Event()
        # Also the name of a session, which may have 63 letters of ASCII.
        host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:40]
        self.executor_id = f"{host}-{os.getpid()}-{secrets.token_hex(6)}"
        self.liveness = Liveness(
            self.url, self.name, self.executor_id, self._take_over, takeover_seconds
        )
        self._dbos: Instance | None = None

    def open(self) -> None:
        """Launch; EngineUnavailable if the database cannot be used."""
        global _active  # noqa: PLW0603 - DBOS allows one instance a process, too
        check_version()
        with _lock:
            if _active is not None:
                raise EngineNotRunning(
                    f"engine {_active.name!r} runs in this process already, and a process can "
                    "have one; destroy() it first, or share it"
                )
            forward_warnings()
            _register()
            try:
                self.liveness.hold()
                self._dbos = Instance(config=self._config())
                self._dbos.threads = self.threads
                # Recovery should not take a second.
                self._dbos.look_for_recovered(_RECOVERY_POLL_SECONDS)
                _active = self
                outside(DBOS.launch)
            except BaseException as error:
                _active = None
                self._stop()
                if not isinstance(error, Exception):
                    raise
                message = str(error).strip().split("\n")[0]
                raise EngineUnavailable(
                    f"the database of engine {self.name!r} cannot be used: {message}"
                ) from error
            self.liveness.watch()
            Sweeper(self.table, self._dbos.active_ids, self._requeue, self.stopping).start()

    def close(self) -> None:
        """Stop; workflows that run here unwind, and are left to be taken over."""
        global _active  # noqa: PLW0603 - see open
        with _lock:
            self._stop()
            if _active is self:
                _active = None

    @property
    def table(self) -> WorkflowTable:
        """The engine's workflows in the database; EngineNotRunning."""
        return WorkflowTable(self._instance.connections, self.name, self.executor_id)

    def postpone(self, workflow_id: str, postponed: Postponed) -> None:
        """Let a workflow wait that runs in this thread; to be called within it."""
        _log.warning("workflow %s cannot go on here and waits: %s", workflow_id, postponed.reason)
        owner = owner_of(workflow_id)
        while not self.stopping.is_set():
            try:
                self.table.postpone(workflow_id, owner, postponed.reason, postponed.retry_after)
            except sqlalchemy.exc.SQLAlchemyError:
                # It stays this process's until then.
                self.stopping.wait(1.0)
            else:
                return

    @property
    def _instance(self) -> Instance:
        if self._dbos is None:
            raise EngineNotRunning("this engine was stopped")
        return self._dbos

    def _requeue(self, workflow_id: str) -> None:
        self._instance.requeue(workflow_id, self.executor_id)

    def _stop(self) -> None:
        self.stopping.set()
        silence()
        try:
            if self._dbos is not None:
                self._dbos.interrupt_receivers()
                outside(DBOS.destroy)
                self._dbos = None
        finally:
            # Last: the others must not take over what still runs here.
            self.liveness.stop()

    def _take_over(self, executor_id: str) -> None:
        dbos = self._dbos
        if dbos is not None:
            outside(lambda: dbos.recover(executor_id))

    def _config(self) -> DBOSConfig:
        return {
            "name": self.name,
            "system_database_url": self.url,
            "executor_id": self.executor_id,
            # One version for ever: functions are found by name, and their code may change.
            "application_version": f"{self.name}:1",
            "enable_otlp": False,
            "log_level": "WARNING",
            "scheduler_polling_interval_sec": 1.0,
            # A ping before each statement costs a fifth of a step; lost connections are retried.
            "db_engine_kwargs": {
                "pool_pre_ping": False,
                "module": driver(),
                "pool_events": [(close_in_children, "connect")],
            },
        }


def application_name(name: str) -> str:
    """Return the engine's name in the letters that DBOS allows; different names stay different."""
    if re.fullmatch(r"[a-z0-9_-]{3,100}", name):
        return name
    letters = re.sub(r"[^a-z0-9_-]", "_", name.lower())[:60]
    return f"{letters}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


_active: Process | None = None
_lock = threading.RLock()
_entries: dict[str, Callable[..., Any]] = {}


def active() -> Process:
    """Return the engine's process; Interrupted where the engine was stopped."""
    if _active is None:
        raise Interrupted
    return _active


def workflow_entry() -> Callable[[str, bytes], bytes]:
    """Return what DBOS knows as the one workflow: any function, by its reference."""
    return _entries["workflow"]


def schedule_entry() -> Callable[..., None]:
    """Return what DBOS starts at the times of a schedule."""
    return _entries["schedule"]


def _register() -> None:
    if _entries:
        return

    # Their names are stored with each workflow.
    def workflow(reference: str, arguments: bytes) -> bytes:
        workflow_id = DBOS.workflow_id
        assert workflow_id is not None
        active().threads.runs(workflow_id)
        with _waiting():
            return active().execute(workflow_id, reference, arguments)

    def schedule(scheduled_at: Any, what: Any) -> None:
        with _waiting():
            active().fire(scheduled_at, what)

    for entry in (workflow, schedule):
        _entries[entry.__name__] = DBOS.workflow(name=entry.__name__)(entry)


@contextmanager
def _waiting() -> Iterator[None]:
    """Let the workflow of this thread wait where it cannot go on, without an outcome."""
    try:
        try:
            yield
        except EngineUnavailable as error:
            raise Postponed(str(error), RETRY_SECONDS) from error
    except Postponed as postponed:
        workflow_id = DBOS.workflow_id
        assert workflow_id is not None
        active().postpone(workflow_id, postponed)
        raise Interrupted from postponed


# --- calls of DBOS --------------------------------------------------------------------------------


@contextmanager
def postponing_database_errors() -> Iterator[None]:
    """Postpone the workflow for an error of the engine's own database: it is none of its own."""
    try:
        yield
    except sqlalchemy.exc.SQLAlchemyError as error:
        reason = f"the engine's database does not take it: {_first_line(error)}"
        raise Postponed(reason, RETRY_SECONDS) from error


def outside(call: Callable[[], R]) -> R:
    """Call as if no workflow ran in this thread, and no event loop either."""
    context = contextvars.Context()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return context.run(call)
    returned: list[R] = []
    raised: list[BaseException] = []

    def work() -> None:
        try:
            returned.append(context.run(call))
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            raised.append(error)

    # In a notebook, say: DBOS refuses to work where an event loop runs.
    thread = threading.Thread(target=work, name="workflow call")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return returned[0]


def ask(call: Callable[[], R]) -> R:
    """Call DBOS from outside of a workflow.

    EngineNotRunning if it was stopped meanwhile, EngineUnavailable if its database is away.
    """
    try:
        return outside(call)
    except Exception as error:
        if _active is None or _active.stopping.is_set():
            raise EngineNotRunning("the engine was stopped meanwhile") from error
        if _is_outage(error):
            raise EngineUnavailable(
                f"the database of engine {_active.name!r} cannot be used: {_first_line(error)}"
            ) from error
        raise


def _first_line(error: Exception) -> str:
    # What follows is a statement with its values.
    return str(error).strip().split("\n", 1)[0]


def _is_outage(error: Exception) -> bool:
    lost = isinstance(error, sqlalchemy.exc.DBAPIError) and error.connection_invalidated
    return lost or isinstance(
        error,
        sqlalchemy.exc.OperationalError
        | sqlalchemy.exc.InterfaceError
        | sqlalchemy.exc.TimeoutError
        | psycopg.OperationalError,
    )
