"""ChangeEvent: what listeners are told of a write.

bus.on("Order", lambda event: print(event.entity_id, event.version, event.state))
client = StoreClient(user="alice", password="…", event_bus=bus, **server.conn_info())
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import Any, Protocol

from store.position import Position


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """One event of the log.

    `data` is the JSON text of that version, `valid_to` is None for ever, `position` is its place
    in the log; they are None where the sender does not know them.
    """

    entity_id: str
    version: int
    event_type: str
    type_name: str
    updated_by: str
    state: str | None
    tx_time: datetime
    _: KW_ONLY
    owner: str | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    event_meta: dict[str, Any] | None = None
    data: str | None = None
    position: Position | None = None


class Bus(Protocol):
    """Something that takes events, such as `store.subscriptions.EventBus`."""

    def emit(self, event: ChangeEvent) -> object:
        """Tell the listeners."""
