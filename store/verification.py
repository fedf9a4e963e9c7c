"""Proof that nothing in the log was altered, removed or inserted."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg2

from store.sqlstates import translated

Progress = Callable[[int, int], object]
# Entities that one statement checks.
SLICE = 5_000
FIRST_ID, LAST_ID = (str(uuid.UUID(int=number)) for number in (0, (1 << 128) - 1))


@dataclass(frozen=True)
class Break:
    """The first event of an entity that does not fit, and why."""

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


def verify(conn: Any, on_progress: Progress | None = None) -> Verification:
    """Compute all hashes again, of the events that the connection's user may see.

    An administrator's connection checks everything. Shown is the first break of each entity.
    `on_progress(done, all)` is told how many entities are checked. Others may write meanwhile.
    """
    try:
        with conn.cursor() as cursor:
            return _verify(cursor, on_progress or _nobody)
    except psycopg2.Error as error:
        raise translated(error) from error


def _verify(cursor: Any, on_progress: Progress) -> Verification:
    cursor.execute("SELECT count(*) FROM object_store.head")
    (total,) = cursor.fetchone()
    done = events = 0
    first: dict[str, Break] = {}
    start: str | None = FIRST_ID
    while start is not None:
        cursor.execute(_END_OF_SLICE, [start, SLICE])
        following = cursor.fetchone()
        end = LAST_ID if following is None else _before(following[0])
        # One statement a slice: what is written meanwhile is seen by all of it or none.
        cursor.execute(_CHECK, {"from": start, "to": end})
        entities, more, found = cursor.fetchone()
        done, events = done + entities, events + more
        for entity_id, version, problem in found or ():
            first.setdefault(entity_id, Break(entity_id, version, problem))
        on_progress(done, max(total, done))
        start = None if following is None else following[0]
    return Verification(done, events, tuple(first.values()))


def _before(entity_id: str) -> str:
    return str(uuid.UUID(int=uuid.UUID(entity_id).int - 1))


def _nobody(_done: int, _all: int) -> None:
    pass


_END_OF_SLICE = """
SELECT entity_id FROM object_store.head WHERE entity_id >= %s::uuid
ORDER BY entity_id OFFSET %s LIMIT 1
"""
_CHECK = """
SELECT
    (SELECT count(*) FROM object_store.head WHERE entity_id BETWEEN %(from)s AND %(to)s),
    (SELECT count(*) FROM object_store.event WHERE entity_id BETWEEN %(from)s AND %(to)s),
    (SELECT jsonb_agg(jsonb_build_array(entity_id, version, problem) ORDER BY place)
        FROM object_store.breaks(%(from)s, %(to)s)
            WITH ORDINALITY b (entity_id, version, problem, place))
"""
