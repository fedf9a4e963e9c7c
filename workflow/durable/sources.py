"""Sources: polls what holds workflows to be started, for as long as an engine runs."""

from __future__ import annotations

import logging
import threading

from workflow.engine import WorkflowEngine, WorkflowSource

_log = logging.getLogger("workflow")
PERIOD_SECONDS = 1.0
STOP_SECONDS = 10.0


class Sources:
    """Drains the sources of one engine, at once when one is added and then every second."""

    def __init__(self, engine: WorkflowEngine) -> None:
        self._engine = engine
        self._sources: list[WorkflowSource] = []
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing: dict[int, str] = {}

    def add(self, source: WorkflowSource) -> None:
        """Drain this source from now on; adding it again changes nothing."""
        if not any(known is source for known in self._sources):
            self._sources.append(source)
        self._wake.set()

    def start(self) -> None:
        """Begin to drain, in a thread of its own."""
        # One for each start: a drain that outlasts a stop must not go on after the next start.
        self._stopped = threading.Event()
        self._wake.set()
        self._thread = threading.Thread(
            target=self._run, args=(self._stopped,), name="workflow sources", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop draining."""
        self._stopped.set()
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(STOP_SECONDS)
        self._thread = None

    def _run(self, stopped: threading.Event) -> None:
        while not stopped.is_set():
            self._wake.wait(PERIOD_SECONDS)
            self._wake.clear()
            for source in list(self._sources):
                if not stopped.is_set():
                    self._drain(source, stopped)

    def _drain(self, source: WorkflowSource, stopped: threading.Event) -> None:
        try:
            source.drain(self._engine)
        except Exception as error:  # noqa: BLE001 - a source of somebody's own
            # Logged once for each new error, not every second.
            if self._failing.get(id(source)) != repr(error) and not stopped.is_set():
                _log.warning("%r could not be drained; tried again", source, exc_info=True)
            self._failing[id(source)] = repr(error)
        else:
            self._failing.pop(id(source), None)
