"""The one instance of DBOS that a process can have, as an engine needs it."""

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
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import psycopg
import sqlalchemy
from dbos import DBOS, DBOSConfig
from dbos._context import current_owner_xid
from dbos._utils import INTERNAL_QUEUE_NAME  # what recovered workflows wait in

from workflow.context import Interrupted, Postponed
from workflow.dbos_driver import driver
from workflow.dbos_forks import close_in_children
from workflow.dbos_liveness import Liveness
from workflow.dbos_log import hush, tame
from workflow.dbos_steering import Steering, claim_under_present_limits
from workflow.dbos_sweeping import Sweeper
from workflow.dbos_threads import WorkflowThreads
from workflow.errors import EngineNotRunning, EngineUnavailable
from workflow.steps import RETRY_SECONDS

_log = logging.getLogger("workflow")
R = TypeVar("R")
# How often queues are looked into; an idle one is picked up from after half of it.
POLL_SECONDS = 0.05
# The same for what was recovered or resumed.
_RECOVERY_POLL_SECONDS = 0.25

Execute = Callable[[str, str, bytes], bytes]
Fire = Callable[..., None]


class _Instance(DBOS):
    """DBOS with the threads of this package, also for what its queues start during the launch."""

    threads: WorkflowThreads

    @property
    def _executor(self) -> Any:
        # Refuses once it was destroyed. Its own threads would hold up the end of the process.
        super()._executor  # noqa: B018
        return self.threads

    # Set during the launch, before anything reads from it.
    @property
    def _sys_db_field(self) -> Any:
        return self._database

    @_sys_db_field.setter
    def _sys_db_field(self, database: Any) -> None:
        if database is not None:
            claim_under_present_limits(database)
        self._database = database


class Backend:
    """DBOS, launched for one engine; `threads` are those that workflows run in."""

    def __init__(
        self, url: str, name: str, takeover_seconds: float, execute: Execute, fire: Fire
    ) -> None:
        self.url = url.replace("postgresql+psycopg://", "postgresql://", 1)
        self.name = _app_name(name)
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
        self._dbos: _Instance | None = None

    def open(self) -> None:
        """Launch; EngineUnavailable if the database cannot be used."""
        global _active  # noqa: PLW0603 - DBOS allows one instance a process, too
        with _lock:
            if _active is not None:
                raise EngineNotRunning(
                    f"engine {_active.name!r} runs in this process already, and a process can "
                    "have one; destroy() it first, or share it"
                )
            tame()
            _register()
            try:
                self.liveness.hold()
                self._dbos = _Instance(config=self._config())
                self._dbos.threads = self.threads
                # Before the first look into it: recovery should not take a second.
                self._dbos._registry._register_internal_queue(
                    INTERNAL_QUEUE_NAME, polling_interval_sec=_RECOVERY_POLL_SECONDS
                )
                _active = self
                outside(DBOS.launch)
                # DBOS lets one process at a time do some chores, by an advisory lock that any role
                # of the database can hold for ever: delayed workflows would never start.
                database: Any = self._dbos._sys_db
                database.background_job_lock = lambda _job: nullcontext(True)
            except BaseException as error:
                _active = None
                self._stop()
                if not isinstance(error, Exception):
                    raise
                said = str(error).strip().split("\n")[0]
                raise EngineUnavailable(
                    f"the database of engine {self.name!r} cannot be used: {said}"
                ) from error
            self.liveness.watch()
            self._sweeper().start()

    def close(self) -> None:
        """Stop; workflows that run here unwind, and are left to be taken over."""
        global _active  # noqa: PLW0603 - see open
        with _lock:
            self._stop()
            if _active is self:
                _active = None

    @property
    def database(self) -> sqlalchemy.Engine:
        """The engine's own connections to its database."""
        if self._dbos is None:
            raise EngineNotRunning("this engine was stopped")
        return self._dbos._sys_db.engine

    @property
    def steering(self) -> Steering:
        """What this process can do about the engine's workflows."""
        return Steering(self.database, self.name, self.executor_id)

    def postpone(self, workflow_id: str, postponed: Postponed) -> None:
        """Let a workflow wait that runs in this thread; to be called within it."""
        _log.warning("workflow %s cannot go on here and waits: %s", workflow_id, postponed.reason)
        owner = current_owner_xid(workflow_id)
        while not self.stopping.is_set():
            try:
                self.steering.postpone(workflow_id, owner, postponed.reason, postponed.retry_after)
            except sqlalchemy.exc.SQLAlchemyError:
                # It stays this process's until then.
                self.stopping.wait(1.0)
            else:
                return

    def _sweeper(self) -> Sweeper:
        dbos = self._dbos
        assert dbos is not None

        def recover(workflow_id: str) -> None:
            dbos._sys_db.reenqueue_for_recovery(
                workflow_id, [self.executor_id], INTERNAL_QUEUE_NAME
            )

        active = dbos._active_workflows_set
        return Sweeper(self.steering, active.activeList, recover, self.stopping)

    def _stop(self) -> None:
        self.stopping.set()
        hush()
        try:
            if self._dbos is not None:
                if self._dbos._sys_db_field is not None:
                    _interrupt_receivers(self._dbos._sys_db_field)
                outside(DBOS.destroy)
                self._dbos = None
        finally:
            # Last: the others must not take over what still runs here.
            self.liveness.stop()

    def _take_over(self, executor_id: str) -> None:
        if self._dbos is not None:
            outside(lambda: DBOS._recover_pending_workflows([executor_id]))

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


def _app_name(name: str) -> str:
    """The engine's name in the letters that DBOS allows; different names stay different."""
    if re.fullmatch(r"[a-z0-9_-]{3,100}", name):
        return name
    letters = re.sub(r"[^a-z0-9_-]", "_", name.lower())[:60]
    return f"{letters}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


_active: Backend | None = None
_lock = threading.RLock()
_entries: dict[str, Callable[..., Any]] = {}


def active() -> Backend:
    """The backend that runs in this process."""
    if _active is None:
        raise Interrupted
    return _active


def workflow_entry() -> Callable[[str, bytes], bytes]:
    """What DBOS knows as the one workflow: any function, by its reference."""
    return _entries["workflow"]


def schedule_entry() -> Callable[..., None]:
    """What DBOS starts at the times of a schedule."""
    return _entries["schedule"]


def _register() -> None:
    if _entries:
        return

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
    """Have the workflow of this thread wait where it cannot go on, without an outcome."""
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


@contextmanager
def as_postponed() -> Iterator[None]:
    """Take an error of the engine's own database for what it is: none of the workflow."""
    try:
        yield
    except sqlalchemy.exc.SQLAlchemyError as error:
        reason = f"the engine's database does not take it: {_first_line(error)}"
        raise Postponed(reason, RETRY_SECONDS) from error


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


def outside(call: Callable[[], R]) -> R:
    """Call as if no workflow ran in this thread, and no event loop either."""
    context = contextvars.Context()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return context.run(call)
    ended: list[R] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            ended.append(context.run(call))
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            failed.append(error)

    # In a notebook, say: the backend refuses to work where an event loop runs.
    thread = threading.Thread(target=work, name="workflow call")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return ended[0]


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


def _interrupt_receivers(database: Any) -> None:
    """Wake those who wait for a message, and let them unwind instead of noting a timeout."""

    def interrupted(*_args: Any, **_kwargs: Any) -> Any:
        raise Interrupted

    database.recv_consume = interrupted
    # Those who come now look here once they can be woken, before they wait.
    database.recv_check = interrupted
    for _key, _components, signal in database.notifications_map.snapshot():
        signal.set()
