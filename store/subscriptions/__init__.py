"""Subscriptions: who hears of changes, in this process and in others.

bus = EventBus()
bus.on("Order", lambda event: print(event.event_type, event.entity_id))
with SubscriptionListener(bus, **server.conn_info(), user="bob", password="…",
                          subscriber_id="risk_engine"):
    ...  # every order that bob may see, in order, whoever writes it
"""

from __future__ import annotations

from store.deprecated import former_names
from store.errors import PositionError, SubscriptionError
from store.events import ChangeEvent
from store.position import START, Position
from store.subscriptions.checkpoints import (
    ParkedEvent,
    Subscriber,
    SubscriptionHeld,
    forget_subscriber,
    parked_events,
    subscribers,
    unpark,
)
from store.subscriptions.event_bus import BusCounts, EventBus
from store.subscriptions.event_log import EventLog, Lag, Page
from store.subscriptions.listener import SubscriptionListener
from store.subscriptions.status import SubscriptionState, SubscriptionStatus
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
    "Subscriber",
    "SubscriptionError",
    "SubscriptionHeld",
    "SubscriptionListener",
    "SubscriptionState",
    "SubscriptionStatus",
    "forget_subscriber",
    "parked_events",
    "stream",
    "subscribers",
    "unpark",
]

__getattr__ = former_names(__name__, {"State": "SubscriptionState"}, globals())
