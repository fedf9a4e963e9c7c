"""Subscriptions: who hears of changes, in this process and in others.

bus = EventBus()
bus.on("Order", lambda event: print(event.event_type, event.entity_id))
with SubscriptionListener(bus, **server.conn_info(), user="bob", password="…",
                          subscriber_id="risk_engine"):
    ...  # every order that bob may see, in order, whoever writes it
"""

from __future__ import annotations

from store.errors import PositionError, SubscriptionError
from store.events import ChangeEvent
from store.position import START, Position
from store.subscriptions.checkpoints import (
    ParkedEvent,
    Subscriber,
    forget_subscriber,
    parked_events,
    subscribers,
    unpark,
)
from store.subscriptions.event_bus import BusCounts, EventBus
from store.subscriptions.event_log import EventLog, Lag, Page
from store.subscriptions.listener import SubscriptionListener
from store.subscriptions.status import State, SubscriptionStatus
from store.subscriptions.streaming import stream

__all__ = [
    "START",
    "BusCounts",
    "ChangeEvent",
    "EventBus",
    "EventLog",
    "Lag",
    "Page",
    "ParkedEvent",
    "Position",
    "PositionError",
    "State",
    "Subscriber",
    "SubscriptionError",
    "SubscriptionListener",
    "SubscriptionStatus",
    "forget_subscriber",
    "parked_events",
    "stream",
    "subscribers",
    "unpark",
]
