"""Workflows that nobody runs, though somebody could: each process of an engine looks for them.

Those that another process could not go on with are tried here, once. Those that this process
should run by the table, and does not, are put back into their queue: the database was lost between
the claim and the start.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from workflow.dbos_steering import Steering

_log = logging.getLogger("workflow")
PERIOD_SECONDS = 1.0
# Between a claim and the start lie milliseconds; on a machine under load, seconds.
_LOOKS_UNTIL_LOST = 15


class Sweeper:
    """Looks once a second, in a thread of its own.

    `active` gives the ids of what runs here, `recover` puts one back into its queue.
    """

    def __init__(
        self,
        steering: Steering,
        active: Callable[[], Iterable[str]],
        recover: Callable[[str], object],
        stopping: threading.Event,
    ) -> None:
        self._steering = steering
        self._active = active
        self._recover = recover
        self._stopping = stopping
        self._missing: dict[str, int] = {}

    def start(self) -> None:
        """Begin to look, until `stopping` is set."""
        threading.Thread(target=self._run, name="workflow sweeper", daemon=True).start()

    def look(self) -> None:
        """Look once."""
        self._steering.wake()
        lost = self._steering.lost(self._active())
        # Asked before and after: one that ended in between was not lost.
        self._missing = {each: self._missing.get(each, 0) + 1 for each in lost}
        for workflow_id, looks in list(self._missing.items()):
            if looks >= _LOOKS_UNTIL_LOST:
                _log.warning("workflow %s was claimed here and not run; put back", workflow_id)
                self._recover(workflow_id)
                del self._missing[workflow_id]

    def _run(self) -> None:
        failing = False
        while not self._stopping.wait(PERIOD_SECONDS):
            try:
                self.look()
                failing = False
            except Exception:  # noqa: BLE001 - the server may be away; the next look will do
                # What was seen before says nothing now.
                self._missing.clear()
                if not failing and not self._stopping.is_set():
                    _log.info("looking for workflows that wait failed; tried again", exc_info=True)
                failing = True
