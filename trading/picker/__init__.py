"""Which signals become orders: places and reservations, and the weights of strategies.

picker = TradePicker(max_open_positions=3, reservation_ttl_ms=300_000)
kernel = Kernel(settings, broker=broker, strategies=hosted, picker=picker)
"""

from trading.picker.picker import TradePicker
from trading.picker.portfolio import Portfolio, Scoreboard
from trading.picker.weights import Score, WeightRules, next_weights, score

__all__ = [
    "Portfolio",
    "Score",
    "Scoreboard",
    "TradePicker",
    "WeightRules",
    "next_weights",
    "score",
]
