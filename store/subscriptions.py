"""Subscriptions: who hears of changes, in this process and in others.

bus = EventBus()
bus.on("Order", lambda event: print(event.event_type, event.entity_id))
with SubscriptionListener(bus, **server.conn_info(), user="bob", password="…",
                          subscriber_id="risk_engine"):
    ...  # every order that bob may see, in order, whoever writes it
"""

from __future__ import annotations

from store.checkpoints import (
    ParkedEvent,
    Subscriber,
    forget_subscriber,
    parked_events,
    subscribers,
    unpark,
)
from store.errors import PositionError, SubscriptionError
from store.event_bus import BusCounts, EventBus
from store.events import ChangeEvent
from store.log import EventLog, Lag, Page
from store.position import START, Position
from store.streaming import stream
from store.subscription_listener import SubscriptionListener
from store.subscription_status import State, SubscriptionStatus

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
