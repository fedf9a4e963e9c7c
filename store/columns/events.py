"""Columns of the event log, as the bridge and the audit show them."""

from __future__ import annotations

from datetime import datetime

from store.registry import ColumnRegistry


def define_columns(registry: ColumnRegistry) -> None:
    """Add these columns to a registry."""
    _define_identity(registry)
    _define_people_and_times(registry)


def _define_identity(registry: ColumnRegistry) -> None:
    registry.define(
        "entity_id",
        str,
        role="dimension",
        category="events",
        description="Identifier of a stored entity; all of its versions share it",
        synonyms=["EntityId", "entity", "object id", "uuid"],
        sample_values=["3f2b8c1e-6c1d-4c44-9d0a-6b1f3c0a9e55"],
        semantic_type="identifier",
        max_length=36,
        tags=["key"],
    )
    registry.define(
        "version",
        int,
        role="attribute",
        category="events",
        description="Number of an event within its entity: 1, 2, 3 … without a gap",
        synonyms=["Version", "revision", "event number"],
        sample_values=[1, 2],
        semantic_type="count",
        min_value=1,
        format="d",
    )
    registry.define(
        "event_type",
        str,
        role="dimension",
        category="events",
        description="What an event did to its entity",
        synonyms=["EventType", "kind of event"],
        sample_values=["CREATED", "CORRECTED"],
        semantic_type="code",
        enum=["CREATED", "UPDATED", "DELETED", "STATE_CHANGE", "CORRECTED"],
    )
    registry.define(
        "state",
        str,
        role="dimension",
        category="events",
        description="State of an entity in the life that its state machine describes",
        synonyms=["State", "lifecycle state"],
        sample_values=["PENDING", "SETTLED"],
        semantic_type="code",
        max_length=64,
        nullable=True,
    )


def _define_people_and_times(registry: ColumnRegistry) -> None:
    registry.define(
        "owner",
        str,
        role="dimension",
        category="events",
        description="User who first wrote an entity and decides who else may see it",
        synonyms=["Owner", "created by"],
        sample_values=["alice"],
        semantic_type="user_name",
        max_length=63,
        sensitivity="internal",
    )
    registry.define(
        "updated_by",
        str,
        role="dimension",
        category="events",
        description="User who made this very change",
        synonyms=["UpdatedBy", "changed by", "author"],
        sample_values=["bob"],
        semantic_type="user_name",
        max_length=63,
        sensitivity="internal",
    )
    registry.define(
        "tx_time",
        datetime,
        role="attribute",
        category="events",
        description="When the store recorded an event; set by the database alone",
        synonyms=["TxTime", "transaction time", "recorded at", "system time"],
        semantic_type="event_time",
        format="%Y-%m-%d %H:%M:%S.%f %Z",
    )
    registry.define(
        "valid_from",
        datetime,
        role="attribute",
        category="events",
        description="From when on a fact holds in the world, that instant included",
        synonyms=["ValidFrom", "effective from", "valid time"],
        semantic_type="event_time",
        format="%Y-%m-%d %H:%M:%S.%f %Z",
    )
    registry.define(
        "valid_to",
        datetime,
        role="attribute",
        category="events",
        description="Until when a fact holds in the world, that instant excluded; empty for ever",
        synonyms=["ValidTo", "effective to", "expires"],
        semantic_type="event_time",
        nullable=True,
        format="%Y-%m-%d %H:%M:%S.%f %Z",
    )
