"""What a desk looks at: live and final bars, indicators and features, by topic and in Deephaven.

    tables = MarketTables(indicators.features)
    market = LiveMarket({"1m": BarBuilder("1m")}, tables.publish, indicators=indicators)
    for event in feed.events():
        market.take(event)
    bars_live = tables.published["bars_live"]

Deephaven must run in the process before tables are made.
"""

from trading.desk.live_market import LiveMarket, Topic
from trading.desk.market_tables import MarketTables
from trading.desk.replay_tables import ReplayTables

__all__ = ["LiveMarket", "MarketTables", "ReplayTables", "Topic"]
