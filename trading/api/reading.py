"""Pages of records, read as the user who asks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from reactive.expr import Const, Expr, Field
from store.base import Storable
from store.client import StoreClient
from trading.api.problems import Problem
from trading.api.record_views import EVENT_TOPICS, GOVERNED_TOPICS, view_of

__all__ = ["LIMIT_MAX", "TWIN_RUN", "newest_governed", "newest_records", "page_of"]

LIMIT_MAX = 500
TWIN_RUN = "twin:"
"""Begins the names of runs in which strategies trade on paper beside an account."""
_CURSOR_MAX = 4_000


class Reader(Protocol):
    """Who reads: a user's store, and the login whose records are shown."""

    @property
    def store(self) -> StoreClient:
        """The store as the user."""
        ...

    @property
    def records_owner(self) -> str:
        """The user whose records are shown."""
        ...


def page_of(
    pool: Reader,
    topic: str,
    filters: Any,
    *,
    limit: int = 100,
    cursor: str | None = None,
    at: datetime | None = None,
    known_at: datetime | None = None,
    more: Callable[[Storable], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return a page of a topic's records, the newest first.

    `at` and `known_at` ask what held at a time, as it was known at another; both are in the past.
    FilterError for a cursor of another query.
    """
    if cursor is not None and len(cursor) > _CURSOR_MAX:
        raise Problem(422, "MALFORMED", "this is no cursor of an earlier page")
    cls = EVENT_TOPICS[topic][0]
    found = pool.store.query(
        cls,
        filters,
        min(limit, LIMIT_MAX),
        cursor,
        order_by="-timestamp",
        tx_time=known_at,
        valid_time=at,
    )
    owner = pool.records_owner
    items = [view_of(each, more=more) for each in found if each._store_owner == owner]
    return {"items": items, "next_cursor": found.next_cursor}


def newest_governed(pool: Reader, topic: str, account: str | None) -> list[dict[str, Any]]:
    """Return all that was asked for and decided, the newest first; of one account, or of all."""
    filters = None if account is None else {"account": account}
    found = list(pool.store.query(GOVERNED_TOPICS[topic][0], filters, limit=None))
    found.sort(key=lambda each: (each._store_tx_time, each._store_entity_id), reverse=True)
    return [view_of(each) for each in found]


def newest_records(pool: Reader, topic: str, account: str | None) -> list[dict[str, Any]]:
    """Return the newest records of a topic, as a socket's snapshot gives them."""
    if topic in GOVERNED_TOPICS:
        return newest_governed(pool, topic, account)[:LIMIT_MAX]
    wanted: Expr = ~Field("run").starts_with(TWIN_RUN)
    if account is not None:
        wanted = wanted & (Field("account") == Const(account))
    items: list[dict[str, Any]] = page_of(pool, topic, wanted, limit=LIMIT_MAX)["items"]
    return items
