"""The market data and risk server: an embedded Deephaven that publishes ticking tables.

Start it with `python3 -i server/app.py`. What needs no JVM can be imported:

```python
from server import calculate_greeks

delta, gamma, theta, vega = calculate_greeks(49, strike=50, T=0.3846, r=0.05, sigma=0.2)
assert round(delta, 4) == 0.5216
```
"""

from server.errors import FeedFileError, PublishingStopped, RowError, ServerError, StartupError
from server.market.feed import MarketFeed, TickBatch
from server.market.replay import Replay
from server.market.simulator import Simulator
from server.market_data import (
    BASE_PRICES,
    POSITIONS,
    SYMBOLS,
    FeedPlayer,
    FeedStatus,
    start_market_data,
)
from server.risk_engine import Greeks, calculate_greeks, option_greeks

__all__ = [
    "BASE_PRICES",
    "POSITIONS",
    "SYMBOLS",
    "FeedFileError",
    "FeedPlayer",
    "FeedStatus",
    "Greeks",
    "MarketFeed",
    "PublishingStopped",
    "Replay",
    "RowError",
    "ServerError",
    "Simulator",
    "StartupError",
    "TickBatch",
    "calculate_greeks",
    "option_greeks",
    "start_market_data",
]
