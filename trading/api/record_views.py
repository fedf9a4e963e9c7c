"""Records as the API shows them: prices, sizes and money as text, times in UTC."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from store.base import Storable
from trading.engine import (
    AlertRecord,
    CashRecord,
    DecisionRecord,
    FillRecord,
    LimitsRecord,
    MatchRecord,
    OrderRecord,
    PositionRecord,
    SignalRecord,
    TradingStateRecord,
)

__all__ = ["EVENT_TOPICS", "TOPIC_OF", "number_text", "time_text", "view_of"]

EVENT_TOPICS: dict[str, tuple[type[Storable], str]] = {
    "orders": (OrderRecord, "order_event"),
    "fills": (FillRecord, "fill"),
    "matches": (MatchRecord, "match"),
    "positions": (PositionRecord, "position"),
    "cash": (CashRecord, "cash"),
    "signals": (SignalRecord, "signal"),
    "decisions": (DecisionRecord, "decision"),
    "limits": (LimitsRecord, "limits"),
    "trading_state": (TradingStateRecord, "trading_state"),
    "alerts": (AlertRecord, "alert"),
}
"""Topics of records: the class, and the `type` of its messages."""

TOPIC_OF: dict[str, str] = {
    name: topic for topic, (cls, _) in EVENT_TOPICS.items() for name in cls.type_names()
}


def time_text(value: datetime) -> str:
    """Return a time in UTC, to the microsecond."""
    return f"{value.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}Z"


def number_text(value: Decimal) -> str:
    """Return a number in plain digits, without zeros at its end."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _shown(value: Any) -> Any:
    if isinstance(value, Decimal):
        return number_text(value)
    if isinstance(value, datetime):
        return time_text(value)
    return value


def _fields(cls: type[Storable]) -> list[str]:
    return [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]


_NAMES: dict[type[Storable], list[str]] = {cls: _fields(cls) for cls, _ in EVENT_TOPICS.values()}


def view_of(
    record: Storable,
    entity_id: str | None = None,
    version: int | None = None,
    *,
    more: Callable[[Storable], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return a record as the API shows it, with its id and version."""
    found: dict[str, Any] = {
        "id": entity_id or record._store_entity_id,
        "version": version or record._store_version,
    }
    for name in _NAMES[type(record)]:
        found[name] = _shown(getattr(record, name))
    if more is not None:
        found.update(more(record))
    return found
