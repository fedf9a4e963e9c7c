"""Snapshots of an engine in the store: read at the start, written beside the writer."""

from __future__ import annotations

import logging
import threading
import time
import zlib
from base64 import b64encode

from store.client import StoreClient
from store.errors import StoreError, VersionConflict
from trading.engine.journal import EngineSnapshot
from trading.engine.options import EngineOptions
from trading.times import moment

__all__ = ["SnapshotKeeper"]

_LOG = logging.getLogger(__name__)


class SnapshotKeeper:
    """Reads and writes the snapshots of one account's run: versions of one entity.

    Nothing depends on a snapshot: the journal has everything. One is written by a thread of its
    own, so that the writer waits only while the state is encoded.
    """

    def __init__(self, store: StoreClient, account: str, run: str, options: EngineOptions) -> None:
        self._store = store
        self._account = account
        self._run = run
        self._options = options
        self._thread: threading.Thread | None = None
        self._saved_inputs = 0
        self._saved_at = time.monotonic()

    def newest(self) -> EngineSnapshot | None:
        """Return the newest snapshot, or None."""
        found = self._store.query(
            EngineSnapshot, {"account": self._account, "run": self._run}, limit=None
        )
        return max(found, key=lambda each: each.group_number, default=None)

    def went_on_from(self, inputs: int) -> None:
        """Note how many inputs the state at hand has, which needs no snapshot of its own."""
        self._saved_inputs = inputs

    def is_due(self, inputs: int, *, now: bool = False) -> bool:
        """Whether a state with so many inputs should be saved; with `now`, whether it is new."""
        new = inputs - self._saved_inputs
        if now:
            self.wait()
            return new > 0
        if self._thread is not None and self._thread.is_alive():
            return False
        is_late = time.monotonic() - self._saved_at > self._options.snapshot_s
        return new >= self._options.snapshot_inputs or (new > 0 and is_late)

    def save(self, group: int, digest: str, state: bytes, time_ns: int, inputs: int) -> None:
        """Begin to save the state after a committed group."""
        self._saved_inputs, self._saved_at = inputs, time.monotonic()
        self._thread = threading.Thread(
            target=self._save,
            args=(group, digest, state, time_ns),
            name="engine-snapshot",
            daemon=True,
        )
        self._thread.start()

    def wait(self) -> None:
        """Wait until what was begun is saved."""
        if self._thread is not None:
            self._thread.join()

    def _save(self, group: int, digest: str, state: bytes, time_ns: int) -> None:
        try:
            newest = self.newest()
            if newest is not None and newest.group_number >= group:
                return
            text = b64encode(zlib.compress(state, 1)).decode()
            snapshot = newest or EngineSnapshot(self._account, self._run)
            snapshot.group_number, snapshot.digest = group, digest
            snapshot.state_text, snapshot.timestamp = text, moment(time_ns)
            if newest is None:
                self._store.write(snapshot)
            else:
                self._store.update(snapshot)
        except VersionConflict:
            return  # another engine has saved one meanwhile
        except (StoreError, ValueError) as error:
            _LOG.warning("no snapshot of group %d was kept: %s", group, error)
