"""Venues: the broker outside the kernel, for simulated and for real ones.

broker.connect(after=last_report_in_my_journal)
broker.submit(effect)
for event in broker.poll(timeout=1.0): ...
"""

from trading.venues.keys import private_text, secret
from trading.venues.paper import PaperVenue
from trading.venues.protocol import (
    ConnectionChanged,
    ConnectionState,
    RequestRefused,
    SequencedReport,
    VenueBroker,
    VenueEvent,
    VenueOrder,
)

__all__ = [
    "ConnectionChanged",
    "ConnectionState",
    "PaperVenue",
    "RequestRefused",
    "SequencedReport",
    "VenueBroker",
    "VenueEvent",
    "VenueOrder",
    "private_text",
    "secret",
]
