"""What a bridge does, and what it has counted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from enum import Enum

from store.position import Position


class State(str, Enum):
    """What a bridge is doing."""

    NEW = "new"
    # Showing what is there already.
    LOADING = "loading"
    LIVE = "live"
    # It follows, but a table has failed in the engine; one of the bridge's own is made anew.
    DEGRADED = "degraded"
    # PostgreSQL cannot be reached; it goes on by itself.
    RECONNECTING = "reconnecting"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class TableStatus:
    """What was shown of one class: rows of its raw table, tombstones among them.

    `filtered` events did not pass the filter. `lost_rows` were refused by a writer, with
    `last_error`. `conversion_errors` counts, by column, values that it could not hold and that are
    null. `dead_letters` counts events that have no row, since their class cannot read them or the
    filter cannot be asked about them; `last_dead_letter` tells of the newest.
    `failed` names the tables, "raw" or "live", that have failed in the engine and are not made anew
    yet; `replaced` counts those that were.
    """

    rows: int = 0
    deletions: int = 0
    filtered: int = 0
    lost_rows: int = 0
    conversion_errors: dict[str, int] = field(default_factory=dict)
    dead_letters: int = 0
    last_dead_letter: str = ""
    last_error: str = ""
    failed: tuple[str, ...] = ()
    replaced: int = 0

    @property
    def misfits(self) -> dict[str, int]:
        """Deprecated: `conversion_errors`."""
        warnings.warn("misfits is called conversion_errors now", DeprecationWarning, stacklevel=2)
        return self.conversion_errors


@dataclass(frozen=True)
class BridgeStatus:
    """A moment in the life of a bridge.

    `position` is how far in the log it has come. `lag_events` and `lag_seconds` say what was
    committed and not yet shown, and for how long the oldest of it; `fenced_events` of it wait for
    a transaction that somebody holds open. They were measured `lag_age_seconds` ago, None before
    the first time. `checkpoint` says whether its place is kept for a restart. `error` is why it
    failed, or the last reason why it had to connect again.
    """

    state: State
    position: Position | None
    lag_events: int
    lag_seconds: float
    fenced_events: int
    lag_age_seconds: float | None
    reconnects: int
    checkpoint: bool
    error: str
    tables: dict[str, TableStatus]
