"""What the store holds at one moment, and the place in the log that follows on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from store.events import ChangeEvent
from store.position import Position
from store.statements import rows_of

PAGE_ROWS = 5_000

_OPEN = "SELECT object_store.open_segments('segments', %s)"
_OF_ENTITIES = """
SELECT s.entity_id::text, s.version, s.event_type, s.type_name, s.updated_by, s.state, s.tx_time,
    s.owner, s.event_from, CASE WHEN isfinite(s.event_to) THEN s.event_to END, s.data::text,
    s.valid_from <= now.moment,
    extract(epoch FROM CASE WHEN s.valid_from > now.moment THEN s.valid_from
        WHEN isfinite(s.valid_to) THEN s.valid_to END)::float8
FROM object_store.segments(%s, %s::uuid[]) s,
    (SELECT object_store.store_time() AS moment OFFSET 0) now
"""
# What is there beyond the fence: it is read again when the log is followed from the fence on.
_BEYOND = "SELECT entity_id::text, version FROM object_store.beyond_fence(%s)"
_NOW = "extract(epoch FROM object_store.store_time())::float8"
_SEAM = f"SELECT object_store.epoch(), object_store.fence()::text, {_NOW}"
_NEWEST = "SELECT entity_id::text, version FROM object_store.newest_versions(%s, %s::uuid[])"


class Segment(NamedTuple):
    """A stretch of an entity's present timeline: the event that holds there.

    `holds` tells whether it holds now, `changes_at` when it begins or ends, in seconds since the
    epoch; None if it holds for ever.
    """

    event: ChangeEvent
    holds: bool
    changes_at: float | None


class Snapshot:
    """One look at the store, in a transaction of its own: use it as a context manager.

    What it shows and what follows after `seam` in the log is everything, once: all events before
    the seam are in it, and of those behind it, `beyond` names the ones that are in it too.
    """

    def __init__(self, conn: Any, type_names: Sequence[str]) -> None:
        self._conn = conn
        self._names = list(type_names)

    def __enter__(self) -> Snapshot:
        self._run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        epoch, fence, self.database_seconds = self._run(_SEAM)[0]
        self.seam = Position(epoch, int(fence), 0)
        self.beyond = {(row[0], row[1]) for row in self._run(_BEYOND, (self._names,))}
        return self

    def __exit__(self, *_: object) -> None:
        if not self._conn.closed:
            self._run("ROLLBACK")

    def pages(self, rows: int = PAGE_ROWS) -> Iterator[list[Segment]]:
        """What holds now and later, as this role may see it."""
        self._run(_OPEN, (self._names,))
        while page := self._run(f"FETCH {rows} FROM segments"):
            yield [_segment(row) for row in page]

    def _run(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return rows_of(self._conn, statement, values)


class Entities(NamedTuple):
    """What the store says of some entities: what holds now and later, and their newest versions.

    One that is not there, or must not be seen, has no newest version.
    """

    segments: list[Segment]
    newest: dict[str, int]
    database_seconds: float


def read_entities(conn: Any, type_names: Sequence[str], entity_ids: Sequence[str]) -> Entities:
    """Look at some entities, all at one moment."""
    rows_of(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        asked = (list(type_names), list(entity_ids))
        newest = dict(rows_of(conn, _NEWEST, asked))
        rows = rows_of(conn, _OF_ENTITIES, asked)
        [[seconds]] = rows_of(conn, f"SELECT {_NOW}")
    finally:
        if not conn.closed:
            rows_of(conn, "ROLLBACK")
    return Entities([_segment(row) for row in rows], newest, seconds)


def _segment(row: tuple[Any, ...]) -> Segment:
    event = ChangeEvent(*row[:7], owner=row[7], valid_from=row[8], valid_to=row[9], data=row[10])
    return Segment(event, row[11], row[12])
