"""Sweeper: finds workflows that nobody runs, though a process could.

Those that another process could not go on with are tried here, once. Those that this process
claimed and does not run are put back into their queue: the database was lost between the claim and
the start.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from workflow.dbos.statements import WorkflowTable

_log = logging.getLogger("workflow")
PERIOD_SECONDS = 1.0
# Between a claim and the start lie milliseconds; on a machine under load, seconds.
_SWEEPS_UNTIL_LOST = 15


class Sweeper:
    """Sweeps once a second, in a thread of its own, until `stopping` is set.

    `active` returns the ids of what runs here, `requeue` puts one back into its queue.
    """

    def __init__(
        self,
        table: WorkflowTable,
        active: Callable[[], Iterable[str]],
        requeue: Callable[[str], object],
        stopping: threading.Event,
    ) -> None:
        self._table = table
        self._active = active
        self._requeue = requeue
        self._stopping = stopping
        # How many sweeps in a row have found a workflow claimed and not running.
        self._missing: dict[str, int] = {}

    def start(self) -> None:
        """Begin to sweep."""
        threading.Thread(target=self._run, name="workflow sweeper", daemon=True).start()

    def sweep(self) -> None:
        """Sweep once."""
        self._table.requeue_waiting()
        missing = self._table.claimed() - set(self._active())
        self._missing = {each: self._missing.get(each, 0) + 1 for each in missing}
        for workflow_id, sweeps in list(self._missing.items()):
            if sweeps >= _SWEEPS_UNTIL_LOST:
                _log.warning("workflow %s was claimed here and not run; queued again", workflow_id)
                self._requeue(workflow_id)
                del self._missing[workflow_id]

    def _run(self) -> None:
        failing = False
        while not self._stopping.wait(PERIOD_SECONDS):
            try:
                self.sweep()
                failing = False
            except Exception:  # noqa: BLE001 - the server may be away; the next sweep will do
                # What was seen before says nothing now.
                self._missing.clear()
                if not failing and not self._stopping.is_set():
                    _log.info("looking for workflows that wait failed; repeated", exc_info=True)
                failing = True
