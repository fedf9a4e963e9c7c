"""Proof that nothing in the log was altered, removed or inserted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg2

from store.connection import translated


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


def verify(conn: Any) -> Verification:
    """Compute all hashes again, of the events that the connection's user may see.

    An administrator's connection checks everything. Shown is the first break of each entity.
    """
    try:
        with conn.cursor() as cursor:
            # One statement: others may write meanwhile.
            cursor.execute(_VERIFY)
            entities, events, found = cursor.fetchone()
    except psycopg2.Error as error:
        raise translated(error) from error
    first: dict[str, Break] = {}
    for entity_id, version, problem in found or ():
        first.setdefault(entity_id, Break(entity_id, version, problem))
    return Verification(entities, events, tuple(first.values()))


_VERIFY = """
SELECT (SELECT count(*) FROM object_store.head), (SELECT count(*) FROM object_store.event),
    (SELECT jsonb_agg(jsonb_build_array(entity_id, version, problem) ORDER BY place)
        FROM object_store.breaks() WITH ORDINALITY b (entity_id, version, problem, place))
"""
