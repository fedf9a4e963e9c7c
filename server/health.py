"""Tells the tables, once a second and at each change, how the market is doing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from publishing import PublishingStopped, WriterStats
from server.market_data import FeedStatus, RowWriter

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0


class Heartbeat:
    """Writes status rows: Source, State, Ticks, Errors, LastError, Timestamp (nanoseconds).

    Rows that the engine refused make the state FAILING until a second passes without one.

    Args:
        writer: takes the rows.
        status: tells how the feed is doing.
        publishers: counters of the publishers whose losses are to be shown.
        each_beat: called at each beat; for checks that belong to no other thread.
    """

    def __init__(
        self,
        writer: RowWriter,
        status: Callable[[], FeedStatus],
        publishers: Sequence[WriterStats],
        each_beat: Callable[[], object] = lambda: None,
    ) -> None:
        self._writer = writer
        self._status = status
        self._publishers = publishers
        self._each_beat = each_beat
        self._errors_seen = 0
        self._failures = 0
        self._last_failure = ""
        self._changed = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> Heartbeat:
        """Start beating; returns itself."""
        self._thread.start()
        return self

    def changed(self, _status: FeedStatus | None = None) -> None:
        """Beat at once: something is new."""
        self._changed.set()

    def tables_failed(self, names: Sequence[str]) -> None:
        """Tables failed in the engine and were made anew; called at a beat."""
        self._failures += 1
        self._last_failure = f"{', '.join(names)} failed in the engine and began anew, empty"
        logger.error("%s; the engine's log has the cause", self._last_failure)
        self.changed()

    def stop(self, timeout: float = 5.0) -> None:
        """Beat a last time and stop."""
        self._stopped = True
        self._changed.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._changed.wait(HEARTBEAT_SECONDS)
            self._changed.clear()
            # Asked before the beat: a stop that comes during it wants another one.
            is_last = self._stopped
            try:
                self._beat()
                self._each_beat()
            except PublishingStopped:
                return
            except Exception:
                logger.exception("the heartbeat could not be published")

    def _beat(self) -> None:
        status = self._status()
        lost = sum(p.errors for p in self._publishers) + self._failures
        state = status.state
        if lost > self._errors_seen and state == "LIVE":
            state = "FAILING"
        self._errors_seen = lost
        causes = [p.last_error for p in self._publishers if p.last_error]
        self._writer.write_row(
            status.source,
            state,
            status.ticks,
            status.errors + lost,
            "; ".join(filter(None, (status.last_error, *causes, self._last_failure))),
            time.time_ns(),
        )
