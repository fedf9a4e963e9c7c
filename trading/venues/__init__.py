"""Venues: the broker outside the kernel, for simulated and for real ones.

broker.connect(after=last_report_in_my_journal)
broker.submit(effect)
for event in broker.poll(timeout=1.0): ...

What is named here is loaded when it is asked for: who needs the
protocol alone does not pay for the simulated venue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trading.on_demand import on_demand

if TYPE_CHECKING:
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

_HOMES = {
    "trading.venues.keys": (
        "private_text",
        "secret",
    ),
    "trading.venues.paper": ("PaperVenue",),
    "trading.venues.protocol": (
        "ConnectionChanged",
        "ConnectionState",
        "RequestRefused",
        "SequencedReport",
        "VenueBroker",
        "VenueEvent",
        "VenueOrder",
    ),
}

__getattr__ = on_demand(__name__, _HOMES, globals())
