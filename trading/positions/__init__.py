"""Lots, positions and P&L: FIFO unless told otherwise, exact, with busts and corrections.

book = LotBook(method="FIFO")
book.apply(Fill("ACC", "trend", "AAPL", "o1", "f1", "BUY", 10, "100"))
book.rollup()[0].average_price            # Decimal('100')
"""

from trading.positions.book import LotBook
from trading.positions.fill import Fill, OpenLot, Rollup, TradeMatch
from trading.positions.lots import Execution, Lot, Match, Position

__all__ = [
    "Execution",
    "Fill",
    "Lot",
    "LotBook",
    "Match",
    "OpenLot",
    "Position",
    "Rollup",
    "TradeMatch",
]
