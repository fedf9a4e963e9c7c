"""ChangeEvent: what listeners are told of a write.

bus.on("Order", lambda event: print(event.entity_id, event.version, event.state))
client = StoreClient(user="alice", password="…", event_bus=bus, **server.conn_info())
"""

from __future__ import annotations

import json
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from store.errors import SerializationError
from store.position import Position


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """One event of the log.

    `data` is the JSON text of that version, `event_meta` what its writer said of it, `valid_to` is
    None for ever, `position` is its place in the log; they are None where the sender does not know
    them. JSON is parsed where somebody asks for it: an event of another user may hold any, also
    what Python cannot parse.
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
    meta_text: str | None = None
    data: str | None = None
    position: Position | None = None

    @property
    def event_meta(self) -> dict[str, Any] | None:
        """What the writer said of the event; SerializationError if it cannot be parsed."""
        return None if self.meta_text is None else parsed_object(self.meta_text, str(self))

    def fields(self, *, exact: bool = False) -> dict[str, Any]:
        """The data as a JSON object, as it is stored; SerializationError if it is none.

        Numbers with a decimal point are float, or Decimal where they are wanted exactly.
        """
        return parsed_object(self.data or "{}", str(self), exact=exact)

    def __str__(self) -> str:
        return f"version {self.version} of {self.type_name} {self.entity_id}"


def parsed_object(text: str, what: str, *, exact: bool = False) -> dict[str, Any]:
    """The JSON object of a text that anybody may have written; SerializationError if it is none."""
    try:
        found = (_decode_exactly if exact else _decode)(text)
    # Numbers of too many digits, and lists inside of each other deeper than Python goes.
    except (ValueError, RecursionError, MemoryError) as error:
        raise SerializationError(f"{what}: {error}") from None
    if not isinstance(found, dict):
        raise SerializationError(f"{what}: a JSON object is expected, not {type(found).__name__}")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode
_decode_exactly = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=Decimal).decode


class Bus(Protocol):
    """Something that takes events, such as `store.subscriptions.EventBus`."""

    def emit(self, event: ChangeEvent) -> object:
        """Tell the listeners."""
