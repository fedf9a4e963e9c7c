"""Entities: how their versions are written, read, found and moved from state to state.

receipt = Appender(connection, bus, warn_only=False).one("CREATED", trade, period, state=None)
trade = Reader(connection).read(Trade, receipt.entity_id)
page = Query(Trade, {"symbol": "AAPL"}).page(connection, limit=100, cursor=None)

`store.client.StoreClient` is the way for programs.
"""

from store.entities.appender import Appender
from store.entities.query import Filters, Query, QueryResult
from store.entities.reader import History, Reader
from store.entities.rows import Receipt
from store.entities.transitions import TransitionCounts, Transitions
from store.entities.unreadable import OnUnreadable, Unreadable, UnreadableWarning

__all__ = [
    "Appender",
    "Filters",
    "History",
    "OnUnreadable",
    "Query",
    "QueryResult",
    "Reader",
    "Receipt",
    "TransitionCounts",
    "Transitions",
    "Unreadable",
    "UnreadableWarning",
]
