"""Reading single entities: now, at a time, their history and who changed them."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Generic, TypeVar

from store.base import Storable
from store.database.arrays import array_text
from store.database.connection import Connection
from store.database.prepared import PreparedStatement
from store.entities.appender import aware
from store.entities.rows import COLUMNS, readable
from store.entities.unreadable import OnUnreadable, Unreadable, report
from store.errors import SerializationError
from store.events import parsed_object

_LOG = logging.getLogger(__name__)
# As the store writes ids.
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
S = TypeVar("S", bound=Storable)

_READ = PreparedStatement("SELECT * FROM object_store.value_now(%s::uuid, %s::text[])")
_AS_OF = PreparedStatement(
    "SELECT * FROM object_store.value_at(%s::uuid, %s::text[], %s::timestamptz, %s::timestamptz)"
)
_HISTORY = f"SELECT {COLUMNS} FROM object_store.versions(%s::uuid, %s)"
_AUDIT = """
SELECT version, event_type, owner, updated_by, state, event_meta::text, tx_time, valid_from,
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


class History(list[S], Generic[S]):
    """The versions of an entity in order; `unreadable` has those whose data cannot be read."""

    def __init__(self, versions: Iterable[S | Unreadable] = ()) -> None:
        super().__init__()
        self.unreadable: list[Unreadable] = []
        for version in versions:
            if isinstance(version, Unreadable):
                self.unreadable.append(version)
            else:
                self.append(version)


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

    def history(self, cls: type[S], entity_id: str, on_unreadable: OnUnreadable) -> History[S]:
        """Every version, tombstones too."""
        if not is_entity_id(entity_id):
            return History()
        rows = self._connection.read(_HISTORY, [entity_id, list(cls.type_names())])
        found = History(readable(cls, row) for row in rows)
        report(found.unreadable, on_unreadable, stacklevel=3)
        return found

    def audit(self, entity_id: str) -> list[dict[str, Any]]:
        """Who changed what and when, version by version; meta that cannot be parsed as its text."""
        if not is_entity_id(entity_id):
            return []
        trail = []
        for row in self._connection.read(_AUDIT, [entity_id]):
            entry = dict(zip(_AUDIT_KEYS, row, strict=True))
            if entry["event_meta"] is not None:
                try:
                    entry["event_meta"] = parsed_object(entry["event_meta"], "event_meta")
                except SerializationError:
                    _LOG.warning("version %s of %s: its meta is no JSON object", row[0], entity_id)
            trail.append(entry)
        return trail

    def _one(
        self, cls: type[S], entity_id: str, statement: PreparedStatement, more: list[Any]
    ) -> S | None:
        if not is_entity_id(entity_id):
            return None
        rows = self._connection.read(statement, [entity_id, array_text(cls.type_names()), *more])
        if not rows:
            return None
        found = readable(cls, rows[0])
        if isinstance(found, Unreadable):
            raise SerializationError(str(found))
        return found


def is_entity_id(entity_id: Any) -> bool:
    """Whether this is a UUID, as entity ids are."""
    if entity_id.__class__ is str and _ID.fullmatch(entity_id):
        return True
    try:
        uuid.UUID(str(entity_id))
    except ValueError:
        return False
    return True
