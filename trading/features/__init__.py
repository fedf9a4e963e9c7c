"""Figures of the order book and of the option chain, from quotes and trades alone.

book = BookFeatures(levels=5, window="1m")
book.depth(now, bids=[(99.99, 300)], asks=[(100.01, 100)])
book.value.microprice

table = option_chain(options, now=now, underlying_price=23_450.0, calendar="XBOM")
"""

from trading.features.book import BookFeatures, BookValue
from trading.features.chain import (
    by_strike,
    days_to_expiry,
    greeks,
    implied_volatility,
    option_chain,
    option_price,
)

__all__ = [
    "BookFeatures",
    "BookValue",
    "by_strike",
    "days_to_expiry",
    "greeks",
    "implied_volatility",
    "option_chain",
    "option_price",
]
