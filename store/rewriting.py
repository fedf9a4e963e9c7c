"""Bringing stored entities to the present version of their class, by ordinary updates.

found = rewrite(client, Trade)
print(found.rewritten, found.not_writable, found.unreadable)

Nothing needs it: entities of an older version read as if they had been written today. But a query
looks at each of them one by one, and a rewritten one is found by PostgreSQL.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from store.base import Storable
from store.client import StoreClient
from store.entities.as_read import as_read
from store.entities.query import Query
from store.entities.rows import readable
from store.entities.unreadable import Unreadable
from store.errors import (
    AccessError,
    EntityNotFound,
    InvalidPeriod,
    SerializationError,
    ValidationError,
    VersionConflict,
)

BATCH = 500
# What one entity of a batch may be refused for.
_OF_ONE = (
    VersionConflict,
    InvalidPeriod,
    AccessError,
    EntityNotFound,
    ValidationError,
    SerializationError,
)
Progress = Callable[[int], object]


@dataclass
class Rewritten:
    """What `rewrite` did: entities rewritten, left to a newer write, shared for reading only.

    `unreadable` are those that the class cannot read, or that break the catalog's rules.
    """

    rewritten: int = 0
    overtaken: int = 0
    not_writable: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)


def rewrite(
    client: StoreClient, cls: type[Storable], on_progress: Progress | None = None
) -> Rewritten:
    """Write the present value of each older entity once more, as the class writes it today.

    Older are those of an earlier version of the class, and those that lack a field. Each gets one
    version more, an ordinary update with the same data, state and end; its history stays as it is.
    It may be stopped and run again. `on_progress` is called with how many are rewritten.
    """
    found = Rewritten()
    batch: list[Storable] = []
    for obj in _old_ones(client, cls, found):
        batch.append(obj)
        if len(batch) == BATCH:
            _write(client, batch, found)
            batch = []
            if on_progress is not None:
                on_progress(found.rewritten)
    _write(client, batch, found)
    if on_progress is not None:
        on_progress(found.rewritten)
    return found


def _old_ones(client: StoreClient, cls: type[Storable], found: Rewritten) -> Iterator[Storable]:
    meaning = as_read(cls)
    maybe = meaning.may_be_old()
    if maybe is None:
        return
    for row in Query(cls).stored(client._connection, maybe):
        value = readable(cls, row)
        if isinstance(value, Unreadable):
            found.unreadable.append(value)
        elif meaning.is_old(json.loads(row[-2])):
            yield value


def _write(client: StoreClient, batch: list[Storable], found: Rewritten) -> None:
    for valid_to in {obj._store_valid_to for obj in batch}:
        alike = [obj for obj in batch if obj._store_valid_to == valid_to]
        try:
            client.update_many(alike, valid_to=valid_to)
            found.rewritten += len(alike)
        except _OF_ONE:
            # One of them stands against all: by themselves, the others can be written.
            for obj in alike:
                _write_one(client, obj, found)


def _write_one(client: StoreClient, obj: Storable, found: Rewritten) -> None:
    try:
        client.update(obj, valid_to=obj._store_valid_to)
        found.rewritten += 1
    except (VersionConflict, InvalidPeriod):
        # Somebody wrote it meanwhile, or its period has ended.
        found.overtaken += 1
    except (AccessError, EntityNotFound):
        found.not_writable += 1
    except (ValidationError, SerializationError) as error:
        where = (str(obj._store_entity_id), obj._store_version or 0, str(obj._store_updated_by))
        found.unreadable.append(Unreadable(*where, str(error), ""))
