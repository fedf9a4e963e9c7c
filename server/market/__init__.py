"""Markets to show: what a feed is, simulated and recorded ones, and the book held in them."""

from server.market.feed import MarketFeed, TickBatch
from server.market.positions import Book, Position
from server.market.replay import Replay
from server.market.simulator import Simulator

__all__ = ["Book", "MarketFeed", "Position", "Replay", "Simulator", "TickBatch"]
