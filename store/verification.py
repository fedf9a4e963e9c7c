"""Proof that nothing in the log was altered, removed or inserted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from store.database.execute import PgConnection, execute

Progress = Callable[[int, int], object]
# Entities that one statement checks.
SLICE = 5_000
_ENTITIES = "SELECT object_store.visible_entities()::text"
_VERIFY = "SELECT * FROM object_store.verify(%s::uuid[])"
_ORPHANS = "SELECT entity_id::text, version, problem FROM object_store.orphans()"


@dataclass(frozen=True)
class Break:
    """An event that does not fit, and why; version 0 where it is about no single one."""

    entity_id: str
    version: int
    problem: str

    def __str__(self) -> str:
        return f"entity {self.entity_id}, version {self.version}: {self.problem}"


@dataclass(frozen=True)
class Verification:
    """What was looked at and what was found; true where nothing is wrong."""

    entities: int
    events: int
    breaks: tuple[Break, ...]

    def __bool__(self) -> bool:
        return not self.breaks


def verify(conn: PgConnection, on_progress: Progress | None = None) -> Verification:
    """Compute all hashes again, of the events that the connection's user may see.

    An administrator's connection checks everything. All breaks of an entity are named, those of
    the log itself before those of what is read. `on_progress(done, all)` is told how many entities
    are checked. Others may write meanwhile.
    """
    tell = on_progress or _nobody
    entity_ids = [row[0] for row in execute(conn, _ENTITIES)]
    done = entities = events = 0
    found: dict[Break, None] = {}
    for start in range(0, len(entity_ids), SLICE):
        part = entity_ids[start : start + SLICE]
        # One statement a slice: what is written meanwhile is seen by all of it or none.
        [(more_entities, more_events, problems)] = execute(conn, _VERIFY, (part,))
        entities, events = entities + more_entities, events + more_events
        found |= {Break(*problem): None for problem in problems or ()}
        done += len(part)
        tell(done, len(entity_ids))
    found |= {Break(*problem): None for problem in execute(conn, _ORPHANS)}
    return Verification(entities, events, tuple(found))


def _nobody(_done: int, _all: int) -> None:
    pass
