"""Objects at versions that are not in the store yet.

A group is stepped while the one before it is still being committed, so that the versions of its
records have to be known before the store has answered. Batches are made with `marks=False`: the
store writes nothing on the objects, which the engine goes on with meanwhile.
"""

from __future__ import annotations

from store.base import Storable

__all__ = ["mark"]


def mark(obj: Storable, entity_id: str, version: int) -> None:
    """Say which version of which entity an object is, or will be."""
    known = obj.__dict__
    known["_store_entity_id"] = entity_id
    known["_store_version"] = known["_store_newest_version"] = version
