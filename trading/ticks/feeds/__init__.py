"""Feeds: where ticks come from, all as one kind of event.

for event in SimulatedMarket({"AAPL": 230.0}, seed=1, seconds=60).events():
    if isinstance(event, Ticks):
        bars = builder.push(event.table)
    elif isinstance(event, Gap):
        builder.gap(event.start, event.end, event.symbol)
"""

from trading.ticks.feeds.events import Depth, Event, Feed, Gap, Heartbeat, Ticks
from trading.ticks.feeds.gaps import SequenceGaps
from trading.ticks.feeds.market import FromMarketFeed, MarketFeed
from trading.ticks.feeds.recorded import RecordedTicks
from trading.ticks.feeds.simulated import SimulatedMarket
from trading.ticks.feeds.volumes import VolumeTotals
from trading.ticks.feeds.websocket import FieldMapping, WebSocketFeed

__all__ = [
    "Depth",
    "Event",
    "Feed",
    "FieldMapping",
    "FromMarketFeed",
    "Gap",
    "Heartbeat",
    "MarketFeed",
    "RecordedTicks",
    "SequenceGaps",
    "SimulatedMarket",
    "Ticks",
    "VolumeTotals",
    "WebSocketFeed",
]
