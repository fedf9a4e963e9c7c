"""The one instance of DBOS that a process can have, as an engine needs it."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import os
import re
import secrets
import socket
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy
from dbos import DBOS, DBOSConfig
from dbos._utils import INTERNAL_QUEUE_NAME  # what recovered workflows wait in

from workflow.context import Interrupted
from workflow.dbos_driver import driver
from workflow.dbos_forks import close_in_children
from workflow.dbos_liveness import Liveness
from workflow.dbos_log import hush, tame
from workflow.dbos_threads import WorkflowThreads
from workflow.errors import EngineNotRunning, EngineUnavailable

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
        host = socket.gethostname()[:40]
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
        return active().execute(workflow_id, reference, arguments)

    def schedule(scheduled_at: Any, what: Any) -> None:
        active().fire(scheduled_at, what)

    for entry in (workflow, schedule):
        _entries[entry.__name__] = DBOS.workflow(name=entry.__name__)(entry)


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
    """Call DBOS from outside of a workflow; EngineNotRunning if it was stopped meanwhile."""
    try:
        return outside(call)
    except Exception as error:
        if _active is None or _active.stopping.is_set():
            raise EngineNotRunning("the engine was stopped meanwhile") from error
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
