"""Figures of equity curves and trades.

from trading.metrics import equity_metrics

figures = equity_metrics(result.equity)      # a frame with timestamp and equity
figures["sharpe"], figures["max_drawdown"]
"""

from trading.metrics.calendar import monthly_returns
from trading.metrics.curve import Curve
from trading.metrics.drawdowns import Drawdown, drawdowns
from trading.metrics.equity import equity_metrics
from trading.metrics.exposure import exposure
from trading.metrics.prices import Prices
from trading.metrics.realized import equity_of_fills, equity_of_matches
from trading.metrics.round_trips import (
    RoundTrip,
    round_trip_metrics,
    round_trips,
    round_trips_table,
)
from trading.metrics.significance import (
    deflated_sharpe,
    expected_maximum_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
)

__all__ = [
    "Curve",
    "Drawdown",
    "Prices",
    "RoundTrip",
    "deflated_sharpe",
    "drawdowns",
    "equity_metrics",
    "equity_of_fills",
    "equity_of_matches",
    "expected_maximum_sharpe",
    "exposure",
    "minimum_track_record",
    "monthly_returns",
    "probabilistic_sharpe",
    "round_trip_metrics",
    "round_trips",
    "round_trips_table",
]
