"""The life of an order: fourteen states, and the edges between them as data.

    next_status(OrderStatus.SUBMITTED, "ACCEPTED")              # OrderStatus.ACCEPTED
    next_status(OrderStatus.FILLED, "CANCELED")                 # raises InvalidOrderEvent

Every event leads to the state of its name. Besides these, `UPDATED` keeps the state or ends a
pending replace, `UPDATE_REJECTED` and `CANCEL_REJECTED` give the state before the pending one back,
and the two fills lead to PARTIALLY_FILLED and FILLED.
"""

from __future__ import annotations

from enum import Enum

from trading.errors import InvalidOrderEvent

__all__ = [
    "EDGES",
    "EVENTS",
    "NEXT",
    "OPEN",
    "PENDING",
    "TERMINAL",
    "WORKING",
    "OrderStatus",
    "next_status",
    "status_diagram",
]


class OrderStatus(str, Enum):
    """State of an order; a value compares and hashes as its text."""

    INITIALIZED = "INITIALIZED"
    DENIED = "DENIED"
    EMULATED = "EMULATED"
    RELEASED = "RELEASED"
    SUBMITTED = "SUBMITTED"
    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    TRIGGERED = "TRIGGERED"
    PENDING_UPDATE = "PENDING_UPDATE"
    PENDING_CANCEL = "PENDING_CANCEL"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"

    # An Enum hashes its name in Python code; as text it hashes at the speed of a dict of str.
    __hash__ = str.__hash__

    def __str__(self) -> str:
        return str.__str__(self)


STAY = "stay"
BACK = "back"

# What each state may have. A name leads to that state; a pair leads elsewhere than its name says.
_UPDATED = ("UPDATED", STAY)
_PENDING_FILLS = (("PARTIALLY_FILLED", STAY), ("FILLED", "FILLED"))
_TABLE: dict[str, tuple[str | tuple[str, str], ...]] = {
    "INITIALIZED": (
        *("DENIED", "EMULATED", "RELEASED", "SUBMITTED"),
        *("REJECTED", "ACCEPTED", "CANCELED", "EXPIRED", "TRIGGERED"),
        _UPDATED,
    ),
    "EMULATED": ("RELEASED", "CANCELED", "EXPIRED", _UPDATED),
    "RELEASED": ("SUBMITTED", "DENIED", "CANCELED", _UPDATED),
    "SUBMITTED": (
        *("ACCEPTED", "REJECTED", "PENDING_UPDATE", "PENDING_CANCEL", "CANCELED"),
        *("PARTIALLY_FILLED", "FILLED"),
        _UPDATED,
    ),
    "ACCEPTED": (
        *("PENDING_UPDATE", "PENDING_CANCEL", "TRIGGERED", "CANCELED", "EXPIRED", "REJECTED"),
        *("PARTIALLY_FILLED", "FILLED"),
        _UPDATED,
    ),
    "TRIGGERED": (
        *("PENDING_UPDATE", "PENDING_CANCEL", "CANCELED", "EXPIRED", "REJECTED"),
        *("PARTIALLY_FILLED", "FILLED"),
        _UPDATED,
    ),
    "PARTIALLY_FILLED": (
        *("PENDING_UPDATE", "PENDING_CANCEL", "CANCELED", "EXPIRED", "ACCEPTED"),
        *("PARTIALLY_FILLED", "FILLED"),
        _UPDATED,
    ),
    "PENDING_UPDATE": (
        *("PENDING_CANCEL", "ACCEPTED", "TRIGGERED", "CANCELED", "EXPIRED", "REJECTED"),
        *_PENDING_FILLS,
        ("PENDING_UPDATE", STAY),
        ("UPDATED", BACK),
        ("UPDATE_REJECTED", BACK),
    ),
    "PENDING_CANCEL": (
        *("ACCEPTED", "CANCELED", "EXPIRED", "REJECTED"),
        *_PENDING_FILLS,
        ("PENDING_CANCEL", STAY),
        ("CANCEL_REJECTED", BACK),
    ),
    "CANCELED": ("PARTIALLY_FILLED", "FILLED"),
    "DENIED": (),
    "REJECTED": (),
    "EXPIRED": (),
    "FILLED": (),
}

EDGES: dict[OrderStatus, dict[str, str]] = {
    OrderStatus(state): {
        (each if isinstance(each, str) else each[0]): (each if isinstance(each, str) else each[1])
        for each in events
    }
    for state, events in _TABLE.items()
}
"""State → event → the state it leads to, `stay`, or `back` (the state before the pending one)."""

EVENTS: tuple[str, ...] = (
    *(status.value for status in OrderStatus if status is not OrderStatus.INITIALIZED),
    *("UPDATED", "UPDATE_REJECTED", "CANCEL_REJECTED"),
)
"""Every event that an order may hear of."""

TERMINAL = frozenset(
    {
        OrderStatus.DENIED,
        OrderStatus.REJECTED,
        OrderStatus.CANCELED,
        OrderStatus.EXPIRED,
        OrderStatus.FILLED,
    }
)
"""States that an order does not leave, but for a fill that crossed its cancel."""

PENDING = frozenset({OrderStatus.PENDING_UPDATE, OrderStatus.PENDING_CANCEL})
"""A cancel or replace was asked for and not yet answered."""

WORKING = frozenset({OrderStatus.ACCEPTED, OrderStatus.TRIGGERED, OrderStatus.PARTIALLY_FILLED})
"""The broker has acknowledged the order: only now is a cancel or replace sent."""

OPEN = frozenset(OrderStatus) - TERMINAL
"""The order may still fill."""

_STATE_OF = {status.value: status for status in OrderStatus}
NEXT: dict[OrderStatus, dict[str, OrderStatus | None]] = {
    state: {
        event: state if to == STAY else None if to == BACK else _STATE_OF[to]
        for event, to in events.items()
    }
    for state, events in EDGES.items()
}
"""The same, resolved: state → event → state; None stands for `back`."""


def next_status(
    status: OrderStatus | str,
    event: str,
    *,
    previous: OrderStatus = OrderStatus.ACCEPTED,
    order_id: str = "",
) -> OrderStatus:
    """Return the state that an event leads to.

    `event` is one of `EVENTS`; a fill is PARTIALLY_FILLED or FILLED. `previous` is the state before
    a pending cancel or replace, given back where that is refused. InvalidOrderEvent names the
    order, its state, the event and what is allowed.
    """
    try:
        found = NEXT[status][event]  # type: ignore[index]  # a text finds its state too
    except KeyError:
        known = _STATE_OF.get(status)
        allowed = tuple(EDGES[known]) if known else ()
        raise InvalidOrderEvent(order_id, str(status), str(event), allowed) from None
    return previous if found is None else found


def status_diagram() -> str:
    """Return the states and edges as a `stateDiagram-v2` of Mermaid."""
    lines = ["stateDiagram-v2", "    [*] --> INITIALIZED"]
    for state, events in EDGES.items():
        ways: dict[str, list[str]] = {}
        for event, to in events.items():
            if to == BACK:
                ways.setdefault("ACCEPTED", []).append(f"{event} (back)")
            else:
                ways.setdefault(state.value if to == STAY else to, []).append(event)
        for to, names in ways.items():
            label = "" if names == [to] else ": " + ", ".join(names)
            lines.append(f"    {state.value} --> {to}{label}")
    lines += [f"    {state.value} --> [*]" for state in OrderStatus if state in TERMINAL]
    return "\n".join(lines) + "\n"
