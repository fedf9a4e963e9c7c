"""Sharing single entities with other users; only their owner can.

A right counts from the next statement on, for the entity's whole history. No event is rewritten.
"""

from __future__ import annotations

from typing import Any

import psycopg2

from store.connection import translated
from store.errors import EntityNotFound
from store.reading import is_entity_id

__all__ = [
    "list_shared_with",
    "share_read",
    "share_write",
    "unshare",
    "unshare_read",
    "unshare_write",
]


def share_read(conn: Any, entity_id: str, user: str) -> bool:
    """Let a user read an entity; did that change anything?"""
    return _share(conn, entity_id, user, True, None)


def share_write(conn: Any, entity_id: str, user: str) -> bool:
    """Let a user write new versions of an entity, and read it; did that change anything?"""
    return _share(conn, entity_id, user, None, True)


def unshare_read(conn: Any, entity_id: str, user: str) -> bool:
    """Take the right to read back; who may write still reads. Did that change anything?"""
    return _share(conn, entity_id, user, False, None)


def unshare_write(conn: Any, entity_id: str, user: str) -> bool:
    """Take the right to write back; did that change anything?"""
    return _share(conn, entity_id, user, None, False)


def unshare(conn: Any, entity_id: str, user: str) -> bool:
    """Take both rights back; did that change anything?"""
    return _share(conn, entity_id, user, False, False)


def list_shared_with(conn: Any, entity_id: str) -> dict[str, list[str]]:
    """`readers` and `writers` of an entity, as far as one may know: all of one's own entities."""
    if not is_entity_id(entity_id):
        return {"readers": [], "writers": []}
    statement = (
        "SELECT coalesce(array_agg(grantee ORDER BY grantee) FILTER (WHERE can_read), '{}'), "
        "coalesce(array_agg(grantee ORDER BY grantee) FILTER (WHERE can_write), '{}') "
        "FROM object_store.shared_with(%s::uuid)"
    )
    readers, writers = _row(conn, statement, [entity_id])
    return {"readers": readers, "writers": writers}


def _share(conn: Any, entity_id: str, user: str, read: bool | None, write: bool | None) -> bool:
    if not is_entity_id(entity_id):
        raise EntityNotFound(f"{entity_id!r:.60} is no entity's id")
    statement = "SELECT object_store.share(%s::uuid, %s, %s, %s)"
    return bool(_row(conn, statement, [entity_id, user, read, write])[0])


def _row(conn: Any, statement: str, values: list[Any]) -> tuple[Any, ...]:
    try:
        with conn.cursor() as cursor:
            cursor.execute(statement, values)
            row: tuple[Any, ...] = cursor.fetchone()
            return row
    except psycopg2.Error as error:
        raise translated(error) from error
