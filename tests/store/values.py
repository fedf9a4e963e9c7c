"""Trades and times that many tests write."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Any

from store.client import StoreClient
from store.models import Trade

HOUR = timedelta(hours=1)


def now() -> datetime:
    return datetime.now(timezone.utc)


def trade(**changes: Any) -> Trade:
    return Trade(**{"symbol": "AAPL", "quantity": 100, "price": 228.5, "side": "BUY", **changes})


def early_and_late(client: StoreClient, seconds: float) -> None:
    """A transaction that takes the first number of all and commits as the last."""
    with client.transaction():
        client.write(Trade(symbol="EARLY"))
        time.sleep(seconds)
        client.write(Trade(symbol="LATE"))
