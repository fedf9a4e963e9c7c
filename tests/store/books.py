"""A projection, and a process that follows it until it is killed.

python -m tests.store.books '{"host": …}' USER PASSWORD
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from store import Trade
from store.projections import Projection, Projector
from store.subscriptions import ChangeEvent

Book = dict[str, Any]


def add(book: Book, event: ChangeEvent) -> Book:
    """Quantities and turnover by symbol, and a digest that depends on the order of everything."""
    trade = Trade.from_json(event.data or "")
    before = book.get(trade.symbol, {"quantity": 0, "turnover": 0.0, "order": 0})
    sign = -1 if event.event_type == "DELETED" else 1
    own = sum(map(ord, event.entity_id)) + event.version
    after = {
        "quantity": before["quantity"] + sign * trade.quantity,
        # Sums of doubles differ when they are added in another order.
        "turnover": before["turnover"] + sign * trade.quantity * trade.price,
        "order": (before["order"] * 31 + own) % 1_000_000_007,
    }
    return {**book, trade.symbol: after}


BOOK: Projection[Book] = Projection("book", {}, add, types=[Trade])


def main() -> None:
    info, user, password = sys.argv[1:]
    projector = Projector(
        BOOK, **json.loads(info), user=user, password=password, snapshot_events=25
    )
    projector.start()
    sys.stdout.write("following\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
