"""Objects at versions that are not in the store yet.

A group is stepped while the one before it is still being committed, so that the versions of its
records have to be known before the store has answered. What is given to a batch is a twin: the
store writes its receipts on that, at its own time, and never on what the engine goes on with.
"""

from __future__ import annotations

from typing import TypeVar

from store.base import Storable

__all__ = ["mark", "twin"]

S = TypeVar("S", bound=Storable)


def mark(obj: Storable, entity_id: str, version: int) -> None:
    """Say which version of which entity an object is, or will be."""
    known = obj.__dict__
    known["_store_entity_id"] = entity_id
    known["_store_version"] = known["_store_newest_version"] = version


def twin(obj: S) -> S:
    """Return the same version of the same entity as an object of its own."""
    made: S = object.__new__(type(obj))
    made.__dict__.update(obj.__dict__)
    return made
