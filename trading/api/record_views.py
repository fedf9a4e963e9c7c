"""Records as the API shows them: prices, sizes and money as text, times in UTC."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import msgspec

from store.base import Storable
from trading.engine import (
    AlertRecord,
    CashRecord,
    DecisionRecord,
    FillRecord,
    LimitsRecord,
    MatchRecord,
    OrderRecord,
    ParametersRecord,
    PositionRecord,
    SignalRecord,
    TradingStateRecord,
)
from trading.governance.entities import (
    ControlRequest,
    EmergencyReview,
    LimitsChange,
    ParametersChange,
)
from trading.risk import Limits

__all__ = [
    "EVENT_TOPICS",
    "GOVERNED_TOPICS",
    "TOPIC_OF",
    "number_text",
    "set_limits",
    "time_text",
    "view_of",
]

GOVERNED_TOPICS: dict[str, tuple[type[Storable], str]] = {
    "limits_changes": (LimitsChange, "limits_change"),
    "parameter_changes": (ParametersChange, "parameter_change"),
    "control_requests": (ControlRequest, "control_request"),
    "reviews": (EmergencyReview, "review"),
}
"""Topics of what people write: the database lets only those write it who may."""

EVENT_TOPICS: dict[str, tuple[type[Storable], str]] = {
    "orders": (OrderRecord, "order_event"),
    "fills": (FillRecord, "fill"),
    "matches": (MatchRecord, "match"),
    "positions": (PositionRecord, "position"),
    "cash": (CashRecord, "cash"),
    "signals": (SignalRecord, "signal"),
    "decisions": (DecisionRecord, "decision"),
    "limits": (LimitsRecord, "limits"),
    "parameters": (ParametersRecord, "parameters"),
    "trading_state": (TradingStateRecord, "trading_state"),
    "alerts": (AlertRecord, "alert"),
    **GOVERNED_TOPICS,
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
    state: str | None = None,
    changed_at: datetime | None = None,
    more: Callable[[Storable], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return a record as the API shows it, with its id and version.

    What is governed is shown with its `state`, and when it came to it.
    """
    found: dict[str, Any] = {
        "id": entity_id or record._store_entity_id,
        "version": version or record._store_version,
    }
    values = {name: _shown(getattr(record, name)) for name in _NAMES[type(record)]}
    if isinstance(record, _GOVERNED):
        found["state"] = state or record._store_state
        time = changed_at or record._store_tx_time
        found["changed_at"] = None if time is None else time_text(time)
        values = _as_governed(values)
    found.update(values)
    if more is not None:
        found.update(more(record))
    return found


_GOVERNED = tuple(cls for cls, _ in GOVERNED_TOPICS.values())
_NO_LIMITS = msgspec.json.decode(msgspec.json.encode(Limits()))


def _as_governed(values: dict[str, Any]) -> dict[str, Any]:
    """A change with its JSON texts as values, limits only those that are set; others as they are.

    A text that is no JSON object gives None: the engine refuses it, and says so.
    """
    for kind in ("limits", "parameters"):
        text = values.pop(f"{kind}_json", None)
        if text is not None:
            values |= {"kind": kind, "limits": None, "parameters": None, kind: _parsed(kind, text)}
            values.setdefault("strategy", "")
    return values


def _parsed(kind: str, text: str) -> dict[str, Any] | None:
    try:
        values = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return None
    return set_limits(values) if kind == "limits" else values


def set_limits(values: dict[str, Any]) -> dict[str, Any]:
    """Return those of an account's limits that are set to something."""
    return {name: value for name, value in values.items() if value != _NO_LIMITS.get(name)}
