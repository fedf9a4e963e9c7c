"""Values of the store as pickles of the version before its sub-packages had them.

A workflow engine pickles what a step returns, such as the answer of a query. `stored.json` was
written when every module stood right below `store`; each entry has the pickles of the value
(base64, one for each protocol). `python -m tests.store.stored PATH` writes such a file with the
code at hand.
"""

from __future__ import annotations

import base64
import json
import pickle
import sys
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import Any

from store.client import QueryResult, VersionConflict
from store.columns import REGISTRY
from store.entities.reader import History
from store.entities.rows import Receipt
from store.entities.transitions import TransitionCounts
from store.entities.unreadable import Unreadable
from store.errors import AccessError, FilterError, ValidationError, Violation
from store.models import Order, Trade
from store.outbox.outbox import Intent
from store.projections import Folded
from store.subscriptions import (
    BusCounts,
    ChangeEvent,
    Lag,
    Page,
    ParkedEvent,
    Position,
    Subscriber,
    SubscriptionState,
    SubscriptionStatus,
)
from store.verification import Break, Verification

FILE = Path(__file__).with_name("stored.json")
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
ENTITY = "0198c0de-0000-7000-8000-000000000001"
TIME = datetime(2026, 2, 22, 10, 30, tzinfo=timezone.utc)
PLACE = Position("7710600186791720894", 742, 3)


def trade() -> Trade:
    return Trade(symbol="AAPL", quantity=100, price=228.0, side="BUY", timestamp=TIME)


def event() -> ChangeEvent:
    return ChangeEvent(
        ENTITY,
        3,
        "UPDATED",
        "store.models.Trade",
        "alice",
        None,
        TIME,
        owner="alice",
        valid_from=TIME,
        data=trade().to_json(),
        position=PLACE,
    )


def values() -> dict[str, Any]:
    """Return the values by name."""
    receipt = Receipt(ENTITY, 3, "UPDATED", "alice", "alice", TIME, TIME, datetime.max, None, True)
    history = History([trade()])
    unreadable = Unreadable(ENTITY, 4, "mallory", "no number", '{"price": "x"}')
    history.unreadable.append(unreadable)
    return {
        "trade": trade(),
        "order": Order(symbol="MSFT", quantity=5, status="NEW"),
        "event": event(),
        "position": PLACE,
        "receipt": receipt,
        "unreadable": unreadable,
        "history": history,
        "query result": QueryResult([trade()], "next", Trade, (unreadable,)),
        "transition counts": TransitionCounts(3, 1, 2, 0),
        "verification": Verification(2, 5, (Break(ENTITY, 2, "hash"),)),
        "folded": Folded({"AAPL": 100}, PLACE, 7, TIME, set_aside=(unreadable,)),
        "intent": Intent(ENTITY, 3, "desk:settle", "desk.Trade", "alice", TIME, 2),
        "lag": Lag(3, 1.5, 0),
        "page": Page([event()], PLACE, True),
        "bus counts": BusCounts(5, 4, 1),
        "subscription status": SubscriptionStatus(SubscriptionState.LIVE, PLACE, delivered=4),
        "subscriber": Subscriber("risk", PLACE, TIME, 4711, 0, "bob", 12),
        "parked event": ParkedEvent("risk", ENTITY, 3, "ValueError", 4, TIME, PLACE, "bob"),
        "column": REGISTRY.get("price"),
        "column with an enum": REGISTRY.get("side"),
        "version conflict": VersionConflict(ENTITY, 2, 3),
        "access error": AccessError("not yours"),
        "filter error": FilterError("no such field"),
        "validation error": ValidationError(
            [Violation("Trade", "price", -1.0, "min_value", "Trade.price: at least 0")]
        ),
    }


def pickles(value: Any) -> list[str]:
    return [base64.b64encode(pickle.dumps(value, protocol)).decode() for protocol in PROTOCOLS]


def main() -> None:
    stored = {name: pickles(value) for name, value in values().items()}
    Path(sys.argv[1]).write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    import_module("tests.store.stored").main()
