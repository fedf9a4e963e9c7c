"""Strategies that a desk knows, each on one page: to read, to run, and to begin one's own from."""

from trading.strategy.examples.breakout import Breakout
from trading.strategy.examples.delta_hedge import DeltaHedge
from trading.strategy.examples.macd_trend import MacdTrend
from trading.strategy.examples.pairs import Pairs
from trading.strategy.examples.rsi_reversion import RsiReversion
from trading.strategy.examples.sma_cross import SmaCross
from trading.strategy.examples.turn_taking import TurnTaking

__all__ = ["Breakout", "DeltaHedge", "MacdTrend", "Pairs", "RsiReversion", "SmaCross", "TurnTaking"]
