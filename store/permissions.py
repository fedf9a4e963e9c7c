"""Sharing single entities with other users; only their owner can.

A right counts from the next statement on, for the entity's whole history. No event is rewritten.
Sharing needs no consent; who does not want it refuses what a user shares, or a single entity.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from store.database.execute import PgConnection, execute
from store.entities.reader import is_entity_id
from store.errors import EntityNotFound

__all__ = [
    "Refusal",
    "accept",
    "accept_from",
    "list_refused",
    "list_shared_with",
    "refuse",
    "refuse_from",
    "share_read",
    "share_write",
    "unshare",
    "unshare_read",
    "unshare_write",
]


def share_read(conn: PgConnection, entity_id: str, user: str) -> bool:
    """Let a user read an entity; True if that changed anything."""
    return _share(conn, entity_id, user, True, None)


def share_write(conn: PgConnection, entity_id: str, user: str) -> bool:
    """Let a user write new versions of an entity, and read it; True if that changed anything."""
    return _share(conn, entity_id, user, None, True)


def unshare_read(conn: PgConnection, entity_id: str, user: str) -> bool:
    """Take the right to read back; who may write still reads. True if that changed anything."""
    return _share(conn, entity_id, user, False, None)


def unshare_write(conn: PgConnection, entity_id: str, user: str) -> bool:
    """Take the right to write back; True if that changed anything."""
    return _share(conn, entity_id, user, None, False)


def unshare(conn: PgConnection, entity_id: str, user: str) -> bool:
    """Take both rights back; True if that changed anything."""
    return _share(conn, entity_id, user, False, False)


def list_shared_with(conn: PgConnection, entity_id: str) -> dict[str, list[str]]:
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


class Refusal(NamedTuple):
    """What a user refuses: everything that another one shares, or one entity of theirs."""

    owner: str
    entity_id: str | None


def refuse(conn: PgConnection, entity_id: str) -> None:
    """Give an entity back that was shared with this user; it cannot be shared again.

    Until `accept`. EntityNotFound where nothing is shared.
    """
    _require_id(entity_id)
    _row(conn, "SELECT object_store.refuse_sharing(NULL, %s::uuid)", [entity_id])


def refuse_from(conn: PgConnection, owner: str) -> int:
    """Take nothing that a user shares, and give back what they did; return how many entities.

    They get an AccessError when they share, until `accept_from`.
    """
    return int(_row(conn, "SELECT object_store.refuse_sharing(%s, NULL)", [owner])[0])


def accept(conn: PgConnection, entity_id: str) -> bool:
    """Let an entity be shared again; True if it was refused. Its owner has to share it again."""
    _require_id(entity_id)
    return bool(_row(conn, "SELECT object_store.accept_sharing(NULL, %s::uuid)", [entity_id])[0])


def accept_from(conn: PgConnection, owner: str) -> bool:
    """Let a user share again; True if that was refused. Entities refused one by one stay so."""
    return bool(_row(conn, "SELECT object_store.accept_sharing(%s, NULL)", [owner])[0])


def list_refused(conn: PgConnection) -> list[Refusal]:
    """What this user refuses, by owner."""
    rows = execute(conn, "SELECT owner, entity_id::text FROM object_store.refused()")
    return [Refusal(*row) for row in rows]


def _share(
    conn: PgConnection, entity_id: str, user: str, read: bool | None, write: bool | None
) -> bool:
    _require_id(entity_id)
    statement = "SELECT object_store.share(%s::uuid, %s, %s, %s)"
    return bool(_row(conn, statement, [entity_id, user, read, write])[0])


def _require_id(entity_id: str) -> None:
    if not is_entity_id(entity_id):
        raise EntityNotFound(f"{entity_id!r:.60} is no entity's id")


def _row(conn: PgConnection, statement: str, values: list[Any]) -> tuple[Any, ...]:
    return execute(conn, statement, values)[0]
