"""Recorded prices: tables, frames and files of bars and ticks, as the kernel's whole numbers.

table = read_table("AAPL.csv", symbols=["AAPL"])
bars, interval = as_bars(table, Market({}), timeframe="1d")
"""

from trading.history.columns import Market, as_bars, as_ticks
from trading.history.reading import instant, read_table

__all__ = ["Market", "as_bars", "as_ticks", "instant", "read_table"]
