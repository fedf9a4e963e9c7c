"""Which entities of others a role may see: sharing writes no event, so somebody has to look."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from bridge.snapshot import run

LOOK_SECONDS = 0.5
# Of the time, looking takes no more than one part in this many.
_SPARING = 20

_MINE = 'object_store.acl WHERE grantee = current_user::text COLLATE "C"'
_SUM = "count(*), coalesce(bit_xor(uuid_hash_extended(entity_id, 7)), 0)"
_DIGEST = f"SELECT {_SUM} FROM {_MINE}"
# One statement, so that the digest is that of the very entities.
_ALL = f"SELECT {_SUM}, coalesce(array_agg(entity_id::text), '{{}}') FROM {_MINE}"


class Change(NamedTuple):
    """Entities shared with the role, and those taken away from it, since the last look."""

    granted: set[str]
    revoked: set[str]


class Grants:
    """The entities that others share with a role, looked at now and then."""

    def __init__(self, conn: Any) -> None:
        self._digest, self._known = _all(conn)
        self._next_look = time.monotonic() + LOOK_SECONDS

    def look(self, conn: Any, *, now: bool = False) -> Change | None:
        """What changed, if it is time to look (or asked for `now`) and something did."""
        began = time.monotonic()
        if began < self._next_look and not now:
            return None
        change = None
        if run(conn, _DIGEST)[0] != self._digest:
            digest, shared = _all(conn)
            change = Change(shared - self._known, self._known - shared)
            self._known, self._digest = shared, digest
        ended = time.monotonic()
        self._next_look = ended + max(LOOK_SECONDS, (ended - began) * _SPARING)
        return change


def _all(conn: Any) -> tuple[tuple[Any, ...], set[str]]:
    *digest, ids = run(conn, _ALL)[0]
    return tuple(digest), set(ids)
