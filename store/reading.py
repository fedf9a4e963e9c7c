"""Reading single entities: now, at a time, their history and who changed them."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, TypeVar

from store.appending import aware
from store.base import Storable
from store.connection import Connection
from store.rows import COLUMNS, from_row

S = TypeVar("S", bound=Storable)

_READ = "SELECT * FROM object_store.value_now(%s::uuid, %s)"
_AS_OF = "SELECT * FROM object_store.value_at(%s::uuid, %s, %s, %s)"
_HISTORY = f"SELECT {COLUMNS} FROM object_store.versions(%s::uuid, %s)"
_AUDIT = """
SELECT version, event_type, owner, updated_by, state, event_meta, tx_time, valid_from,
    CASE WHEN isfinite(valid_to) THEN valid_to END AS valid_to, type_name
FROM object_store.versions(%s::uuid, NULL)
"""
_AUDIT_KEYS = (
    "version",
    "event_type",
    "owner",
    "updated_by",
    "state",
    "event_meta",
    "tx_time",
    "valid_from",
    "valid_to",
    "type_name",
)


class Reader:
    """Reads entities by their id; one that the user may not see is not there."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self, cls: type[S], entity_id: str) -> S | None:
        """The value that holds now, by all that is known now."""
        return self._one(cls, entity_id, _READ, [])

    def as_of(
        self, cls: type[S], entity_id: str, tx_time: datetime | None, valid_time: datetime | None
    ) -> S | None:
        """The value at a valid time by what was recorded at a time."""
        aware("tx_time", tx_time)
        aware("valid_time", valid_time)
        if tx_time is None and valid_time is None:
            return self.read(cls, entity_id)
        if tx_time is not None:
            self._connection.settle(tx_time)
        return self._one(cls, entity_id, _AS_OF, [tx_time, valid_time])

    def history(self, cls: type[S], entity_id: str) -> list[S]:
        """Every version, tombstones too."""
        if not is_entity_id(entity_id):
            return []
        rows = self._connection.read(_HISTORY, [entity_id, list(cls.type_names())])
        return [from_row(cls, row) for row in rows]

    def audit(self, entity_id: str) -> list[dict[str, Any]]:
        """Who changed what and when, version by version."""
        if not is_entity_id(entity_id):
            return []
        rows = self._connection.read(_AUDIT, [entity_id])
        return [dict(zip(_AUDIT_KEYS, row, strict=True)) for row in rows]

    def _one(self, cls: type[S], entity_id: str, statement: str, more: list[Any]) -> S | None:
        if not is_entity_id(entity_id):
            return None
        rows = self._connection.read(statement, [entity_id, list(cls.type_names()), *more])
        return from_row(cls, rows[0]) if rows else None


def is_entity_id(entity_id: Any) -> bool:
    """Can this be an entity's id at all?"""
    try:
        uuid.UUID(str(entity_id))
    except ValueError:
        return False
    return True
