"""Backtests: strategies over recorded prices, through the kernel that trades live.

result = Backtest(SmaCross(symbols=["AAPL"]), "AAPL.csv", cash=100_000, fill="next_open").run()
print(result.metrics["sharpe"], result.digest)
"""

from trading.backtest.backtest import Backtest
from trading.backtest.check import Verdict, check_lookahead, check_warmup
from trading.backtest.loading import load_strategy
from trading.backtest.result import Result
from trading.backtest.sweep import Sweep, sweep
from trading.backtest.walk_forward import WalkForward, walk_forward

__all__ = [
    "Backtest",
    "Result",
    "Sweep",
    "Verdict",
    "WalkForward",
    "check_lookahead",
    "check_warmup",
    "load_strategy",
    "sweep",
    "walk_forward",
]
