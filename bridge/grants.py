"""What writes no event, so that somebody has to look: which entities of others a role may see.

Each look brings the database's time along.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from store.statements import rows_of

LOOK_SECONDS = 0.5
# Of the time, looking takes no more than one part in this many.
_SPARING = 20

_MINE = "object_store.shared_entities()"
_SUM = "count(*), coalesce(bit_xor(uuid_hash_extended(entity_id, 7)), 0)"
_NOW = "extract(epoch FROM object_store.store_time())::float8"
_DIGEST = f"SELECT {_NOW}, {_SUM} FROM {_MINE}"
# One statement, so that the digest is that of the very entities.
_ALL = f"SELECT {_SUM}, coalesce(array_agg(entity_id::text), '{{}}') FROM {_MINE}"


class Look(NamedTuple):
    """Entities shared with the role, and those taken away from it, since the last look."""

    database_seconds: float
    granted: frozenset[str] | set[str] = frozenset()
    revoked: frozenset[str] | set[str] = frozenset()


class Grants:
    """The entities that others share with a role, looked at now and then."""

    def __init__(self, conn: Any) -> None:
        self._digest, self._known = _all(conn)
        self._next_look = time.monotonic() + LOOK_SECONDS

    def look(self, conn: Any, *, now: bool = False) -> Look | None:
        """What changed, if it is time to look (or asked for `now`)."""
        began = time.monotonic()
        if began < self._next_look and not now:
            return None
        seconds, *digest = rows_of(conn, _DIGEST)[0]
        found = Look(seconds)
        if digest != self._digest:
            self._digest, shared = _all(conn)
            found = Look(seconds, shared - self._known, self._known - shared)
            self._known = shared
        ended = time.monotonic()
        self._next_look = ended + max(LOOK_SECONDS, (ended - began) * _SPARING)
        return found


def _all(conn: Any) -> tuple[list[Any], set[str]]:
    *digest, ids = rows_of(conn, _ALL)[0]
    return digest, set(ids)
